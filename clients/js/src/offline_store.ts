/**
 * What is kept over a reload, in IndexedDB: publishes without an answer, and cursors.
 *
 * Each record is of one identity, and each publish of one page, its owner, which sends it. Rule: a
 * change is one transaction, so two tabs never have one publish, and the totals are always right.
 */

import type { Params } from "./message.js";

/** A publish that has no answer yet. */
export interface Kept {
  readonly channel: string;
  readonly params: Params;
  /** The channel's options that can be kept. */
  readonly options: { readonly url?: string; readonly header?: string; readonly transport?: string; readonly stale?: "reset" | "stop" };
  /** It had options that cannot, such as credentials: it waits until the channel is opened again. */
  readonly needsChannel: boolean;
  readonly type: string;
  readonly data: unknown;
  /** Its idempotency key. */
  readonly key: string;
  /** Of its data, in characters of JSON. */
  readonly size: number;
  /** When it was published, by the wall clock. */
  readonly at: number;
  /** When it may have been sent first. */
  readonly sentAt?: number;
}

export interface Stored extends Kept {
  /** Its place: rising, over all pages. */
  readonly order: number;
}

export interface Bounds {
  readonly maxPublishes: number;
  readonly maxBytes: number;
}

/** Where a cursor stands; `anew` where continuity ended, and it may be lower than before. */
export interface CursorChange {
  readonly cursor: string | undefined;
  readonly anew: boolean;
}

export interface OfflineStore {
  /** Its place; `undefined` where a bound of the identity is reached. */
  add(owner: string, kept: Kept, bounds: Bounds): Promise<number | undefined>;
  sent(orders: readonly number[], at: number): Promise<void>;
  remove(order: number): Promise<void>;
  /** Pages that have publishes here. */
  owners(): Promise<readonly string[]>;
  /** Take over what another page had; in order. */
  claim(from: string, owner: string): Promise<readonly Stored[]>;
  /** By topic. */
  cursors(): Promise<ReadonlyMap<string, string>>;
  keepCursors(changes: ReadonlyMap<string, CursorChange>): Promise<void>;
  clear(): Promise<void>;
  close(): void;
}

interface PublishRow extends Stored {
  readonly identity: string;
  readonly owner: string;
}

interface CursorRow {
  readonly identity: string;
  readonly topic: string;
  readonly cursor: string;
  readonly at: number;
}

interface TotalRow {
  readonly identity: string;
  readonly count: number;
  readonly size: number;
}

const DATABASE = "takotwist";
/** Cursors of one identity; past it the oldest are forgotten. */
const MAX_CURSORS = 1_000;

function done<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function opened(factory: IDBFactory): Promise<IDBDatabase> {
  const request = factory.open(DATABASE, 1);
  request.onupgradeneeded = () => {
    const { result } = request;
    result.createObjectStore("publishes", { keyPath: "order", autoIncrement: true }).createIndex("identity", ["identity", "owner"]);
    result.createObjectStore("cursors", { keyPath: ["identity", "topic"] });
    result.createObjectStore("totals", { keyPath: "identity" });
  };
  return done(request);
}

/**
 * @param newer true where an id comes after another
 * @throws where the browser has no database for this page
 */
export async function openStore(
  factory: IDBFactory,
  identity: string,
  clock: () => number,
  newer: (id: string, than: string) => boolean,
): Promise<OfflineStore> {
  const database = await opened(factory);
  // A later build wants to change it.
  database.onversionchange = () => database.close();
  const own = (owner?: string) => IDBKeyRange.bound([identity, owner ?? ""], owner === undefined ? [identity, []] : [identity, owner]);
  const ownTopics = IDBKeyRange.bound([identity, ""], [identity, []]);

  /** Done when it is committed. */
  async function change<Result>(names: readonly string[], work: (stores: (name: string) => IDBObjectStore) => Promise<Result>): Promise<Result> {
    const transaction = database.transaction(names as string[], "readwrite");
    const committed = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = transaction.onerror = () => reject(transaction.error ?? new Error("aborted"));
    });
    const result = work((name) => transaction.objectStore(name)).catch((error) => {
      // Of a change that failed in the middle nothing is kept.
      if (transaction.error === null) transaction.abort();
      throw error;
    });
    await Promise.all([result, committed]);
    return result;
  }

  async function total(stores: (name: string) => IDBObjectStore, count: number, size: number): Promise<TotalRow> {
    const before = ((await done(stores("totals").get(identity))) ?? { count: 0, size: 0 }) as TotalRow;
    return { identity, count: before.count + count, size: before.size + size };
  }

  return {
    add: (owner, kept, { maxPublishes, maxBytes }) =>
      change(["publishes", "totals"], async (stores) => {
        const next = await total(stores, 1, kept.size);
        if (next.count > maxPublishes || next.size > maxBytes) return undefined;
        stores("totals").put(next);
        return (await done(stores("publishes").add({ ...kept, identity, owner }))) as number;
      }),
    sent: (orders, at) =>
      change(["publishes"], async (stores) => {
        for (const order of orders) {
          const row = (await done(stores("publishes").get(order))) as PublishRow | undefined;
          if (row) stores("publishes").put({ ...row, sentAt: at });
        }
      }),
    remove: (order) =>
      change(["publishes", "totals"], async (stores) => {
        const row = (await done(stores("publishes").get(order))) as PublishRow | undefined;
        if (!row) return;
        stores("publishes").delete(order);
        stores("totals").put(await total(stores, -1, -row.size));
      }),
    owners: () =>
      new Promise((resolve, reject) => {
        const found: string[] = [];
        const request = database.transaction("publishes").objectStore("publishes").index("identity").openKeyCursor(own(), "nextunique");
        request.onerror = () => reject(request.error);
        request.onsuccess = () => {
          const { result } = request;
          if (!result) return resolve(found);
          found.push((result.key as [identity: string, owner: string])[1]);
          result.continue();
        };
      }),
    claim: (from, owner) =>
      change(["publishes"], async (stores) => {
        const rows = (await done(stores("publishes").index("identity").getAll(own(from)))) as PublishRow[];
        for (const row of rows) stores("publishes").put({ ...row, owner });
        return rows.sort((one, other) => one.order - other.order);
      }),
    async cursors() {
      const rows = (await done(database.transaction("cursors").objectStore("cursors").getAll(ownTopics))) as CursorRow[];
      return new Map(rows.map(({ topic, cursor }) => [topic, cursor]));
    },
    keepCursors: (changes) =>
      change(["cursors"], async (stores) => {
        const cursors = stores("cursors");
        for (const [topic, { cursor, anew }] of changes) {
          const before = (await done(cursors.get([identity, topic]))) as CursorRow | undefined;
          if (cursor === undefined) cursors.delete([identity, topic]);
          else if (anew || !before || newer(cursor, before.cursor)) cursors.put({ identity, topic, cursor, at: clock() });
        }
        if ((await done(cursors.count(ownTopics))) <= MAX_CURSORS) return;
        const rows = (await done(cursors.getAll(ownTopics))) as CursorRow[];
        const oldest = rows.sort((one, other) => one.at - other.at).slice(0, rows.length - MAX_CURSORS);
        for (const { topic } of oldest) cursors.delete([identity, topic]);
      }),
    clear: () =>
      change(["publishes", "cursors", "totals"], async (stores) => {
        stores("totals").delete(identity);
        stores("cursors").delete(ownTopics);
        const keys = await done(stores("publishes").index("identity").getAllKeys(own()));
        for (const key of keys) stores("publishes").delete(key);
      }),
    close: () => database.close(),
  };
}
