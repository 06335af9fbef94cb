/**
 * What a tab needs of its browser to share a connection with others.
 *
 * Rule: nothing is looked up before it is needed, so that a module which shares renders on a server.
 */

/** As much of `navigator.locks` as is used. */
export interface LocksLike {
  request(
    name: string,
    options: { readonly signal?: AbortSignal; readonly steal?: boolean },
    granted: () => Promise<void> | void,
  ): Promise<unknown>;
}

/** As much of a `BroadcastChannel` as is used. */
export interface BroadcastLike {
  onmessage: unknown;
  postMessage(message: unknown): void;
  close(): void;
}

export interface TabPage {
  readonly locks: LocksLike;
  readonly BroadcastChannel: new (name: string) => BroadcastLike;
  /** A name that no other tab ever has. */
  newId(): string;
  /** A name for a group of tabs, from which what it is made of cannot be read. */
  digest(text: string): Promise<string>;
  /** The wall clock in milliseconds, the same in all tabs. */
  clock(): number;
  hidden(): boolean;
  /**
   * Call each time the page stops running: it is left, or frozen in the background. Gives what ends that.
   * A page that ends altogether need not say so: its locks are free then.
   */
  onStop(run: () => void): () => void;
}

/** This page; `undefined` where it lacks something. */
export function pageOfTab(): TabPage | undefined {
  const { BroadcastChannel, navigator, crypto, document } = globalThis;
  if (!BroadcastChannel || !navigator?.locks || !crypto?.subtle) return undefined;
  return {
    locks: navigator.locks as LocksLike,
    BroadcastChannel,
    newId: () => crypto.randomUUID(),
    async digest(text) {
      const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
      return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    },
    clock: () => Date.now(),
    hidden: () => document?.hidden ?? false,
    onStop(run) {
      const listening = new AbortController();
      const { signal } = listening;
      globalThis.addEventListener?.("pagehide", run, { signal });
      document?.addEventListener("freeze", run, { signal });
      return () => listening.abort();
    },
  };
}
