// @vitest-environment jsdom
/** The state of a topic, in React's own renderer. */

import { act, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, expect, test } from "vitest";
import { createClient, type Client } from "../src/index.js";
import { useChannelState, type UseChannelStateResult } from "../src/react.js";
import { World } from "./world.js";

(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

type Messages = { add: number };
type Sum = { total: number };

let last: UseChannelStateResult<Sum, Messages>;
let root: Root | undefined;

afterEach(async () => {
  await act(() => root?.unmount());
  root = undefined;
});

function Board({ client, factor = 1, room = "a" }: { client: Client; factor?: number; room?: string }) {
  last = useChannelState<Sum, Messages>("board", {
    client,
    params: { room },
    initial: { total: 0 },
    reducer: ({ total }, { data }) => ({ total: total + factor * data }),
  });
  return <p>{last.ready ? last.state.total : "..."}</p>;
}

async function setup() {
  const world = new World();
  const client = createClient({ ...world.environment, url: "https://x.example" });
  const page = document.createElement("div");
  const made = (root = createRoot(page));
  const render = (props: { factor?: number; room?: string } = {}) =>
    act(() => made.render(<StrictMode><Board client={client} {...props} /></StrictMode>));
  await render();
  const open = async () => {
    await act(() => world.settle());
    await act(() => world.socket.open());
    await act(() => world.settle());
    return world.socket.last("subscribe");
  };
  const say = (id: string, type: string, data: unknown, room = "a") =>
    act(() => world.socket.frame({ id, channel: "board", params: { room }, type, data }));
  return { world, page, render, open, say };
}

test("is what the app gives, and then what the reducer makes of each message, once", async () => {
  const { world, page, open, say } = await setup();
  expect([page.textContent, last.state, last.status]).toEqual(["...", { total: 0 }, "connecting"]);
  const { cursor, ref, stale } = await open();
  expect([cursor, stale]).toEqual(["newest", "reset"]);
  await act(() => world.socket.frame({ op: "ack", ref, channel: "board", params: { room: "a" }, cursor: "newest" }));
  expect([page.textContent, last.status]).toEqual(["...", "open"]);
  await say("50", "tako.state", { total: 7 });
  await say("51", "add", 2);
  await say("51", "add", 2);
  expect(page.textContent).toBe("9");

  // A cut: the state stays, and the rest comes.
  await act(() => world.socket.lose());
  await act(() => world.advance(60_000));
  const again = await open();
  expect(again.cursor).toBe("51");
  await act(() => world.socket.frame({ op: "ack", ref: again.ref, channel: "board", params: { room: "a" }, cursor: "51" }));
  await say("60", "add", 1);
  expect(page.textContent).toBe("10");

  // Too much was missed: the state comes anew.
  await act(() => world.socket.frame({ op: "reset", ref: again.ref, reason: "replay-too-old", cursor: "newest" }));
  expect([page.textContent, last.state]).toEqual(["...", { total: 0 }]);
  await say("70", "tako.state", { total: 100 });
  await say("71", "add", 1);
  expect(page.textContent).toBe("101");
});

test("cut off before the state is there, it asks for it again", async () => {
  const { world, open, say } = await setup();
  const { ref } = await open();
  await act(() => world.socket.frame({ op: "ack", ref, channel: "board", params: { room: "a" }, cursor: "newest" }));
  await act(() => world.socket.lose());
  await act(() => world.advance(60_000));
  const again = await open();
  expect(again.cursor).toBe("newest");
  await say("50", "tako.state", { total: 7 });
  expect(last.ready).toBe(false);
  await act(() => world.socket.frame({ op: "ack", ref: again.ref, channel: "board", params: { room: "a" }, cursor: "newest" }));
  await say("50", "tako.state", { total: 7 });
  expect(last.state).toEqual({ total: 7 });
});

test("uses the latest reducer, and begins anew with other params", async () => {
  const { world, page, render, open, say } = await setup();
  const { ref } = await open();
  await act(() => world.socket.frame({ op: "ack", ref, channel: "board", params: { room: "a" }, cursor: "0" }));
  await say("50", "add", 2);
  await render({ factor: 10 });
  await say("51", "add", 2);
  expect(page.textContent).toBe("22");
  await render({ factor: 10, room: "b" });
  expect([page.textContent, last.state]).toEqual(["...", { total: 0 }]);
});
