/**
 * The publishes of one topic that have no answer yet, and the channel that sends them.
 *
 * Rule: they are sent in their order; and before one is sent again it is asked whether that is safe.
 */

import { type Environment, laterOrAwake } from "./environment.js";
import { type Channel, ChannelClosedError, ChannelGoneError, type ChannelOptions, type Client, TakoError } from "./index.js";
import type { Params } from "./message.js";
import type { Kept, OfflineStore } from "./offline_store.js";
import type { TabPage } from "./tabs_page.js";

/** A publish of this page or an earlier one. */
export interface OfflinePublish {
  readonly channel: string;
  readonly params: Params;
  readonly type: string;
  readonly data: unknown;
  readonly key: string;
  /** When it was published, in unix milliseconds. */
  readonly at: number;
}

export interface QueueOptions {
  readonly maxPublishes: number;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
  readonly replayWindowMs: number;
  onStored(publish: OfflinePublish, id: string | null): void;
  onReturned(publish: OfflinePublish, error: TakoError): void;
  /** Storing failed. */
  onTrouble(error: unknown): void;
}

export interface Entry {
  kept: Kept;
  /** In the store; `undefined` where it could not be stored. */
  order?: number | undefined;
  /** Stored, or known not to be. */
  readonly ready: Promise<void>;
  /** The connection has it. */
  sent: boolean;
  readonly resolve?: (id: string | null) => void;
  readonly reject?: (error: TakoError) => void;
}

/** Sent and without an answer at a time. */
const MAX_SENT = 64;
/** Between tries where the connection that there is takes no publishes. */
const PAUSE_MS = 5_000;

export interface LaneSettings {
  readonly client: Client;
  readonly store: OfflineStore | undefined;
  readonly options: QueueOptions;
  readonly page: TabPage;
  readonly environment: Environment;
}

export interface Lane {
  /** In the order in which they are sent. */
  readonly entries: readonly Entry[];
  /** The channel's: the newest that the application gave. */
  options: ChannelOptions;
  /** Open channels of the application. */
  users: number;
  /** What is stored now may be sent at once. */
  readonly open: boolean;
  /** Add one: the last, or where its place in the store is. */
  add(entry: Entry): void;
  /** Send what waits, now or once that can be. */
  start(): void;
  /** False where it was settled before. */
  remove(entry: Entry): boolean;
  giveBack(entry: Entry, error: TakoError): void;
  /** Give back what is too old to be sent. */
  judge(entry: Entry): void;
  /** Nothing waits, and nobody has the channel open. */
  rest(): void;
  /** Take back what was sent: this page sends no more for now. */
  letGo(): void;
}

export function publicOf({ channel, params, type, data, key, at }: Kept): OfflinePublish {
  return { channel, params, type, data, key, at };
}

/** @param onRest called when it is not needed any more */
export function createLane(settings: LaneSettings, channel: string, params: Params, given: ChannelOptions, onRest: () => void): Lane {
  const { client, store, options, page, environment } = settings;
  const entries: Entry[] = [];
  let handle: Channel | undefined;
  let sending = false;
  /** Ends the wait for a connection that takes publishes. */
  let cancelPause: (() => void) | undefined;

  function remove(entry: Entry): boolean {
    const at = entries.indexOf(entry);
    if (at < 0) return false;
    entries.splice(at, 1);
    if (entry.order !== undefined) store?.remove(entry.order).catch(options.onTrouble);
    // A turn later: the next one may be on its way.
    queueMicrotask(rest);
    return true;
  }

  function answered(entry: Entry, id: string | null): void {
    if (!remove(entry)) return;
    if (entry.resolve) entry.resolve(id);
    else options.onStored(publicOf(entry.kept), id);
  }

  function giveBack(entry: Entry, error: TakoError): void {
    if (!remove(entry)) return;
    if (entry.reject) entry.reject(error);
    else options.onReturned(publicOf(entry.kept), error);
  }

  function start(): void {
    if (handle) void send();
    else open();
  }

  /** A channel of our own, which takes back what it has sent when it is closed. */
  function open(): void {
    const before = handle;
    const { cursor: _, onGone, ...rest } = lane.options;
    // With the same options as the application's it shares its subscription.
    const opened = client.channel<Record<string, unknown>>(channel, { ...rest, params, ...(onGone && { onGone: () => {} }) }) as Channel;
    handle = opened;
    for (const entry of entries) entry.sent = false;
    opened.onState((state, error) => handle === opened && became(state, error));
    opened.subscribe(() => {});
    before?.close();
    void send();
  }

  function became(state: string, error: TakoError | undefined): void {
    if (state === "open") void send();
    else if (state !== "closed") {
      // Before the next connection sends it again it is asked whether that is safe.
      if (entries.some(({ sent }) => sent)) open();
    } else {
      handle = undefined;
      if (error instanceof ChannelGoneError) return start();
      for (const entry of [...entries]) giveBack(entry, error ?? new ChannelClosedError());
    }
  }

  async function send(): Promise<void> {
    if (sending) return;
    sending = true;
    try {
      for (;;) {
        const now = handle;
        if (cancelPause || now?.state !== "open") return;
        const room = MAX_SENT - entries.filter(({ sent }) => sent).length;
        const batch = entries.filter(({ sent }) => !sent).slice(0, room);
        if (!batch.length) return;
        await Promise.all(batch.map(({ ready }) => ready));
        for (const entry of batch) judge(entry);
        await note(batch.filter((entry) => entries.includes(entry) && entry.kept.sentAt === undefined));
        if (handle !== now || now.state !== "open") continue;
        for (const entry of batch) if (entries.includes(entry)) hand(now, entry);
      }
    } finally {
      sending = false;
    }
  }

  function hand(to: Channel, entry: Entry): void {
    entry.sent = true;
    to.publish(entry.kept.type, entry.kept.data, entry.kept.key).then(
      (id) => {
        answered(entry, id);
        void send();
      },
      (error: TakoError) => {
        // Taken back from a channel that was closed for that.
        if (handle !== to) return;
        // A POST, which an event stream stands on, wants a publish key. The WebSocket that it stands in for does not.
        if (error.code === "credentials-missing") return pause();
        giveBack(entry, error);
        void send();
      },
    );
  }

  /** Take back what was sent, so that all go in their order later. */
  function pause(): void {
    cancelPause = laterOrAwake(environment, PAUSE_MS, () => {
      cancelPause = undefined;
      void send();
    });
    open();
  }

  function judge(entry: Entry): void {
    const now = page.clock();
    const { at, sentAt } = entry.kept;
    // The server would not know the key again, and store it twice.
    if (sentAt !== undefined && now - sentAt >= options.replayWindowMs * 0.9) {
      giveBack(entry, new TakoError("publish-unknown", "It was sent, and whether it was stored cannot be known any more."));
    } else if (now - at >= options.maxAgeMs) giveBack(entry, new TakoError("publish-expired", "It has waited for too long."));
  }

  /** That they may be sent is stored before they are. */
  async function note(batch: readonly Entry[]): Promise<void> {
    if (!batch.length) return;
    const sentAt = page.clock();
    for (const entry of batch) entry.kept = { ...entry.kept, sentAt };
    await store?.sent(batch.flatMap(({ order }) => order ?? []), sentAt).catch(options.onTrouble);
  }

  function rest(): void {
    if (entries.length || lane.users) return;
    letGo();
    onRest();
  }

  function letGo(): void {
    const before = handle;
    cancelPause?.();
    cancelPause = handle = undefined;
    before?.close();
  }

  const lane: Lane = {
    entries,
    options: given,
    users: 0,
    get open() {
      return handle?.state === "open";
    },
    add(entry) {
      const { order = Infinity } = entry;
      const at = entries.findIndex((each) => (each.order ?? Infinity) > order);
      entries.splice(at < 0 ? entries.length : at, 0, entry);
    },
    start,
    remove,
    giveBack,
    judge,
    rest,
    letGo,
  };
  return lane;
}
