/** What compiles without a cast, with the file that `tako types` writes beside it. */

import { channel, type Client, createClient } from "takotwist";
import { channel as nodeChannel, createClient as createNodeClient } from "takotwist/node";
import { useChannel, useChannelEvent } from "takotwist/react";

const chat = channel("chat", { params: { roomId: "a" } });
void chat.publish("msg", { text: "hi", kind: "code" });
chat.on("msg", (data, message) => console.log(data.text.length, message.data.kind, message.id));
chat.on("tako.reset", (gone) => console.log(gone.reason));
chat.subscribe((message) => message.type === "typing" && console.log(message.data.userId));
void chat.history().then(({ messages }) => messages.map(({ type }): "msg" | "typing" => type));

channel("site-news").subscribe((message) => console.log(message.data));
channel("chat", { params: { roomId: "a", page: 2 }, cursor: "0", transport: "sse" });

// Another server's channels, and one whose messages are said at the call.
type Theirs = { bids: { params: { lot: number }; messages: { raise: { by: number } } } };
void createClient<Theirs>({ url: "https://y.example" }).channel("bids", { params: { lot: 1 } }).publish("raise", { by: 1 });
void createNodeClient<Theirs>().channel("bids", { params: { lot: 1 } }).publish("raise", { by: 1 });
channel<{ moved: { x: number } }>("elsewhere").on("moved", ({ x }) => console.log(x));

const client: Client = createClient({ url: "https://x.example" });
client.channel("chat", { params: { roomId: "a" } });
void nodeChannel("chat", { params: { roomId: "a" } }).publish("typing", { userId: "u" });

export function Room({ roomId }: { roomId: string }) {
  const { messages, send } = useChannel("chat", { params: { roomId }, limit: 5, client });
  useChannelEvent("chat", "typing", ({ userId }, { id }) => console.log(userId, id), { params: { roomId } });
  const theirs = useChannel<{ raise: { by: number } }>("bids", { client: createClient<Theirs>() });
  return (
    <ul onClick={() => void send("msg", { text: "hi" })}>
      {messages.map((message) => (message.type === "msg" ? message.data.text : message.data.userId))}
      {theirs.messages.map(({ data }) => data.by)}
    </ul>
  );
}
