/**
 * A client that keeps what was published, and where channels were, over a reload:
 *
 *     const client = await offlineClient(createClient(), { identity: user.id, onReturned: restore });
 *     client.channel("chat", { params }).publish("msg", { text });  // offline, or just before the tab is closed
 *
 * Rule: its channels are those of the client that it is given; of them only `publish` is another one.
 */

import { ambient, type Environment, isDevelopment } from "./environment.js";
import { type Channel, type ChannelOptions, type Client, type Incoming, type Registered, TakoError } from "./index.js";
import type { Params } from "./message.js";
import { createCursorKeeper } from "./offline_cursors.js";
import type { OfflinePublish } from "./offline_lane.js";
import { createOfflineQueue, type OfflineQueue } from "./offline_queue.js";
import { type OfflineStore, openStore } from "./offline_store.js";
import { pageOfTab, type TabPage } from "./tabs_page.js";
import { newer, topicName } from "./topic.js";
import { checkedParams, toJson } from "./values.js";

export type { OfflinePublish } from "./offline_lane.js";

export interface OfflineOptions {
  /** Whose publishes and cursors: the id of the user who is signed in. What one left on this device is sent by nobody else. */
  readonly identity: string;
  /**
   * A publish of an earlier page cannot be stored: it was refused (the server's code), has waited for
   * longer than `maxAgeMs` (`publish-expired`), or may have been stored before longer than the server
   * knows its key (`publish-unknown`). It is not kept any more. For a publish of this page its promise
   * rejects instead.
   */
  readonly onReturned: (publish: OfflinePublish, error: TakoError) => void;
  /** A publish of an earlier page is stored. */
  readonly onStored?: (publish: OfflinePublish, id: string | null) => void;
  /** Publishes of the identity that may wait, in all tabs. Default: 1000. */
  readonly maxPublishes?: number;
  /** The same in characters of JSON. Default: 1 MiB. */
  readonly maxBytes?: number;
  /** How long a publish may wait, in ms. Default: seven days. */
  readonly maxAgeMs?: number;
  /** The channels' replay window, in which the server knows a key again. Default: 600000, the server's own. */
  readonly replayWindowMs?: number;
}

export interface OfflineClient<Channels extends object = Registered> extends Client<Channels> {
  /**
   * The last message of a topic that any tab of the identity was given before this page began; for the
   * option `cursor`. From this call on it is kept for the next page.
   */
  keptCursor(name: string, params?: Params): string | undefined;
  /** Publishes without an answer, of this page and of those that it took over. */
  waiting(): readonly OfflinePublish[];
  /** Things are kept: there is a database, and it is not full. */
  readonly persistent: boolean;
  /** What is kept of the identity is removed from this device: for signing out. */
  forget(): Promise<void>;
  /** Nothing is sent any more; what waits is kept for the next page. */
  close(): void;
}

/** @internal In place of the browser's. */
export interface OfflinePlatform {
  readonly environment: Environment;
  readonly page: TabPage | undefined;
  readonly indexedDB: IDBFactory | undefined;
}

function platformOfPage(): OfflinePlatform {
  return { environment: ambient(), page: pageOfTab(), indexedDB: globalThis.indexedDB };
}

/** Where there are no locks, each page keeps its publishes in memory. */
const ALONE: TabPage = {
  locks: { request: async (_name, _options, granted) => granted() },
  BroadcastChannel: undefined as never,
  newId: () => `${Math.random()}${Math.random()}`,
  digest: async (text) => text,
  clock: () => Date.now(),
  hidden: () => false,
  onStop: () => () => {},
};

/**
 * Opens what was kept. Nothing of it is sent before that, so wait for it before channels are opened.
 * @throws TypeError where the identity is missing
 */
export async function offlineClient<Channels extends object = Registered>(
  client: Client<Channels>,
  { identity, onReturned, onStored = () => {}, ...given }: OfflineOptions,
  { environment, page, indexedDB }: OfflinePlatform = platformOfPage(),
): Promise<OfflineClient<Channels>> {
  if (typeof identity !== "string" || !identity) throw new TypeError("offlineClient needs an identity: whose publishes.");
  const { maxPublishes = 1_000, maxBytes = 2 ** 20, maxAgeMs = 7 * 86_400_000, replayWindowMs = 600_000 } = given;
  const inner = client as unknown as Client;
  let persistent = false;

  function trouble(error: unknown): void {
    if (persistent && isDevelopment()) console.warn(`takotwist: publishes are not kept over a reload any more: ${String(error)}`);
    persistent = false;
  }

  async function open(): Promise<OfflineStore | undefined> {
    // Without locks two pages would send the same.
    if (!page || !indexedDB) return undefined;
    persistent = true;
    return openStore(indexedDB, identity, page.clock, newer).catch((error) => void trouble(error));
  }

  const store = await open();
  const cursors = await createCursorKeeper(store, trouble);
  const calls = { onStored: guarded(onStored), onReturned: guarded(onReturned), onTrouble: trouble };
  const options = { maxPublishes, maxBytes, maxAgeMs, replayWindowMs, ...calls };
  const queue = createOfflineQueue(inner, store, options, page ?? ALONE, environment);

  return {
    channel: ((name: string, options: ChannelOptions = {}) =>
      wrap(inner.channel(name, options as never) as Channel, name, options, queue, (params) =>
        cursors.watch(topicName(name, params)),
      )) as Client<Channels>["channel"],
    keptCursor: (name, params = {}) => cursors.before(topicName(name, params)),
    waiting: queue.waiting,
    get persistent() {
      return persistent;
    },
    async forget() {
      cursors.forget();
      await queue.forget();
    },
    close() {
      queue.close();
      store?.close();
    },
  };
}

/** What a caller's code throws is reported like that of any event listener, and stops nobody else. */
function guarded<Values extends unknown[]>(run: (...values: Values) => void): (...values: Values) => void {
  return (...values) => {
    try {
      run(...values);
    } catch (error) {
      (globalThis.reportError ?? console.error)(error);
    }
  };
}

/** @param watch takes what a topic's handlers were given; `undefined` where its cursor is not kept */
function wrap(
  channel: Channel,
  name: string,
  options: ChannelOptions,
  queue: OfflineQueue,
  watch: (params: Params) => ((message: Incoming) => void) | undefined,
): Channel {
  let params: Params | undefined;
  try {
    toJson(name);
    params = checkedParams(options.params ?? {});
  } catch {
    // The channel itself says what is wrong.
  }
  if (!params) return channel;
  const use = queue.use(name, params, options);
  const keep = watch(params);
  let released = false;
  let keeping = false;

  function release(): void {
    if (!released) use.release();
    released = true;
  }

  /** What handlers are given they have when it is kept, which is in a later turn. */
  function begin(): void {
    if (keep && !keeping) channel.subscribe(keep);
    keeping = true;
  }

  async function* iterate(): AsyncGenerator<Incoming, undefined> {
    for await (const message of channel) {
      yield message;
      keep?.(message);
    }
    return undefined;
  }

  channel.onState((state) => state === "closed" && release());
  return {
    name,
    get state() {
      return channel.state;
    },
    get error() {
      return channel.error;
    },
    get presence() {
      return channel.presence;
    },
    get cursor() {
      return channel.cursor;
    },
    subscribe(handler) {
      begin();
      return channel.subscribe(handler);
    },
    on(type: string, handler: (data: never, message: never) => void) {
      begin();
      return channel.on(type, handler as never);
    },
    onState: (listener) => channel.onState(listener),
    async publish(type, data, key) {
      // It connects with the first publish, and knows why it is closed.
      if (channel.state === "closed") return channel.publish(type, data);
      channel.subscribe(() => {})();
      let json: string;
      try {
        toJson(type);
        json = toJson(data);
      } catch (cause) {
        throw new TakoError("body-invalid", (cause as Error).message);
      }
      // Parsed again: what the caller changes later is not what was published.
      return use.publish(type, JSON.parse(json), json, key);
    },
    history: (options) => channel.history(options),
    close() {
      channel.close();
      release();
    },
    [Symbol.asyncIterator]: iterate,
  };
}
