/**
 * Publishes that outlive their page, and who sends them.
 *
 * A publish is stored before it is sent, with its idempotency key, and removed when it has an answer. The
 * page that stored it sends it; when that page is gone, which its lock tells, another one takes it over.
 *
 *     a publish is   what comes next
 *     stored         sent        the topic is open, and that it may be sent is noted
 *     sent           stored      the connection was lost: nobody knows, and the key makes it safe to ask again
 *                    answered    the promise is settled; of an earlier page `onStored` is called
 *     any            given back  refused, or too old, or in doubt for longer than the server knows its key
 *
 * Rule: of one topic they are sent in the order in which they were published.
 */

import { type Environment, laterOrAwake } from "./environment.js";
import { ChannelClosedError, ChannelOverflowError, type ChannelOptions, type Client, TakoError } from "./index.js";
import type { Params } from "./message.js";
import { createLane, type Entry, type Lane, type OfflinePublish, publicOf, type QueueOptions } from "./offline_lane.js";
import type { Kept, OfflineStore, Stored } from "./offline_store.js";
import type { TabPage } from "./tabs_page.js";
import { topicName } from "./topic.js";

/** How often pages that came later are looked for, should one of them have gone. */
const LOOK_MS = 30_000;
/** Until a page that stopped goes on, should nothing wake it: its timers stand still meanwhile. */
const BACK_MS = 1_000;

export interface OfflineQueue {
  /** A channel of the application is open; gives what publishes on it, and what says that it is closed. */
  use(channel: string, params: Params, options: ChannelOptions): { publish(type: string, data: unknown, json: string, key?: string): Promise<string | null>; release(): void };
  /** Publishes without an answer of this page and of those whose it took over. */
  waiting(): readonly OfflinePublish[];
  /** Give up all, and what is stored. */
  forget(): Promise<void>;
  close(): void;
}

function lockOf(owner: string): string {
  return `takotwist offline ${owner}`;
}

export function createOfflineQueue(
  client: Client,
  store: OfflineStore | undefined,
  options: QueueOptions,
  page: TabPage,
  environment: Environment,
): OfflineQueue {
  const lanes = new Map<string, Lane>();
  const watched = new Map<string, AbortController>();
  let owner = page.newId();
  let leave = new AbortController();
  /** This page's lock is held, by which others see that it lives. */
  let owning = own();
  let cancelLook: (() => void) | undefined;
  let cancelBack: (() => void) | undefined;
  /** The page was left, and may be shown again: its lock is given back. */
  let away = false;
  let over = false;

  function own(): Promise<void> {
    const { signal } = leave;
    return new Promise((resolve, reject) => {
      const hold = () => {
        resolve();
        return new Promise<void>((free) => signal.addEventListener("abort", () => free()));
      };
      page.locks.request(lockOf(owner), { signal }, hold).catch(reject);
    });
  }

  // storing

  function laneOf(channel: string, params: Params, of: ChannelOptions): Lane {
    const { url = "", header = "", transport = "auto" } = of;
    const key = JSON.stringify([topicName(channel, params), url, header, String(transport)]);
    const known = lanes.get(key);
    if (known) return known;
    const made: Lane = createLane({ client, store, options, page, environment }, channel, params, of, () => {
      if (lanes.get(key) === made) lanes.delete(key);
    });
    lanes.set(key, made);
    return made;
  }

  function publish(lane: Lane, kept: Kept): Promise<string | null> {
    return new Promise((resolve, reject) => {
      const waits = [...lanes.values()].flatMap(({ entries }) => entries);
      const size = waits.reduce((sum, entry) => sum + entry.kept.size, kept.size);
      if (waits.length >= options.maxPublishes || size > options.maxBytes) throw new ChannelOverflowError("Too many messages wait.");
      const entry: Entry = { kept, ready: Promise.resolve().then(() => keep(lane, entry)), sent: false, resolve, reject };
      lane.add(entry);
      // Who publishes runs, whether or not anybody has said so.
      if (away) void back();
      lane.start();
    });
  }

  async function keep(lane: Lane, entry: Entry): Promise<void> {
    if (!store) return;
    try {
      const of = owner;
      await owning;
      // It may go at once: noted with the same transaction.
      if (lane.open) entry.kept = { ...entry.kept, sentAt: page.clock() };
      entry.order = await store.add(of, entry.kept, options);
      if (entry.order === undefined) lane.giveBack(entry, new ChannelOverflowError("Too many messages wait."));
      // It was settled or given up meanwhile.
      else if (!lane.entries.includes(entry)) await store.remove(entry.order);
    } catch (error) {
      // Full, or refused: it is sent all the same, and lost with the page.
      options.onTrouble(error);
    }
  }

  // taking over

  async function look(): Promise<void> {
    cancelLook?.();
    cancelLook = undefined;
    if (over || !store) return;
    cancelLook = laterOrAwake(environment, LOOK_MS, () => void look());
    const owners = await store.owners().catch((error) => (options.onTrouble(error), []));
    for (const each of owners) if (each !== owner && !watched.has(each) && !over) takeOver(each);
  }

  /** When the page has gone its lock is free, for one of those who wait for it. */
  function takeOver(from: string): void {
    const abort = new AbortController();
    watched.set(from, abort);
    const claim = async () => {
      await owning;
      if (abort.signal.aborted) return;
      const found = (await store?.claim(from, owner)) ?? [];
      // Where this page stopped meanwhile they are another one's soon.
      if (!abort.signal.aborted) found.forEach(adopt);
    };
    page.locks
      .request(lockOf(from), { signal: abort.signal }, claim)
      .catch((error) => abort.signal.aborted || options.onTrouble(error))
      .finally(() => watched.get(from) === abort && watched.delete(from));
  }

  function adopt({ order, ...kept }: Stored): void {
    const { channel, params, options: kept_ } = kept;
    const lane = laneOf(channel, params, kept_ as ChannelOptions);
    const mine = lane.entries.find((entry) => entry.kept.key === kept.key);
    if (mine) mine.order = order;
    else {
      const entry: Entry = { kept, order, ready: Promise.resolve(), sent: false };
      lane.add(entry);
      lane.judge(entry);
    }
    if (lane.entries.length && (lane.users || !kept.needsChannel)) lane.start();
  }

  /** The page is left. Others may take over; should it be shown again it takes back what is left. */
  function stop(): void {
    if (over) return;
    away = true;
    leave.abort();
    for (const abort of watched.values()) abort.abort();
    watched.clear();
    cancelLook?.();
    for (const lane of lanes.values()) lane.letGo();
    cancelBack?.();
    cancelBack = laterOrAwake(environment, BACK_MS, () => void back());
  }

  async function back(): Promise<void> {
    cancelBack?.();
    away = false;
    const before = owner;
    owner = page.newId();
    leave = new AbortController();
    owning = own();
    try {
      await owning;
      const mine = new Set((await store?.claim(before, owner))?.map(({ order }) => order));
      for (const lane of [...lanes.values()]) {
        for (const entry of [...lane.entries]) {
          if (entry.order === undefined || mine.has(entry.order)) continue;
          // It is another tab's now.
          entry.order = undefined;
          lane.giveBack(entry, new TakoError("publish-handed-over", "Another tab sends it."));
        }
        if (lane.entries.length) lane.start();
      }
    } catch (error) {
      options.onTrouble(error);
    }
    void look();
  }

  const stopListening = page.onStop(stop);
  owning.catch(options.onTrouble);
  void look();

  return {
    use(channel, params, of) {
      const lane = laneOf(channel, params, of);
      lane.users++;
      // The newest: an older one may belong to a page that was left.
      lane.options = of;
      if (lane.entries.length) lane.start();
      const { url, header, transport, stale, credentials } = of;
      const plain = typeof transport !== "function";
      const keep: Kept["options"] = { ...(url && { url }), ...(header && { header }), ...(stale && { stale }), ...(plain && transport && { transport }) };
      const needsChannel = credentials !== undefined || !plain;
      return {
        publish(type, data, json, key = page.newId()) {
          return publish(lane, { channel, params, options: keep, needsChannel, type, data, key, size: json.length, at: page.clock() });
        },
        release() {
          lane.users--;
          queueMicrotask(lane.rest);
        },
      };
    },
    waiting: () => [...lanes.values()].flatMap(({ entries }) => entries.map(({ kept }) => publicOf(kept))),
    async forget() {
      for (const lane of [...lanes.values()]) {
        // Those of earlier pages have nobody who waits.
        for (const entry of [...lane.entries]) if (lane.remove(entry)) entry.reject?.(new ChannelClosedError());
      }
      await store?.clear();
    },
    close() {
      if (over) return;
      over = true;
      stopListening();
      leave.abort();
      cancelLook?.();
      cancelBack?.();
      for (const abort of watched.values()) abort.abort();
      for (const lane of lanes.values()) lane.letGo();
      lanes.clear();
    },
  };
}
