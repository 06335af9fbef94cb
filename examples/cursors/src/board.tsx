/** The board: who is here, where they point, where they clicked. */

import { memo, type PointerEvent, useState } from "react";
import { type Member } from "takotwist";
import { useChannel, useChannelEvent, usePresence } from "takotwist/react";

interface Place {
  /** Shares of the board, from 0 to 1. */
  x: number;
  y: number;
}

interface Visitor {
  name: string;
}

interface Messages {
  click: Place & { who: string };
}

/** Who this tab is; a real app has its own users, and names them in `verify`. */
const me = crypto.randomUUID();

/** The same for everybody who sees this pointer. */
const color = (who: string) => `hsl(${parseInt(who.slice(0, 6), 16) % 360} 60% 42%)`;

/** The length of the animation in board.css. */
const RING_MS = 800;
const RINGS = 50;

/** A pointer that moves is drawn, and the others are left alone: each member is one object until it changes. */
const Pointer = memo(({ member: { subject, info, state } }: { member: Member<Visitor, Place> }) =>
  state ? (
    <div className="pointer" style={{ left: `${state.x * 100}%`, top: `${state.y * 100}%`, color: color(subject) }}>
      <svg width="22" height="24" viewBox="0 0 22 24">
        <path d="M2 2 L20 12 L11 13.5 L7 22 Z" fill="currentColor" stroke="white" strokeWidth="1.5" />
      </svg>
      <span>{info?.name}</span>
    </div>
  ) : null,
);

export function Board({ boardId }: { boardId: string }) {
  const options = { params: { boardId }, credentials: me };
  // Nothing is shown by message, so none is kept.
  const { status, send } = useChannel<Messages>("board", { ...options, limit: 0 });
  const { members, me: myself, update } = usePresence<Visitor, Place>("board", options);
  const [rings, setRings] = useState<{ id: string; at: Messages["click"] }[]>([]);

  useChannelEvent<Messages, "click">(
    "board",
    "click",
    (at, { id }) => {
      setRings((now) => [...now, { id, at }].slice(-RINGS));
      setTimeout(() => setRings((now) => now.filter((ring) => ring.id !== id)), RING_MS);
    },
    options,
  );

  const place = ({ clientX, clientY, currentTarget }: PointerEvent): Place => {
    const { left, top, width, height } = currentTarget.getBoundingClientRect();
    const share = (value: number) => Math.min(Math.max(value, 0), 1);
    return { x: share((clientX - left) / width), y: share((clientY - top) / height) };
  };
  const others = members.filter((member) => member !== myself);

  return (
    <>
      <header>
        <h1>takotwist cursors</h1>
        <span className="people">
          {members.slice(0, 12).map(({ subject, info }) => (
            <i key={subject} className={subject === me ? "me" : ""} title={info?.name} style={{ background: color(subject) }}>
              {info?.name[0]}
            </i>
          ))}
        </span>
        <span>
          {others.length > 0 ? `${members.length} people here` : "only you here"}, you are{" "}
          <b style={{ color: color(me) }}>{myself?.info?.name ?? "…"}</b>
        </span>
        <span id="state" data-state={status}>{status}</span>
      </header>
      <main
        onPointerMove={(event) => update(place(event))}
        onPointerDown={(event) => void send("click", { ...place(event), who: me }).catch(() => {})}
      >
        <p>Open this page in another window, and move.</p>
        {others.map((member) => <Pointer key={member.subject} member={member} />)}
        {rings.map(({ id, at }) => (
          <i key={id} className="ring" style={{ left: `${at.x * 100}%`, top: `${at.y * 100}%`, color: color(at.who) }} />
        ))}
      </main>
    </>
  );
}
