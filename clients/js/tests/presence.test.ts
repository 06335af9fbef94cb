/** What a page sees of who is here. */

import { describe, expect, test, vi } from "vitest";
import { createClient, type Member, type PresenceEvent, typingIndicator } from "../src/index.js";
import { eventSource } from "../src/eventsource.js";
import { createRosterView } from "../src/presence.js";
import { World } from "./world.js";

const params = { roomId: "a" };
let ids = 100;

function said(type: "join" | "update" | "leave", subject: string, more: object = {}) {
  const data = { subject, since: 1, ...more };
  return { id: String(++ids), channel: "chat", params, type: `tako.${type}`, data };
}

async function setup() {
  const world = new World();
  const channel = createClient({ ...world.environment, url: "https://x.example" }).channel("chat", { params });
  const { presence } = channel;
  const events: [PresenceEvent, string][] = [];
  for (const event of ["join", "leave", "update"] as const) {
    presence.on(event, ({ subject }) => events.push([event, subject]));
  }
  await world.settle();
  world.socket.open();
  await world.settle();
  return { world, channel, presence, events };
}

/** Answer all subscribes; the roster's ref. */
function accept(world: World, subject = "ada"): number {
  let roster = 0;
  for (const { op, ref, presence } of [...world.socket.sent]) {
    if (op !== "subscribe") continue;
    const more = presence ? { presence, cursor: "0" } : { cursor: "50" };
    world.socket.frame({ op: "ack", ref, channel: "chat", params, subject, ...more });
    if (presence) roster = ref as number;
  }
  return roster;
}

describe("presence", () => {
  test("follows the topic and its roster on one connection, and is whole when it is said so", async () => {
    const { world, presence, events } = await setup();
    const subscribes = world.socket.sent.filter(({ op }) => op === "subscribe");
    expect(subscribes.map((each) => each.presence)).toEqual([undefined, true]);
    const ref = accept(world);
    world.socket.frame(said("join", "ada", { info: { name: "Ada" } }));
    world.socket.frame(said("update", "bob", { state: { x: 1 }, since: 0 }));
    expect([presence.synced, events]).toEqual([false, []]);
    world.socket.frame({ op: "synced", ref, cursor: "102", channel: "chat", params, presence: true });
    expect(presence.synced).toBe(true);
    expect(presence.members).toEqual([
      { subject: "bob", info: undefined, state: { x: 1 }, since: 0 },
      { subject: "ada", info: { name: "Ada" }, state: undefined, since: 1 },
    ]);
    expect(presence.me).toBe(presence.members[1]);
    world.socket.frame(said("join", "cy"));
    world.socket.frame(said("leave", "bob"));
    expect(events).toEqual([["join", "cy"], ["leave", "bob"]]);
  });

  test("resumes the list by its cursor, and begins anew after a reset", async () => {
    const { world, presence } = await setup();
    let ref = accept(world);
    const last = said("join", "bob");
    world.socket.frame(last);
    world.socket.frame({ op: "synced", ref, cursor: last.id });
    world.socket.lose();
    await world.advance(60_000);
    world.socket.open();
    await world.settle();
    const again = world.socket.sent.find((each) => each.presence);
    expect(again).toMatchObject({ op: "subscribe", cursor: last.id, stale: "reset" });
    expect(presence.members.map(({ subject }) => subject)).toEqual(["bob"]);
    ref = accept(world);
    world.socket.frame({ op: "reset", ref, reason: "replay-too-old", cursor: "0" });
    world.socket.frame(said("join", "cy"));
    world.socket.frame({ op: "synced", ref, cursor: "0" });
    expect(presence.members.map(({ subject }) => subject)).toEqual(["cy"]);
  });

  test("says states at most ten times a second, the newest of them, and again after a reconnect", async () => {
    const { world, presence } = await setup();
    accept(world);
    for (let x = 0; x < 10; x++) presence.update({ x });
    await world.advance(50);
    expect(world.socket.sent.filter(({ op }) => op === "presence").map(({ state }) => state)).toEqual([{ x: 0 }]);
    await world.advance(200);
    presence.update((state: unknown) => ({ ...(state as object), y: 1 }));
    expect(world.socket.sent.filter(({ op }) => op === "presence").map(({ state }) => state)).toEqual([
      { x: 0 },
      { x: 9 },
      { x: 9, y: 1 },
    ]);
    expect(world.socket.last("presence")).toMatchObject({ channel: "chat", params });
    expect(world.socket.last("presence").presence).toBeUndefined();
    world.socket.lose();
    await world.advance(60_000);
    world.socket.open();
    await world.settle();
    accept(world);
    expect(world.socket.last("presence").state).toEqual({ x: 9, y: 1 });
  });

  test("is not followed any more when nobody listens, and the topic still is", async () => {
    const { world, channel, presence } = await setup();
    accept(world);
    const end = presence.subscribe(() => {});
    end();
    await world.settle();
    expect(world.socket.count("unsubscribe")).toBe(0);
    channel.close();
    await world.settle();
    expect(world.socket.sent.filter(({ op }) => op === "unsubscribe").length).toBe(2);
    presence.update({ x: 1 });
    expect(world.socket.count("presence")).toBe(0);
  });

  test("leaves messages of the topic to the topic", async () => {
    const { world, channel, presence } = await setup();
    const seen: string[] = [];
    channel.subscribe(({ type }) => seen.push(type));
    const ref = accept(world);
    world.socket.frame({ op: "synced", ref, cursor: "0" });
    world.socket.frame(said("join", "bob"));
    world.socket.frame({ id: String(++ids), channel: "chat", params, type: "msg", data: 1 });
    expect(seen).toEqual(["msg"]);
    expect(presence.members.length).toBe(1);
  });
});

test.each([false, true])("of a channel that was closed follows nobody and leaves nothing behind: followed before: %s", async (before) => {
  const world = new World();
  const said: string[] = [];
  const client = createClient({ ...world.environment, explain: (text) => void said.push(text), url: "https://x.example" });
  const channel = client.channel("chat", { params });
  if (before) {
    channel.presence.subscribe(() => {});
    await world.accept();
  }
  channel.close();
  await world.settle();
  const { presence } = channel;
  const { length } = world.sockets;
  expect([presence.me, presence.members, presence.guests, presence.synced]).toEqual([undefined, [], 0, false]);
  presence.update({ x: 1 });
  presence.on("join", () => said.push("join"))();
  presence.subscribe(() => said.push("changed"))();
  await world.settle();
  expect([world.sockets.length, world.requests.length, world.timers.size, world.sleepers.size]).toEqual([length, 0, 0, 0]);
  await world.advance(60_000);
  expect(said).toEqual([]);
});

test("over SSE the roster is a stream of its own, and a state is a request in the stream's name", async () => {
  const world = new World();
  const channel = createClient({ ...world.environment, url: "https://x.example", transport: "sse" }).channel("chat", { params });
  const { presence } = channel;
  presence.subscribe(() => {});
  presence.update({ x: 1 });
  await world.settle();
  const [room, roster] = [...world.requests].sort((one, other) => one.url.pathname.length - other.url.pathname.length);
  expect([room?.url.pathname, roster?.url.pathname]).toEqual(["/_tako/channels/chat", "/_tako/channels/chat/presence"]);
  expect(roster?.headers.get("accept")).toBe("text/event-stream");
  room?.stream();
  roster?.stream();
  await world.settle();
  const join = JSON.stringify({ id: "7", channel: "chat", type: "tako.join", data: { subject: "ada", since: 1 } });
  roster?.bytes(`id: 7\ndata: ${join}\n\nevent: tako.synced\nid: 7\ndata: {"cursor":"7"}\n\n`);
  const opened = JSON.stringify({ id: "5", channel: "chat", type: "tako.open", data: { connection: "c7" } });
  room?.bytes(`event: tako.open\nid: 5\ndata: ${opened}\n\n`);
  await world.settle();
  expect([presence.synced, presence.members.length]).toEqual([true, 1]);
  expect([world.request.method, world.request.url.pathname]).toEqual(["POST", "/_tako/channels/chat/presence"]);
  expect(JSON.parse(world.request.body)).toEqual({ connection: "c7", state: { x: 1 } });
  channel.close();
});

test("over an EventSource too", async () => {
  const world = new World();
  const channel = createClient({ ...world.environment, url: "https://x.example", transport: eventSource }).channel("chat", { params });
  channel.presence.subscribe(() => {});
  await world.settle();
  const roster = world.sources.find(({ url }) => url.includes("/chat/presence?"));
  roster?.listeners.get("tako.synced")?.({ data: "{}" });
  expect(channel.presence.synced).toBe(true);
  channel.close();
});

describe("the list", () => {
  const message = (id: number, type: string, data: object) => ({ id: String(id), channel: "chat", type: `tako.${type}`, data });

  test("keeps who has not changed the same object, and itself while nothing has", () => {
    const view = createRosterView();
    view.apply(message(1, "join", { subject: "ada", since: 1, state: { x: 1 } }));
    view.apply(message(2, "join", { subject: "bob", since: 2 }));
    const before = view.members;
    expect(view.apply(message(3, "update", { subject: "ada", since: 1, state: { x: 1 } }))).toBeUndefined();
    expect(view.members).toBe(before);
    expect(view.apply(message(4, "update", { subject: "ada", since: 1, state: { x: 2 } }))?.event).toBe("update");
    expect(view.members[1]).toBe(before[1]);
    expect(view.members[0]).not.toBe(before[0]);
  });

  test("has a member while any node says so, with what is newest", () => {
    const view = createRosterView();
    const event = (id: number, type: string, data: object) => view.apply(message(id, type, data))?.event;
    expect(event(1, "join", { subject: "ada", on: "n1", since: 5, state: 1 })).toBe("join");
    expect(event(2, "join", { subject: "ada", on: "n2", since: 9, state: 2 })).toBe("update");
    expect(view.members).toEqual([{ subject: "ada", info: undefined, state: 2, since: 5 }]);
    expect(event(3, "leave", { subject: "ada", on: "n1" })).toBe("update");
    expect(event(4, "leave", { subject: "ada", on: "n1" })).toBeUndefined();
    expect(event(5, "leave", { subject: "ada", on: "n2" })).toBe("leave");
    expect(event(6, "leave", { subject: "bob", on: "n2" })).toBeUndefined();
    expect(view.members).toEqual([]);
  });

  test("a tab on another node takes nothing back of what was said on the first", () => {
    const view = createRosterView();
    const event = (id: number, type: string, data: object) => view.apply(message(id, type, data))?.event;
    event(1, "join", { subject: "ada", on: "n1", since: 5, info: { name: "Ada" }, state: { x: 1 } });
    expect(event(2, "join", { subject: "ada", on: "n2", since: 9 })).toBeUndefined();
    expect(view.members).toEqual([{ subject: "ada", info: { name: "Ada" }, state: { x: 1 }, since: 5 }]);
    expect(event(3, "update", { subject: "ada", on: "n2", since: 9, state: null })).toBe("update");
    expect(view.members[0]?.state).toBe(null);
  });

  test("what a node repeats is no newer than what another has said since", () => {
    const view = createRosterView();
    const entry = (id: number, on: string, more: object) =>
      view.apply(message(id, "update", { subject: "ada", on, since: 5, ...more }))?.event;
    entry(9, "n1", { info: "old", state: 1 });
    entry(10, "n2", { info: "new", infoId: "8", state: 2 });
    expect(view.members).toEqual([{ subject: "ada", info: "old", state: 2, since: 5 }]);
    expect(entry(11, "n1", { info: "newest", state: 1, stateId: "9" })).toBe("update");
    expect(view.members).toEqual([{ subject: "ada", info: "newest", state: 2, since: 5 }]);
    expect(entry(12, "n2", { info: "new", infoId: "8", state: 2, stateId: "10" })).toBeUndefined();
    expect(entry(13, "n1", { info: "newest", infoId: "11", state: 1 })).toBe("update");
    expect(view.members[0]?.state).toBe(1);
  });

  test("adds up who is no member, of all nodes", () => {
    const view = createRosterView();
    view.apply(message(1, "count", { on: "n1", count: 3 }));
    view.apply(message(2, "count", { on: "n2", count: 4 }));
    view.apply(message(3, "count", { on: "n1", count: 1 }));
    expect(view.guests).toBe(5);
    view.clear();
    expect(view.guests).toBe(0);
  });
});

test("typing is said once, ends by itself, and is told of others while they type", () => {
  vi.useFakeTimers({ now: 1_000_000 });
  const states: unknown[] = [];
  let last: unknown = { x: 1 };
  const member = (subject: string, typing: number): Member<never, { typing?: number }> => ({
    subject,
    info: undefined,
    state: { typing },
    since: 1,
  });
  let members = [member("ada", 1), member("bob", 1), member("cy", 0)];
  const indicator = typingIndicator<{ typing?: number }>({
    get members() {
      return members;
    },
    get me() {
      return members[0];
    },
    guests: 0,
    synced: true,
    update(state) {
      last = typeof state === "function" ? state(last as never) : state;
      states.push(last);
    },
    on: () => () => {},
    subscribe: () => () => {},
  });
  for (let key = 0; key < 10; key++) {
    indicator.typed();
    vi.advanceTimersByTime(1_000);
  }
  expect(states).toEqual([{ x: 1, typing: 1 }, { x: 1, typing: 2 }]);
  vi.advanceTimersByTime(2_000);
  expect(states[2]).toEqual({ x: 1, typing: 0 });
  expect(indicator.who().map(({ subject }) => subject)).toEqual(["bob"]);
  vi.advanceTimersByTime(16_000);
  expect(indicator.who()).toEqual([]);
  members = [member("ada", 0), member("bob", 0)];
  expect(indicator.who()).toEqual([]);
  members = [member("ada", 0), member("bob", 1)];
  expect(indicator.who().length).toBe(1);
  indicator.close();
  vi.useRealTimers();
});
