/** Whatever pages, the server and the network do: each publish is stored once, in order, or somebody is told. */

import { expect, test } from "vitest";
import { type Channel, createClient } from "../src/index.js";
import { offlineClient } from "../src/offline.js";
import { numbers } from "./numbers.js";
import { FakeBrowser, type FakeTab } from "./tabs_world.js";

const ROOMS = ["a", "b"];
const STEPS = 40;
const HANDED_OVER = "publish-handed-over";

interface Page {
  readonly name: string;
  readonly tab: FakeTab;
  readonly channels: readonly Channel[];
}

class History extends FakeBrowser {
  readonly pages = new Set<Page>();
  /** Data -> its room, in the order in which it was published. */
  readonly published = new Map<string, string>();
  readonly told = new Map<string, string>();
  readonly twice: string[] = [];
  readonly handedOver = new Set<string>();
  readonly next: (below: number) => number;

  constructor(seed: number) {
    super();
    this.next = numbers(seed);
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await this.world.settle();
  }

  tell(data: unknown, what: string): void {
    const before = this.told.get(String(data));
    if (what === HANDED_OVER) this.handedOver.add(String(data));
    // Whoever handed it over does not hear how it ended; the one who took it does.
    if (before && before !== HANDED_OVER && what !== HANDED_OVER) this.twice.push(String(data));
    if (!before || before === HANDED_OVER) this.told.set(String(data), what);
  }

  async opens(): Promise<void> {
    const tab = this.tab();
    const { environment, page } = tab;
    const options = {
      identity: "u1",
      onReturned: ({ data }: { data: unknown }, { code }: { code: string }) => this.tell(data, code),
      onStored: ({ data }: { data: unknown }, id: string | null) => this.tell(data, id ?? "dropped"),
    };
    const inner = createClient({ ...environment, url: "https://x.example", transport: "websocket" });
    const client = await offlineClient(inner, options, { environment, page, indexedDB: this.indexedDB });
    const channels = ROOMS.map((roomId) => client.channel<Record<string, unknown>>("chat", { params: { roomId } }) as Channel);
    this.pages.add({ name: `page${++this.ids}`, tab, channels });
  }

  publishes({ name, channels }: Page): void {
    const room = this.next(ROOMS.length);
    const data = `${name} ${this.published.size}`;
    this.published.set(data, ROOMS[room] as string);
    (channels[room] as Channel).publish("msg", data).then(
      (id) => this.tell(data, id ?? "dropped"),
      (error: { code: string }) => this.tell(data, error.code),
    );
  }

  async step(): Promise<void> {
    const kind = this.next(12);
    const page = [...this.pages][this.next(this.pages.size || 1)];
    if (!page || (kind === 0 && this.pages.size < 4)) await this.opens();
    else if (kind === 1) {
      page.tab.kill();
      this.pages.delete(page);
    } else if (kind === 2 && !page.tab.frozen) {
      // Kept to go back to: nothing of it runs.
      page.tab.stop();
      page.tab.frozen = true;
    } else if (kind === 6 && page.tab.frozen) page.tab.thaw();
    else if (kind === 3) this.server.up ? this.server.stop() : (this.server.up = true);
    else if (kind === 4) this.server.answerless = !this.server.answerless;
    else if (kind === 5) await this.world.advance(this.next(20_000));
    else if (!page.tab.frozen) this.publishes(page);
    // What was not stored when its page was killed is nobody's.
    await this.settle();
  }

  async quiet(): Promise<void> {
    for (const { tab } of this.pages) tab.thaw();
    this.server.stop();
    this.server.up = true;
    this.server.answerless = false;
    await this.opens();
    for (let minute = 0; minute < 6; minute++) {
      await this.world.advance(60_000);
      await this.settle();
    }
  }
}

async function play(seed: number): Promise<void> {
  const history = new History(seed);
  for (let n = 0; n < STEPS; n++) await history.step();
  await history.quiet();
  const { server, published, told, twice } = history;
  expect(twice).toEqual([]);
  const stored = server.log.map(({ data }) => String(data));
  expect(new Set(stored).size, "nothing is stored twice").toBe(stored.length);
  for (const [data, room] of published) {
    // The answer to a page that was killed may have come to nobody; and what was handed over is stored by another one.
    const outcome = told.get(data);
    const at = server.log.find((one) => one.data === data);
    if (outcome === undefined || /^\d+$/.test(outcome) || outcome === HANDED_OVER) expect(at?.params.roomId, data).toBe(room);
    else expect(outcome).toBe("publish-unknown");
    if (outcome && /^\d+$/.test(outcome)) expect(at?.id).toBe(outcome);
  }
  // Of one page and room they are in their order, but for what another one took over while the page was away.
  for (const room of ROOMS) {
    const inRoom = server.log.filter(({ params }) => params.roomId === room).map(({ data }) => String(data));
    const pages = new Set(inRoom.map((data) => data.split(" ")[0]));
    for (const page of pages) {
      const own = inRoom.filter((data) => data.split(" ")[0] === page && !history.handedOver.has(data));
      const numbers = own.map((data) => Number(data.split(" ")[1]));
      expect(numbers).toEqual([...numbers].sort((one, other) => one - other));
    }
  }
  const [page] = history.pages;
  const left = await new Promise<number>((resolve) => {
    const request = history.indexedDB.open("takotwist", 1);
    request.onsuccess = () => {
      const count = request.result.transaction("publishes").objectStore("publishes").count();
      count.onsuccess = () => resolve(count.result);
    };
  });
  expect([left, page !== undefined]).toEqual([0, true]);
}

test.each(Array.from({ length: 80 }, (_, seed) => seed))("history %i", (seed) => play(seed));
