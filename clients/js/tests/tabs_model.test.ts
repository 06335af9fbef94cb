/** Whatever tabs, the server and the network do, in whatever order: each channel has all, once, in order. */

import { expect, test } from "vitest";
import type { Channel, Client } from "../src/index.js";
import { numbers } from "./numbers.js";
import { FakeBrowser, type FakeTab } from "./tabs_world.js";

/** Of the last the app gives the state. */
const ROOMS = ["a", "b", "state"];
const STEPS = 60;

interface Followed {
  readonly room: string;
  readonly from: string | undefined;
  readonly channel: Channel;
  readonly seen: string[];
  resets: number;
}

interface OpenTab {
  readonly tab: FakeTab;
  readonly client: Client;
  readonly followed: Set<Followed>;
}

class History extends FakeBrowser {
  readonly tabs = new Set<OpenTab>();
  /** Data of a publish of a tab that was answered -> the id. */
  readonly acknowledged = new Map<string, string | null>();
  readonly next: (below: number) => number;
  count = 0;

  constructor(seed: number) {
    super();
    this.next = numbers(seed);
  }

  pick<Each>(of: Iterable<Each>): Each | undefined {
    const all = [...of];
    return all[this.next(all.length || 1)];
  }

  opens(): void {
    const tab = this.tab();
    tab.hidden = this.next(2) === 0;
    this.tabs.add({ tab, client: tab.client(), followed: new Set() });
  }

  follows({ client, followed }: OpenTab): void {
    const room = ROOMS[this.next(ROOMS.length)] as string;
    // Often from now on, at times from the begin or from somewhere.
    const from = room === "state" ? "newest" : [undefined, undefined, "newest", "0", String(Math.min(Math.max(this.server.removed, 100) + this.next(10), this.server.lastId))][this.next(5)];
    const options = { params: { roomId: room }, ...(from && { cursor: from }) };
    const channel = client.channel<Record<string, unknown>>("chat", options) as Channel;
    const one: Followed = { room, from, channel, seen: [], resets: 0 };
    channel.subscribe(({ type, id, data }) => {
      if (type === "tako.reset") one.resets++;
      if (type.startsWith("tako.")) one.seen.splice(0);
      if (type === "tako.state") one.seen.push(...(data as string[]));
      else if (id) one.seen.push(id);
    });
    followed.add(one);
  }

  publishes({ followed }: OpenTab): void {
    const one = this.pick(followed);
    const data = `tab ${++this.count}`;
    one?.channel.publish("msg", data).then((id) => this.acknowledged.set(data, id), () => {});
  }

  async step(): Promise<void> {
    const open = this.pick(this.tabs);
    const kind = this.next(15);
    if (!open || (kind === 0 && this.tabs.size < 5)) this.opens();
    else if (kind === 1) this.follows(open);
    else if (kind === 2 && !open.tab.frozen) {
      const one = this.pick(open.followed);
      one?.channel.close();
      if (one) open.followed.delete(one);
    } else if (kind === 3 && this.tabs.size > 1) {
      open.tab.kill();
      this.tabs.delete(open);
    } else if (kind === 4) open.tab.frozen = true;
    else if (kind === 5) open.tab.thaw();
    else if (kind === 6 && !open.tab.frozen) open.tab.stop();
    else if (kind === 7) open.tab.hidden = !open.tab.hidden;
    else if (kind === 8) this.server.up ? this.server.stop() : (this.server.up = true);
    else if (kind === 9) await this.world.advance(this.next(8_000));
    else if (kind === 10 && !open.tab.frozen) this.publishes(open);
    // The window passes whoever is not there.
    else if (kind === 14 && this.next(3) === 0) this.server.removed = this.server.lastId;
    else this.server.publish("chat", { roomId: ROOMS[this.next(ROOMS.length)] as string }, "msg", `server ${++this.count}`);
    // Not always: what happens in one turn happens too.
    if (this.next(3)) await this.world.settle();
  }

  /** All run, the server is there, and time passes. */
  async quiet(): Promise<void> {
    this.server.up = true;
    for (const { tab } of this.tabs) tab.thaw();
    await this.world.advance(90_000);
    for (const room of ROOMS) this.server.publish("chat", { roomId: room }, "msg", "last");
    await this.world.settle();
  }
}

async function play(seed: number): Promise<void> {
  const history = new History(seed);
  for (let n = 0; n < STEPS; n++) await history.step();
  await history.quiet();
  const { server, tabs } = history;
  const wanted = [...tabs].some(({ followed }) => followed.size);
  expect(server.open, "connections at the end").toBe(wanted ? 1 : 0);
  for (const { followed } of tabs) {
    for (const { channel, room, from, seen, resets } of followed) {
      const ids = server.log.filter(({ params }) => params.roomId === room).map(({ id }) => id);
      expect(channel.state).toBe("open");
      const begin = ids.indexOf(seen[0] as string);
      // Of a state all is there; from a cursor, all since, but for what nobody could have any more.
      const lacks = ids.slice(0, begin).filter((id) => room === "state" || (from !== undefined && Number(id) > Math.max(Number(from), server.removed)));
      expect(resets ? [] : lacks).toEqual([]);
      expect(begin, "it has seen the last message").toBeGreaterThanOrEqual(0);
      expect(seen).toEqual(ids.slice(begin));
    }
  }
  // Nothing is stored twice, and what was acknowledged is stored.
  const stored = server.log.map(({ data }) => data).filter((data) => String(data).startsWith("tab"));
  expect(new Set(stored).size).toBe(stored.length);
  for (const [data, id] of history.acknowledged) expect(server.log.find((one) => one.data === data)?.id).toBe(id);
  // And each tab's publishes to living channels have an answer.
  for (const { followed } of tabs) for (const { channel } of followed) channel.close();
  await history.world.settle();
  expect([server.open, history.channels.size, history.locks.holders.size, history.world.timers.size]).toEqual([0, 0, 0, 0]);
}

test.each(Array.from({ length: 150 }, (_, seed) => seed))("history %i", (seed) => play(seed));
