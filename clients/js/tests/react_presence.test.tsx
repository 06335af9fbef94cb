// @vitest-environment jsdom
/** Who is here, in React's own renderer. */

import { act, memo, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { expect, test } from "vitest";
import { createClient, type Member } from "../src/index.js";
import { useChannel, usePresence, type UsePresenceResult } from "../src/react.js";
import { World } from "./world.js";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

const rendered: string[] = [];

const Avatar = memo(({ member }: { member: Member }) => {
  rendered.push(member.subject);
  return <i>{member.subject}</i>;
});

let last: UsePresenceResult;

test("renders who has changed and nobody else, and shares the topic with useChannel", async () => {
  const world = new World();
  const client = createClient({ ...world.environment, url: "https://x.example" });

  function Room() {
    useChannel<{ msg: string }>("chat", { client });
    last = usePresence("chat", { client });
    return <p>{last.members.map((member) => <Avatar key={member.subject} member={member} />)}</p>;
  }

  const page = document.createElement("div");
  const root = createRoot(page);
  await act(() => root.render(<StrictMode><Room /></StrictMode>));
  expect([last.members, last.synced]).toEqual([[], false]);
  await act(() => world.settle());
  await act(() => world.socket.open());
  await act(() => world.settle());
  const subscribes = world.socket.sent.filter(({ op }) => op === "subscribe");
  expect(subscribes.map((each) => !!each.presence).sort()).toEqual([false, true]);

  let id = 100;
  const say = (type: string, subject: string, more: object = {}) =>
    act(() =>
      world.socket.frame({ id: String(++id), channel: "chat", params: {}, type, data: { subject, since: 1, ...more } }),
    );
  for (const { ref, presence } of subscribes) {
    const more = { channel: "chat", params: {}, cursor: "50", subject: "ada", ...(presence ? { presence } : {}) };
    await act(() => world.socket.frame({ op: "ack", ref, ...more }));
  }
  await say("tako.join", "ada");
  await say("tako.join", "bob");
  const roster = subscribes.find((each) => each.presence);
  await act(() => world.socket.frame({ op: "synced", ref: roster?.ref, cursor: "102" }));
  expect(page.textContent).toBe("adabob");
  expect([last.me?.subject, last.synced]).toEqual(["ada", true]);

  rendered.length = 0;
  const { update } = last;
  await say("tako.update", "bob", { state: { x: 1 } });
  expect(new Set(rendered)).toEqual(new Set(["bob"]));
  expect(last.update).toBe(update);
  await act(() => update({ x: 2 }));
  expect(world.socket.last("presence").state).toEqual({ x: 2 });
  await say("tako.leave", "bob");
  expect(page.textContent).toBe("ada");

  await act(() => root.unmount());
  await world.advance(1_000);
  expect(world.socket.closed).toBe(true);
});
