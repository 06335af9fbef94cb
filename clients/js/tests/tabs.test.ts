/** Tabs that share one connection: who leads, what each is given, and what happens when one goes. */

import { describe, expect, test, vi } from "vitest";
import type { Channel, ChannelOptions, Client, ClientOptions } from "../src/index.js";
import { type Channel as LiveChannel, createLive } from "../src/live.js";
import { MAY_FOLLOW } from "../src/tabs_group.js";
import { sharedTabs } from "../src/tabs.js";
import { FakeBrowser, type FakeTab } from "./tabs_world.js";
import { World } from "./world.js";

const MINUTE = 60_000;

class Setup extends FakeBrowser {
  /** A tab with one channel open, and what it was given. */
  async open(options: ChannelOptions = {}, identity = "u1", defaults: ClientOptions = {}) {
    const tab = this.tab();
    const client = tab.client(identity, defaults);
    const followed = this.follow(client, options);
    await this.settle();
    return { tab, client, ...followed };
  }

  follow(client: Client, options: ChannelOptions = {}) {
    const channel = client.channel<Record<string, unknown>>("chat", { params: { roomId: "a" }, ...options }) as Channel;
    const seen: unknown[] = [];
    const states: string[] = [];
    channel.onState((state, error) => states.push(error ? `${state} ${error.code}` : state));
    channel.subscribe(({ type, data }) => seen.push(type === "msg" ? data : type));
    return { channel, seen, states };
  }

  say(data: unknown): string {
    return this.server.publish("chat", { roomId: "a" }, "msg", data);
  }

  async settle(): Promise<void> {
    await this.world.settle();
  }
}

test("five tabs have one connection and one subscription, and each is given each message once", async () => {
  const all = new Setup();
  const tabs = [];
  for (let n = 0; n < 5; n++) tabs.push(await all.open());
  all.say("one");
  await all.settle();
  expect([all.server.open, all.server.most, all.server.subscribes.length]).toEqual([1, 1, 1]);
  expect(tabs.map(({ seen }) => seen)).toEqual(Array(5).fill(["one"]));
  expect(tabs.map(({ channel }) => channel.cursor)).toEqual(Array(5).fill("101"));
});

test("a message goes to all tabs in one post, and to none of another topic", async () => {
  const all = new Setup();
  const tabs = [await all.open(), await all.open(), await all.open()];
  const elsewhere = await all.open({ params: { roomId: "b" } });
  all.posts.length = 0;
  all.say("one");
  await all.settle();
  expect(all.posts).toHaveLength(1);
  expect(tabs.map(({ seen }) => seen.length)).toEqual([1, 1, 1]);
  expect(elsewhere.seen).toEqual([]);
});

describe("tabs never share", () => {
  test.each<[string, string, ClientOptions]>([
    ["with another identity", "u2", {}],
    ["with other fixed credentials", "u1", { credentials: "Bearer b" }],
    ["with another server", "u1", { url: "https://y.example" }],
  ])("%s", async (_name, identity, options) => {
    const all = new Setup();
    await all.open();
    await all.open({}, identity, options);
    expect(all.server.open).toBe(2);
  });

  test("without an identity, which is an error at once", () => {
    expect(() => sharedTabs({ identity: "" })).toThrow(TypeError);
    expect(() => sharedTabs({} as never)).toThrow("whose tabs share");
  });
});

describe("the leader goes", () => {
  const ways: [string, (tab: FakeTab, channel: Channel) => void][] = [
    ["its channel is closed", (_tab, channel) => channel.close()],
    ["its page is left", (tab) => tab.stop()],
    ["its process is killed", (tab) => tab.kill()],
  ];
  test.each(ways)("%s: another one goes on, from where each was", async (_name, go) => {
    const all = new Setup();
    const [leader, second, third] = [await all.open(), await all.open(), await all.open()];
    all.say("one");
    await all.settle();
    go(leader.tab, leader.channel);
    all.say("two");
    await all.settle();
    await all.world.advance(2_000);
    all.say("three");
    await all.settle();
    expect(second.seen).toEqual(["one", "two", "three"]);
    expect(third.seen).toEqual(["one", "two", "three"]);
    expect(all.server.open).toBe(1);
    expect(second.channel.state).toBe("open");
  });

  test("a page that comes back is one of the others, and misses nothing", async () => {
    const all = new Setup();
    const [leader, second] = [await all.open(), await all.open()];
    leader.tab.stop();
    await all.settle();
    expect(leader.channel.state).toBe("reconnecting");
    all.say("meanwhile");
    await all.world.advance(2_000);
    expect([leader.seen, second.seen]).toEqual([["meanwhile"], ["meanwhile"]]);
    expect(all.server.open).toBe(1);
  });

  test("frozen without a word: its lock is stolen, and it learns that when it runs again", async () => {
    const all = new Setup();
    const [leader, second] = [await all.open(), await all.open()];
    leader.tab.frozen = true;
    all.say("one");
    await all.settle();
    expect(second.seen).toEqual([]);
    await all.world.advance(12_000);
    expect(second.seen).toEqual(["one"]);
    leader.tab.thaw();
    await all.world.advance(1_000);
    all.say("two");
    await all.settle();
    expect([leader.seen, second.seen]).toEqual([["one", "two"], ["one", "two"]]);
    expect(all.server.open).toBe(1);
  });

  test("a publish without an answer is sent again by the next one, and stored once", async () => {
    const all = new Setup();
    const [leader, second] = [await all.open(), await all.open()];
    leader.tab.frozen = true;
    const stored = second.channel.publish("msg", "hi");
    await all.settle();
    leader.tab.kill();
    await all.world.advance(1_000);
    expect(await stored).toBe("101");
    expect(all.server.log.map(({ data }) => data)).toEqual(["hi"]);
    expect(second.seen).toEqual(["hi"]);
  });

  test("stored before the answer was passed on: sent again with its key, and stored once", async () => {
    const all = new Setup();
    const [leader, second] = [await all.open(), await all.open()];
    const stored = second.channel.publish("msg", "hi");
    // The leader passes it on, and hears no answer.
    for (let turn = 0; turn < 100 && !all.server.published.length; turn++) await Promise.resolve();
    leader.tab.kill();
    await all.world.advance(1_000);
    expect(await stored).toBe("101");
    expect([all.server.published, all.server.log.length]).toEqual([["hi", "hi"], 1]);
  });
});

describe("a tab goes without a word", () => {
  test("and what only it wanted is unsubscribed", async () => {
    const all = new Setup();
    await all.open();
    const other = await all.open({ params: { roomId: "b" } });
    const topics = () => [...all.server.connections.values()].map((each) => each.size);
    expect(topics()).toEqual([2]);
    other.tab.kill();
    await all.settle();
    expect(topics()).toEqual([1]);
  });

  test("and nothing is left of it at the last", async () => {
    const all = new Setup();
    const [one, two] = [await all.open(), await all.open()];
    two.tab.kill();
    one.channel.close();
    await all.settle();
    expect([all.server.open, all.channels.size, all.locks.holders.size, all.world.timers.size]).toEqual([0, 0, 0, 0]);
    expect([...all.locks.queues.values()].flat()).toEqual([]);
  });
});

describe("a later tab", () => {
  test("begins live where it gives no cursor", async () => {
    const all = new Setup();
    await all.open();
    all.say("before");
    await all.settle();
    const late = await all.open();
    expect([late.channel.state, late.channel.cursor]).toEqual(["open", "101"]);
    all.say("after");
    await all.settle();
    expect(late.seen).toEqual(["after"]);
  });

  test("is given the newest messages from its cursor without another subscribe", async () => {
    const all = new Setup();
    const first = await all.open();
    for (const data of ["one", "two", "three"]) all.say(data);
    await all.settle();
    const late = await all.open({ cursor: "101" });
    expect(late.seen).toEqual(["two", "three"]);
    expect(first.seen).toEqual(["one", "two", "three"]);
    expect(all.server.subscribes).toHaveLength(1);
  });

  test("is given older ones by a subscribe from there, of which the others see nothing", async () => {
    const all = new Setup();
    for (const data of ["one", "two"]) all.say(data);
    const first = await all.open();
    all.say("three");
    await all.settle();
    const late = await all.open({ cursor: "0" });
    all.say("four");
    await all.settle();
    expect(late.seen).toEqual(["one", "two", "three", "four"]);
    expect(first.seen).toEqual(["three", "four"]);
    expect(first.states).toEqual(["open"]);
    expect([all.server.open, all.server.most]).toEqual([1, 1]);
  });

  test("is given the latest state where it asks for that, and the others lose nothing by it", async () => {
    const all = new Setup();
    const first = await all.open();
    for (const data of ["one", "two"]) all.say(data);
    await all.settle();
    // On their way to the first when the other one comes.
    for (const data of ["three", "four"]) all.say(data);
    const late = await all.open({ cursor: "newest" });
    all.say("five");
    await all.settle();
    expect(late.seen).toEqual(["four", "five"]);
    expect(first.seen).toEqual(["one", "two", "three", "four", "five"]);
    expect([all.server.open, all.server.most]).toEqual([1, 1]);
  });

  test("is given the state that the app gives, once, and the others what they were given before", async () => {
    const all = new Setup();
    const params = { roomId: "state" };
    const say = () => all.server.publish("chat", params, "msg", "more");
    say();
    const first = await all.open({ params, cursor: "newest" });
    const live = await all.open({ params });
    say();
    const second = await all.open({ params, cursor: "newest" });
    say();
    await all.settle();
    expect(first.seen).toEqual(["tako.state", "more", "more", "more"]);
    expect(live.seen).toEqual(["more", "more"]);
    expect(second.seen.filter((type) => type === "tako.state")).toHaveLength(1);
    // Each is told of a gap by itself, and has the state after it.
    all.server.stop();
    say();
    say();
    all.server.removed = all.server.lastId;
    all.server.up = true;
    await all.world.advance(MINUTE);
    const since = (seen: unknown[]) => seen.slice(seen.indexOf("tako.reset"));
    expect([since(first.seen), since(second.seen)]).toEqual([["tako.reset", "tako.state"], ["tako.reset", "tako.state"]]);
    expect([first.channel.state, all.server.open]).toEqual(["open", 1]);
  });

  test("with an old cursor alone is told that it is too old", async () => {
    const all = new Setup();
    for (const data of ["one", "two"]) all.say(data);
    all.server.removed = 102;
    const first = await all.open();
    const late = await all.open({ cursor: "101" });
    const strict = await all.open({ cursor: "101", stale: "stop" });
    await all.world.advance(2_000);
    all.say("three");
    await all.settle();
    expect(first.seen).toEqual(["three"]);
    expect(first.states).not.toContain("closed");
    expect(late.seen).toEqual(["tako.reset", "three"]);
    expect([strict.channel.state, strict.channel.error?.code]).toEqual(["closed", "replay-too-old"]);
  });
});

test("all that is in the tail is bounded, and what is older is had from the server", async () => {
  const all = new Setup();
  await all.open();
  for (let n = 0; n < 250; n++) all.say(n);
  await all.settle();
  expect((await all.open({ cursor: "150" })).seen).toHaveLength(200);
  expect(all.server.subscribes).toHaveLength(1);
  expect((await all.open({ cursor: "100" })).seen).toHaveLength(250);
  expect(all.server.subscribes.map(({ cursor }) => cursor)).toEqual([undefined, "100"]);
});

describe("refusals", () => {
  test("are told to who asked, and the next one's own credentials are tried", async () => {
    const all = new Setup();
    all.server.refuse = ({ auth }) => (auth === "good" ? undefined : "verify-rejected");
    const bad = await all.open({ credentials: () => "bad" });
    const good = await all.open({ credentials: () => "good" });
    expect([bad.channel.state, bad.channel.error?.code]).toEqual(["closed", "verify-rejected"]);
    expect(good.channel.state).toBe("open");
  });

  test("of credentials that ended are asked for anew, in each tab", async () => {
    const all = new Setup();
    let token = "old";
    all.server.refuse = ({ auth }) => (auth === token ? undefined : "credentials-missing");
    const asked: boolean[] = [];
    const credentials = ({ refused }: { refused: boolean }) => {
      asked.push(refused);
      return token;
    };
    const tabs = [await all.open({ credentials }), await all.open({ credentials })];
    token = "new";
    const [socket] = [...all.server.connections.keys()];
    const [{ ref }] = all.server.subscribes as [{ ref: number }];
    all.server.connections.get(socket as never)?.clear();
    socket?.frame({ op: "error", ref, code: "credentials-expired", error: "Over." });
    await all.world.advance(2_000);
    expect(tabs.map(({ channel }) => channel.state)).toEqual(["open", "open"]);
    expect(asked).toEqual([false, false, true, true]);
  });

  test("of the whole connection reach every tab", async () => {
    const all = new Setup();
    const tabs = [await all.open(), await all.open()];
    [...all.server.connections.keys()][0]?.lose(4403, "origin-rejected");
    await all.settle();
    expect(tabs.map(({ channel }) => channel.error?.code)).toEqual(["origin-rejected", "origin-rejected"]);
    expect(all.channels.size).toBe(0);
  });

  test("a tab whose credentials fail does not hold up the others", async () => {
    const all = new Setup();
    const failing = await all.open({ credentials: () => Promise.reject(new Error("no")) });
    const fine = await all.open();
    expect(failing.channel.error?.code).toBe("credentials-failed");
    expect(fine.channel.state).toBe("open");
  });
});

describe("the server is away", () => {
  test("and back: every tab gets what it missed, once", async () => {
    const all = new Setup();
    const tabs = [await all.open(), await all.open()];
    all.server.stop();
    await all.settle();
    expect(tabs.map(({ states }) => states.at(-1))).toEqual(Array(2).fill("reconnecting connection-lost"));
    all.say("missed");
    all.server.up = true;
    await all.world.advance(5_000);
    expect(tabs.map(({ seen }) => seen)).toEqual([["missed"], ["missed"]]);
    expect(all.server.open).toBe(1);
  });

  test("a visible tab takes over from a leader that is hidden, whose timers are slow", async () => {
    const all = new Setup();
    const [leader, visible] = [await all.open(), await all.open()];
    leader.tab.hidden = true;
    all.server.stop();
    await all.settle();
    await all.world.advance(0);
    all.server.up = true;
    await all.world.advance(5_000);
    expect(all.server.open).toBe(1);
    expect([...all.server.connections.keys()].every((socket) => visible.tab.sockets.includes(socket))).toBe(true);
    expect([leader.channel.state, visible.channel.state]).toEqual(["open", "open"]);
  });

  test("where WebSocket is blocked each tab has event streams of its own meanwhile", async () => {
    const all = new Setup();
    all.server.up = false;
    const tabs = [await all.open(), await all.open()];
    await all.world.advance(5_000);
    const streams = all.world.requests.filter(({ method }) => method === "GET");
    expect(streams).toHaveLength(2);
    streams.forEach((request) => request.stream());
    await all.settle();
    expect(tabs.map(({ channel }) => channel.state)).toEqual(["open", "open"]);
  });

  test("no event stream is tried while the connection that is there again is subscribed", async () => {
    const all = new Setup();
    all.server.up = false;
    await all.open();
    const follower = await all.open();
    const streams = () => all.world.requests.filter(({ method }) => method === "GET");
    expect(streams()).toHaveLength(2);
    // The tries of both and of the connection come at one time, that of the connection first.
    streams().forEach((request) => request.failed());
    const held: (() => void)[] = [];
    const received = all.server.received.bind(all.server);
    all.server.received = (...frame) => void held.push(() => received(...frame));
    all.server.up = true;
    await all.world.advance(400);
    // The connection is there, all have said what they want of it, and there is no answer.
    expect([all.server.open, held.length]).toEqual([1, 1]);
    expect(streams()).toHaveLength(2);
    all.server.received = received;
    held.forEach((release) => release());
    await all.settle();
    expect(follower.channel.state).toBe("open");
    expect(await follower.channel.publish("msg", "one")).toBe("101");
    expect(streams()).toHaveLength(2);
  });
});

describe("presence", () => {
  test("the newest state of any tab counts, also after a change of leaders", async () => {
    const all = new Setup();
    const [leader, second, third] = [await all.open(), await all.open(), await all.open()];
    third.channel.presence.update({ at: "third" });
    await all.world.advance(10);
    second.channel.presence.update({ at: "second" });
    await all.settle();
    expect(all.server.states).toEqual([{ at: "third" }, { at: "second" }]);
    leader.tab.kill();
    await all.world.advance(2_000);
    expect(all.server.states.at(-1)).toEqual({ at: "second" });
    second.tab.kill();
    await all.world.advance(2_000);
    expect(all.server.states.at(-1)).toEqual({ at: "third" });
  });

  test("members are not taken out by a hand-over: nothing is unsubscribed", async () => {
    const all = new Setup();
    const leader = await all.open();
    await all.open();
    leader.tab.stop();
    await all.settle();
    expect(leader.tab.sockets[0]?.count("unsubscribe")).toBe(0);
  });
});

test("subscriptions of one topic from cursors of their own share the connection too", async () => {
  const all = new Setup();
  all.say("one");
  const { client, seen } = await all.open();
  const older = all.follow(client, { cursor: "0" });
  await all.settle();
  all.say("two");
  await all.settle();
  expect([seen, older.seen]).toEqual([["two"], ["one", "two"]]);
  expect(all.server.open).toBe(1);
});

test("live objects of a page stay on their event stream, and are told where that is refused", async () => {
  const all = new Setup();
  const client = all.tab().client();
  const live = createLive({ client, url: "https://x.example" }, { onHide: () => () => {}, beacon() {} });
  const result = live.call("onTest", []) as Promise<{ channel: LiveChannel }>;
  await all.settle();
  const call = all.world.requests.find(({ url }) => url.pathname.includes("/functions/"));
  call?.answer(200, { result: { channel: null }, live: [{ path: ["channel"], id: "c", kind: "channel", ack: false }] });
  const { channel } = await result;
  const ended = vi.fn();
  channel.onClose(ended);
  await all.settle();
  expect([all.world.sockets.length, all.locks.holders.size]).toEqual([0, 0]);
  all.world.request.answer(403, { code: "verify-rejected", error: "No." });
  await all.settle();
  expect(ended).toHaveBeenCalledOnce();
});

test("where locks are refused the tab has a connection of its own", async () => {
  const all = new Setup();
  const tab = all.tab();
  (tab.page as { locks: unknown }).locks = { request: () => Promise.reject(Object.assign(new Error(), { name: "SecurityError" })) };
  const { channel, seen } = all.follow(tab.client());
  await all.settle();
  all.say("one");
  await all.settle();
  expect([channel.state, seen]).toEqual(["open", ["one"]]);
});

test("where a browser lacks locks each tab has its own connection, and development is told once", async () => {
  const world = new World();
  const explain = vi.fn();
  const tabs = sharedTabs({ identity: "u1" });
  vi.stubGlobal("BroadcastChannel", undefined);
  const { createClient } = await import("../src/index.js");
  for (const url of ["https://x.example", "https://y.example"]) {
    createClient({ ...world.environment, explain, url, tabs }).channel("chat").subscribe(() => {});
  }
  await world.settle();
  vi.unstubAllGlobals();
  expect(world.sockets).toHaveLength(2);
  expect(explain.mock.calls).toEqual([[expect.stringContaining("each tab has a connection of its own")]]);
});

test("each standing has what may follow it, and ends", () => {
  const standings = Object.keys(MAY_FOLLOW);
  for (const next of Object.values(MAY_FOLLOW).flat()) expect(standings).toContain(next);
  for (const standing of standings) if (standing !== "out") expect(MAY_FOLLOW[standing as "leading"]).toContain("out");
});
