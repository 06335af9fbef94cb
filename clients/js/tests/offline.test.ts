/** What is published is stored once, whatever becomes of the page, or given back. */

import { afterEach, describe, expect, test, vi } from "vitest";
import { type Channel, type ChannelOptions, createClient } from "../src/index.js";
import { offlineClient, type OfflineOptions, type OfflinePublish } from "../src/offline.js";
import { FakeBrowser, type FakeTab } from "./tabs_world.js";

const MINUTE = 60_000;

class Setup extends FakeBrowser {
  readonly returned: [unknown, string][] = [];
  readonly told: [unknown, string | null][] = [];

  /** A page with the queue and one channel, and what became of its publishes. */
  async page({ tab = this.tab(), ...options }: Partial<OfflineOptions> & { tab?: FakeTab; indexedDB?: IDBFactory | undefined } = {}, of: ChannelOptions = {}) {
    const { environment, page } = tab;
    const inner = createClient({ ...environment, url: "https://x.example" });
    const indexedDB = "indexedDB" in options ? options.indexedDB : this.indexedDB;
    const client = await offlineClient(
      inner,
      {
        identity: "u1",
        onReturned: ({ data }, { code }) => this.returned.push([data, code]),
        onStored: ({ data }, id) => this.told.push([data, id]),
        ...options,
      },
      { environment, page, indexedDB },
    );
    const channel = client.channel<Record<string, unknown>>("chat", { params: { roomId: "a" }, ...of }) as Channel;
    const outcomes: unknown[] = [];
    const publish = (data: unknown, key?: string) =>
      void channel.publish("msg", data, key).then((id) => outcomes.push(id), (error: { code: string }) => outcomes.push(error.code));
    await this.settle();
    return { tab, client, channel, outcomes, publish };
  }

  /** As a reload does it: the page is gone, and another one comes. */
  async kill({ tab }: { tab: FakeTab }): Promise<void> {
    tab.kill();
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await this.world.settle();
  }

  async advance(ms: number): Promise<void> {
    await this.world.advance(ms);
    await this.settle();
  }

  get stored(): unknown[] {
    return this.server.log.map(({ data }) => data);
  }
}

afterEach(() => vi.restoreAllMocks());

describe("while the server is there", () => {
  test("a publish has its id, and nothing is left of it", async () => {
    const all = new Setup();
    const { publish, outcomes, client } = await all.page();
    publish("one");
    publish("two");
    await all.settle();
    expect([outcomes, all.stored, client.waiting()]).toEqual([["101", "102"], ["one", "two"], []]);
    expect(client.persistent).toBe(true);
    const later = await all.page();
    await all.advance(MINUTE);
    expect([later.client.waiting(), all.told]).toEqual([[], []]);
  });

  test("it goes over the subscription that is there", async () => {
    const all = new Setup();
    const { publish, channel } = await all.page();
    channel.subscribe(() => {});
    await all.settle();
    publish("one");
    publish("two");
    await all.settle();
    expect([all.server.most, all.server.subscribes.length]).toEqual([1, 1]);
  });

  test("one that is refused rejects, and is not tried again", async () => {
    const all = new Setup();
    all.server.refusePublish = (data) => (data === "bad" ? "verify-rejected" : undefined);
    const { publish, outcomes } = await all.page();
    publish("bad");
    publish("good");
    await all.settle();
    expect(outcomes.sort()).toEqual(["101", "verify-rejected"]);
    await all.advance(MINUTE);
    expect(all.server.published).toEqual(["bad", "good"]);
  });

  test("what JSON cannot say is refused at once", async () => {
    const all = new Setup();
    const { publish, outcomes, client } = await all.page();
    publish(NaN);
    await all.settle();
    expect([outcomes, client.waiting()]).toEqual([["body-invalid"], []]);
  });

  test("a key of one's own makes two publishes one", async () => {
    const all = new Setup();
    const { publish, outcomes } = await all.page();
    publish("order", "order-7");
    await all.settle();
    publish("order", "order-7");
    await all.settle();
    expect([outcomes, all.stored]).toEqual([["101", "101"], ["order"]]);
  });
});

describe("published offline", () => {
  test("and the page reloaded: stored once, in order, and the next page is told", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page();
    for (const data of ["one", "two", "three"]) before.publish(data);
    await all.settle();
    await all.kill(before);
    const after = await all.page();
    expect(after.client.waiting().map(({ data }) => data)).toEqual(["one", "two", "three"]);
    after.publish("four");
    all.server.up = true;
    await all.advance(MINUTE);
    expect(all.stored).toEqual(["one", "two", "three", "four"]);
    expect(all.server.published).toEqual(["one", "two", "three", "four"]);
    expect(all.told).toEqual([["one", "101"], ["two", "102"], ["three", "103"]]);
    expect(after.outcomes).toEqual(["104"]);
  });

  test("in a room that the next page does not open", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page({}, { params: { roomId: "elsewhere" } });
    before.publish("one");
    await all.settle();
    await all.kill(before);
    all.server.up = true;
    await all.page();
    await all.advance(MINUTE);
    expect(all.server.log).toMatchObject([{ data: "one", params: { roomId: "elsewhere" } }]);
  });

  test("with credentials of the channel's own: waits until it is opened", async () => {
    const all = new Setup();
    all.server.up = false;
    const of = { params: { roomId: "b" }, credentials: () => "token" };
    const before = await all.page({}, of);
    before.publish("one");
    await all.settle();
    await all.kill(before);
    all.server.up = true;
    const after = await all.page();
    await all.advance(MINUTE);
    expect(all.stored).toEqual([]);
    after.client.channel("chat", of as never);
    await all.advance(MINUTE);
    expect(all.stored).toEqual(["one"]);
    expect(all.server.subscribes.at(-1)?.auth).toBe("token");
  });

  test("and the tab closed: another one sends it", async () => {
    const all = new Setup();
    all.server.up = false;
    const [one, other] = [await all.page(), await all.page()];
    one.publish("one");
    other.publish("two");
    await all.settle();
    // Found by the next look.
    await all.advance(MINUTE);
    await all.kill(one);
    all.server.up = true;
    await all.advance(MINUTE);
    expect(all.stored.sort()).toEqual(["one", "two"]);
    expect(all.server.published).toHaveLength(2);
    expect([all.told.map(([data]) => data), other.outcomes.length]).toEqual([["one"], 1]);
  });

  test("in two tabs: each sends its own", async () => {
    const all = new Setup();
    all.server.up = false;
    const tabs = [await all.page(), await all.page()];
    tabs.forEach(({ publish }, n) => publish(`tab ${n}`));
    await all.advance(MINUTE);
    all.server.up = true;
    await all.advance(MINUTE);
    expect(all.server.published.sort()).toEqual(["tab 0", "tab 1"]);
    expect(all.told).toEqual([]);
  });

  test("by one user: nobody else sends it, and nobody else sees it", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page();
    before.publish("one");
    await all.settle();
    await all.kill(before);
    all.server.up = true;
    const other = await all.page({ identity: "u2" });
    await all.advance(MINUTE);
    expect([all.stored, other.client.waiting()]).toEqual([[], []]);
  });

  test("and begun where WebSocket is blocked: waits for it where a POST is not taken", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page();
    before.publish("one");
    before.publish("two");
    await all.settle();
    await all.kill(before);
    const after = await all.page();
    await all.advance(1_000);
    const get = all.world.requests.filter(({ method, live }) => method === "GET" && !live).at(-1);
    get?.stream();
    await all.settle();
    const posts = () => all.world.requests.filter(({ method }) => method === "POST");
    expect(posts()).toHaveLength(1);
    posts()[0]?.answer(401, { code: "credentials-missing", error: "Who publishes?" });
    await all.settle();
    expect(all.returned).toEqual([]);
    expect(after.client.waiting()).toHaveLength(2);
    all.server.up = true;
    await all.advance(MINUTE);
    expect([all.stored, all.returned]).toEqual([["one", "two"], []]);
  });

  test("and forgotten at sign-out", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page();
    before.publish("one");
    await all.settle();
    await before.client.forget();
    await all.settle();
    expect(before.outcomes).toEqual(["channel-closed"]);
    await all.kill(before);
    all.server.up = true;
    await all.page();
    await all.advance(MINUTE);
    expect([all.stored, all.returned]).toEqual([[], []]);
  });

  test("in a page that is left and shown again: goes on there", async () => {
    const all = new Setup();
    all.server.up = false;
    const one = await all.page();
    one.publish("one");
    await all.settle();
    one.tab.stop();
    await all.settle();
    expect([...all.locks.holders.keys()]).toEqual([]);
    all.server.up = true;
    await all.advance(MINUTE);
    expect([all.stored, one.outcomes]).toEqual([["one"], ["101"]]);
  });

  test("in a page that is left, and taken over by another one meanwhile", async () => {
    const all = new Setup();
    all.server.up = false;
    const one = await all.page();
    one.publish("one");
    await all.settle();
    const other = await all.page();
    one.tab.stop();
    one.tab.frozen = true;
    all.server.up = true;
    await all.advance(MINUTE);
    expect([all.stored, other.outcomes]).toEqual([["one"], []]);
    one.tab.thaw();
    await all.advance(MINUTE);
    expect([all.server.published, one.outcomes]).toEqual([["one"], ["publish-handed-over"]]);
  });
});

describe("sent and never answered", () => {
  async function unanswered(all: Setup) {
    const before = await all.page();
    before.channel.subscribe(() => {});
    await all.settle();
    all.server.silent = true;
    before.publish("one");
    await all.settle();
    return before;
  }

  test("within the replay window: asked again with its key, and stored once", async () => {
    const all = new Setup();
    const before = await unanswered(all);
    all.server.silent = false;
    all.server.answerless = true;
    before.publish("two");
    await all.settle();
    expect(all.stored).toEqual(["two"]);
    await all.kill(before);
    all.server.answerless = false;
    await all.page();
    await all.advance(MINUTE);
    expect(all.stored).toEqual(["two", "one"]);
    expect(all.told).toEqual([["one", "102"], ["two", "101"]]);
  });

  test("for longer than that: given back, because nobody knows", async () => {
    const all = new Setup();
    const before = await unanswered(all);
    await all.kill(before);
    all.server.silent = false;
    await all.world.advance(10 * MINUTE);
    await all.page();
    await all.advance(MINUTE);
    expect([all.stored, all.returned]).toEqual([[], [["one", "publish-unknown"]]]);
  });

  test("for longer than that, after it had waited for a connection: the same", async () => {
    const all = new Setup();
    all.server.up = false;
    all.server.answerless = true;
    const before = await all.page();
    before.publish("one");
    await all.settle();
    all.server.up = true;
    await all.advance(MINUTE);
    expect(all.stored).toEqual(["one"]);
    await all.kill(before);
    all.server.answerless = false;
    await all.world.advance(10 * MINUTE);
    await all.page();
    await all.advance(MINUTE);
    expect([all.server.published, all.returned]).toEqual([["one"], [["one", "publish-unknown"]]]);
  });

  test("for longer than that in a page that lives on: the same", async () => {
    const all = new Setup();
    const { outcomes } = await unanswered(all);
    all.server.stop();
    await all.advance(10 * MINUTE);
    all.server.silent = false;
    all.server.up = true;
    await all.advance(MINUTE);
    expect([all.stored, outcomes]).toEqual([[], ["publish-unknown"]]);
  });

  test("but never sent: may wait for days, and not for ever", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page();
    before.publish("one");
    await all.settle();
    await all.kill(before);
    all.world.time += 3 * 86_400_000;
    const between = await all.page();
    between.publish("two");
    await all.settle();
    await all.kill(between);
    all.world.time += 5 * 86_400_000;
    all.server.up = true;
    await all.page();
    await all.advance(MINUTE);
    expect([all.stored, all.returned]).toEqual([["two"], [["one", "publish-expired"]]]);
  });
});

describe("given back", () => {
  test("an earlier page's that is refused, once", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page();
    before.publish("bad");
    await all.settle();
    await all.kill(before);
    all.server.up = true;
    all.server.refusePublish = () => "body-invalid";
    const after = await all.page();
    await all.advance(MINUTE);
    await all.kill(after);
    await all.page();
    await all.advance(MINUTE);
    expect([all.returned, all.server.published]).toEqual([[["bad", "body-invalid"]], ["bad"]]);
  });

  test("to a callback that throws: it is reported, and the others are given back too", async () => {
    const all = new Setup();
    all.server.up = false;
    const before = await all.page();
    before.publish("bad");
    before.publish("worse");
    await all.settle();
    await all.kill(before);
    all.server.up = true;
    all.server.refusePublish = () => "body-invalid";
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    const returned: unknown[] = [];
    await all.page({
      onReturned({ data }) {
        returned.push(data);
        throw new Error("mine");
      },
    });
    await all.advance(MINUTE);
    expect([returned, report.mock.calls.length]).toEqual([["bad", "worse"], 2]);
  });

  test("where the channel itself is refused", async () => {
    const all = new Setup();
    all.server.refuse = () => "verify-rejected";
    const { publish, outcomes } = await all.page();
    publish("one");
    await all.settle();
    expect(outcomes).toEqual(["verify-rejected"]);
  });
});

describe("bounds", () => {
  test("of number and size hold over all tabs of the identity", async () => {
    const all = new Setup();
    all.server.up = false;
    const [one, other] = [await all.page({ maxPublishes: 3, maxBytes: 100 }), await all.page({ maxPublishes: 3, maxBytes: 100 })];
    one.publish("a");
    one.publish("b");
    await all.settle();
    other.publish("c");
    other.publish("d");
    await all.settle();
    expect(other.outcomes).toEqual(["overflow"]);
    const big = await all.page({ identity: "u2", maxBytes: 100 });
    big.publish("x".repeat(99));
    await all.settle();
    expect(big.outcomes).toEqual(["overflow"]);
    all.server.up = true;
    await all.advance(MINUTE);
    expect(all.stored.sort()).toEqual(["a", "b", "c"]);
    // The room is there again.
    other.publish("e");
    await all.settle();
    expect(all.stored).toContain("e");
  });
});

describe("where nothing can be kept", () => {
  test("without a database it is sent all the same", async () => {
    const all = new Setup();
    const { publish, outcomes, client } = await all.page({ indexedDB: undefined });
    publish("one");
    await all.settle();
    expect([outcomes, client.persistent]).toEqual([["101"], false]);
  });

  test("where opening it fails, as in private modes", async () => {
    const all = new Setup();
    const refusing = { open: () => Promise.reject(new Error("SecurityError")) as never } as unknown as IDBFactory;
    const { publish, outcomes, client } = await all.page({ indexedDB: { ...refusing, open: () => { throw new Error("SecurityError"); } } as never });
    publish("one");
    await all.settle();
    expect([outcomes, client.persistent]).toEqual([["101"], false]);
  });

  test("where the disk is full it is sent all the same, and the client says so", async () => {
    const all = new Setup();
    const { publish, outcomes, client } = await all.page();
    const full = Object.assign(new Error("full"), { name: "QuotaExceededError" });
    vi.spyOn(IDBObjectStore.prototype, "add").mockImplementation(() => {
      throw full;
    });
    publish("one");
    await all.settle();
    expect([outcomes, client.persistent]).toEqual([["101"], false]);
    vi.restoreAllMocks();
    // What failed is not counted as something that waits.
    const later = await all.page({ maxPublishes: 1 });
    all.server.up = false;
    later.publish("two");
    await all.settle();
    expect([later.outcomes, later.client.waiting().length]).toEqual([[], 1]);
  });
});

describe("cursors", () => {
  test("where they are asked for, the next page goes on after the last message", async () => {
    const all = new Setup();
    const params = { roomId: "b" };
    const follow = async () => {
      const made = await all.page();
      const cursor = made.client.keptCursor("chat", params);
      const channel = made.client.channel<Record<string, unknown>>("chat", { params, ...(cursor && { cursor }) }) as Channel;
      const seen: unknown[] = [];
      channel.subscribe(({ data }) => seen.push(data));
      await all.settle();
      return { ...made, seen, cursor };
    };
    const say = (data: string) => all.server.publish("chat", params, "msg", data);
    const before = await follow();
    expect(before.cursor).toBeUndefined();
    say("one");
    say("two");
    await all.settle();
    await all.kill(before);
    say("meanwhile");
    const after = await follow();
    expect([after.cursor, after.seen]).toEqual(["102", ["meanwhile"]]);
    const other = await all.page({ identity: "u2" });
    expect(other.client.keptCursor("chat", params)).toBeUndefined();
  });

  test("are not kept where nobody asked", async () => {
    const all = new Setup();
    const { channel, client } = await all.page();
    channel.subscribe(() => {});
    all.server.publish("chat", { roomId: "a" }, "msg", "one");
    await all.settle();
    client.close();
    const after = await all.page();
    expect(after.client.keptCursor("chat", { roomId: "a" })).toBeUndefined();
  });
});

test("nothing is left of a client that was closed, and what waits is the next one's", async () => {
  const all = new Setup();
  all.server.up = false;
  const { client, publish, channel } = await all.page();
  publish("one");
  await all.settle();
  channel.close();
  client.close();
  await all.settle();
  expect([all.locks.holders.size, all.world.timers.size]).toEqual([0, 0]);
  all.server.up = true;
  await all.page();
  await all.advance(MINUTE);
  expect(all.told).toEqual([["one", "101"]]);
});

test("without an identity there is no client", async () => {
  await expect(offlineClient(createClient({ url: "https://x.example" }), { identity: "", onReturned: (_publish: OfflinePublish) => {} })).rejects.toThrow(TypeError);
});
