import { type FormEvent, useState } from "react";
import { useChannel } from "takotwist/react";

export function Chat({ roomId }: { roomId: string }) {
  const [author, setAuthor] = useState("");
  return author ? <Room roomId={roomId} author={author} /> : <Enter onName={setAuthor} />;
}

function Enter({ onName }: { onName: (name: string) => void }) {
  return (
    <form onSubmit={onSubmit((field) => onName(field("name")))}>
      <input name="name" placeholder="your name" aria-label="your name" maxLength={40} required autoFocus />
      <button>come in</button>
    </form>
  );
}

function Room({ roomId, author }: { roomId: string; author: string }) {
  // The types come from channels/chat.py: `tako dev` writes them into takotwist.d.ts.
  const { messages, status, error, send } = useChannel("chat", { params: { roomId }, cursor: "0" });
  const [refused, setRefused] = useState("");

  async function say(text: string) {
    try {
      await send("msg", { author, text }); // resolves when it is stored
      setRefused("");
    } catch (failure) {
      setRefused(failure instanceof Error ? failure.message : String(failure));
    }
  }

  return (
    <>
      <header>
        <h1>{{project}}</h1>
        <span className="state" data-state={status}>{status}</span>
      </header>
      <ol className="messages" aria-live="polite">
        {messages.map((message) =>
          message.type === "msg" ? (
            <li key={message.id}>
              <b>{message.data.author}</b>
              {message.data.text}
            </li>
          ) : null,
        )}
      </ol>
      <p className="notice" role="status">{refused || error?.message}</p>
      <form onSubmit={onSubmit((field) => void say(field("text")))}>
        <input name="text" placeholder="say something" aria-label="say something" maxLength={500} required autoComplete="off" />
        <button>send</button>
      </form>
    </>
  );
}

function onSubmit(take: (field: (name: string) => string) => void) {
  return (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget);
    event.currentTarget.reset();
    take((name) => String(data.get(name) ?? ""));
  };
}
