/** The board: who is here, where they point, where they clicked. */

import { type PointerEvent, useState } from "react";
import { useChannel, useChannelEvent } from "takotwist/react";
import { type Pointer, usePointers } from "./pointers";
import { useSteadily } from "./steadily";

interface Messages {
  move: Pointer;
  click: Pointer;
}

const NAMES = ["Otter", "Heron", "Lynx", "Wren", "Ibex", "Newt", "Stoat", "Tern", "Vole", "Ray"];
const me = crypto.randomUUID();
const myName = NAMES[parseInt(me.slice(0, 4), 16) % NAMES.length] as string;

/** The same for everybody who sees this pointer. */
const color = (who: string) => `hsl(${parseInt(who.slice(0, 6), 16) % 360} 65% 50%)`;

/** The length of the animation in board.css. */
const RING_MS = 800;
const RINGS = 50;

export function Board({ boardId }: { boardId: string }) {
  const options = { params: { boardId } };
  // Nothing is shown by message, so none is kept; the last place of each pointer is.
  const { status, send } = useChannel<Messages>("board", { ...options, limit: 1 });
  const { pointers, moved } = usePointers();
  const [rings, setRings] = useState<{ id: string; at: Pointer }[]>([]);

  useChannelEvent<Messages, "move">("board", "move", (at) => at.who !== me && moved(at), options);
  useChannelEvent<Messages, "click">(
    "board",
    "click",
    (at, { id }) => {
      setRings((now) => [...now, { id, at }].slice(-RINGS));
      setTimeout(() => setRings((now) => now.filter((ring) => ring.id !== id)), RING_MS);
    },
    options,
  );

  /** A pointer that could not be told is a pointer that has moved on. */
  const tell = (type: keyof Messages, at: Pointer) => void send(type, at).catch(() => {});
  const steadily = useSteadily((at: Pointer) => status === "open" && tell("move", at));
  const place = ({ clientX, clientY, currentTarget }: PointerEvent): Pointer => {
    const { left, top, width, height } = currentTarget.getBoundingClientRect();
    const share = (value: number) => Math.min(Math.max(value, 0), 1);
    return { who: me, name: myName, x: share((clientX - left) / width), y: share((clientY - top) / height) };
  };

  return (
    <>
      <header>
        <h1>takotwist cursors</h1>
        <span>
          You are <b style={{ color: color(me) }}>{myName}</b>
          {pointers.length > 0 && `, with ${pointers.length} more`}
        </span>
        <span id="state" data-state={status}>{status}</span>
      </header>
      <main onPointerMove={(event) => steadily(place(event))} onPointerDown={(event) => tell("click", place(event))}>
        <p>Open this page in another window, and move.</p>
        {pointers.map((at) => (
          <div key={at.who} className="pointer" style={{ left: `${at.x * 100}%`, top: `${at.y * 100}%`, color: color(at.who) }}>
            <svg width="22" height="24" viewBox="0 0 22 24">
              <path d="M2 2 L20 12 L11 13.5 L7 22 Z" fill="currentColor" stroke="white" strokeWidth="1.5" />
            </svg>
            <span>{at.name}</span>
          </div>
        ))}
        {rings.map(({ id, at }) => (
          <i key={id} className="ring" style={{ left: `${at.x * 100}%`, top: `${at.y * 100}%`, color: color(at.who) }} />
        ))}
      </main>
    </>
  );
}
