/**
 * Where topics were, kept for the next page.
 *
 * Rule: a cursor is kept after the application was given the message, and one write is under way at a
 * time. So a page that ends in between is given that message again, and misses none.
 */

import type { Incoming } from "./message.js";
import type { CursorChange, OfflineStore } from "./offline_store.js";

export interface CursorKeeper {
  /** Where a topic was when this page began; from now on it is kept. */
  before(topic: string): string | undefined;
  /** Takes each message that was given; `undefined` where it is not kept. */
  watch(topic: string): ((message: Incoming) => void) | undefined;
  forget(): void;
}

export async function createCursorKeeper(store: OfflineStore | undefined, trouble: (error: unknown) => void): Promise<CursorKeeper> {
  const wanted = new Set<string>();
  let known: ReadonlyMap<string, string> = new Map();
  let changes = new Map<string, CursorChange>();
  let writing = false;

  async function write(): Promise<void> {
    if (writing || !store) return;
    writing = true;
    try {
      // A turn later: what comes together is one write.
      await undefined;
      while (changes.size) {
        const now = changes;
        changes = new Map();
        await store.keepCursors(now);
      }
    } catch (error) {
      trouble(error);
    } finally {
      writing = false;
    }
  }

  if (store) {
    try {
      known = await store.cursors();
    } catch (error) {
      trouble(error);
    }
  }

  return {
    before(topic) {
      wanted.add(topic);
      return known.get(topic);
    },
    watch(topic) {
      if (!wanted.has(topic)) return undefined;
      return (message) => {
        const gone = message.id === undefined;
        const cursor = gone ? (message.data as { cursor?: string }).cursor : message.id;
        changes.set(topic, { cursor, anew: gone || (changes.get(topic)?.anew ?? false) });
        void write();
      };
    },
    forget() {
      changes.clear();
      known = new Map();
    },
  };
}
