// @vitest-environment jsdom
/** The hook of streamed messages, in React's own renderer. */

import { act, StrictMode } from "react";
import { createRoot, type Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Client, createClient } from "../src/index.js";
import { useStream, type UseStreamOptions, type UseStreamResult } from "../src/react_streams.js";
import { held, page, refused, ScriptedFetch } from "./scripted_fetch.js";
import { message, World } from "./world.js";

let world: World;
let client: Client;
let net: ScriptedFetch;
let root: Root;
let last: UseStreamResult;

beforeEach(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  world = new World();
  net = new ScriptedFetch();
  client = createClient({ ...world.environment, url: "https://x.example" });
  root = createRoot(document.createElement("div"));
});

afterEach(async () => {
  await act(() => root.unmount());
  await world.settle();
  expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
});

function Answer(options: UseStreamOptions) {
  last = useStream("chat", { client, url: "https://x.example", fetch: net.fetch, ...options });
  return null;
}

const draw = (options: UseStreamOptions = {}) =>
  act(async () => root.render(<StrictMode><Answer {...options} /></StrictMode>));

const list = (...ids: string[]) => {
  const streams = ids.map((id) => ({ id, type: "answer", opened: "1", meta: { of: id } }));
  return new Response(JSON.stringify({ streams }), { headers: { "content-type": "application/json" } });
};

const say = (id: string, data: object) => act(() => world.socket.frame(message(id, {}, "answer", data)));
const opening = (id: string) => ({ stream: { id, state: "open" }, text: "", meta: { of: id } });
const final = (id: string, text: string, state = "ended") => ({ stream: { id, state, opened: "2" }, text, meta: { of: id } });

/** Wait until it is so; what happens meanwhile is rendered. */
async function until(check: () => void): Promise<void> {
  await vi.waitFor(async () => {
    await act(() => new Promise((done) => setTimeout(done, 1)));
    check();
  }, 20_000);
}

const shows = (text: string) => until(() => expect(last.text).toBe(text));

test("shows a message as it is written, and then its final form", async () => {
  const more = held();
  net.script = [list(), page('["Hel","lo"]', "1"), more.answer];
  await draw();
  expect(last).toMatchObject({ status: "none", text: "" });
  await act(() => world.accept());
  await say("2", opening("a"));
  await shows("Hello");
  expect(last).toMatchObject({ id: "a", status: "open", meta: { of: "a" }, error: undefined });
  more.give(page('[", Ada."]', "2", true, { "stream-end": "ended" }));
  await shows("Hello, Ada.");
  await say("3", final("a", "Hello, Ada!"));
  expect(last).toMatchObject({ id: "a", status: "ended", text: "Hello, Ada!", meta: { of: "a" } });
  expect(world.socket.count("subscribe")).toBe(1);
});

test("of a page that comes in the middle shows the newest that is open, and the next one", async () => {
  const [first, second] = [held(), held()];
  net.script = [list("a", "b"), page('["so far"]', "1"), first.answer, page('["anew"]', "1"), second.answer];
  await draw();
  await act(() => world.accept());
  await shows("so far");
  expect(last).toMatchObject({ id: "b", meta: { of: "b" } });
  await say("2", final("a", "of another"));
  expect(last).toMatchObject({ id: "b", text: "so far" });
  await say("3", opening("c"));
  await shows("anew");
  expect([last.id, first.aborted()]).toEqual(["c", true]);
  await act(() => root.render(null));
  expect(second.aborted()).toBe(true);
});

test("of one message that is named shows that alone, and asks for no list", async () => {
  const more = held();
  net.script = [page("[1]", "1"), more.answer];
  await draw({ id: "a" });
  await until(() => expect(last.values).toEqual([1]));
  await act(() => world.accept());
  await say("2", opening("b"));
  await say("3", final("b", "of another"));
  expect(last).toMatchObject({ id: "a", values: [1], status: "open" });
  more.give(page("", "2", true, { "stream-end": "failed", "stream-end-reason": "too-long" }));
  await until(() => expect(last).toMatchObject({ status: "failed", reason: "too-long" }));
});

test("asks for nothing where the message has ended", async () => {
  await draw({ message: final("a", "all of it", "cancelled") });
  expect(last).toMatchObject({ id: "a", text: "all of it", status: "cancelled" });
  expect([net.asked.length, world.sockets.length]).toEqual([0, 0]);
});

test("cancels what it shows, by one function", async () => {
  const more = held();
  net.script = [list("a"), more.answer, page("", "2", true)];
  await draw();
  await act(() => world.accept());
  await until(() => expect(last.id).toBe("a"));
  const { cancel } = last;
  await act(cancel);
  expect(net.asked.at(-1)?.method).toBe("DELETE");
  expect(new URL(net.asked.at(-1)?.url ?? "").pathname).toBe("/_tako/channels/chat/streams/a");
  await say("3", final("a", "until then", "cancelled"));
  expect(last).toMatchObject({ status: "cancelled", text: "until then" });
  expect(last.cancel).toBe(cancel);
});

test("says why it cannot be read, and shows the final message all the same", async () => {
  net.script = [refused(404, "not-found")];
  await draw({ id: "a" });
  await until(() => expect(last.error?.code).toBe("not-found"));
  await act(() => world.accept());
  await say("3", final("a", "all of it"));
  expect(last).toMatchObject({ status: "ended", text: "all of it", error: undefined });
});
