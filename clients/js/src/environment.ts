/**
 * The environment of the client: network, clock, randomness, and waking up.
 *
 * Everything else in here is given these, so a test runs on a clock of its own.
 * Rule: whoever takes a timer or a listener from here gives it back.
 */

/** As much of a WebSocket as is used; browsers' and the package `ws` both fit. */
export interface WebSocketLike {
  onmessage: unknown;
  onclose: unknown;
  onerror: unknown;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** As much of an `EventSource` as is used. */
export interface EventSourceLike {
  readonly readyState: number;
  onopen: unknown;
  onmessage: unknown;
  onerror: unknown;
  addEventListener(type: string, listener: (event: { data: string }) => void): void;
  close(): void;
}

export interface Environment {
  readonly fetch: typeof fetch;
  readonly WebSocket?: (new (url: string, protocols: string[]) => WebSocketLike) | undefined;
  readonly EventSource?: (new (url: string, init: { withCredentials: boolean }) => EventSourceLike) | undefined;
  /** Milliseconds that only go forward. */
  now(): number;
  /** In [0, 1). */
  random(): number;
  /** Call once after `ms`; gives what cancels it. */
  later(ms: number, run: () => void): () => void;
  /**
   * Call each time there is reason to hope again; gives what ends that.
   * @param leave called when the page is left. Browsers keep pages to go back to, and
   *   their connections with them: to the server the user would still be there.
   */
  onWake(run: () => void, leave?: () => void): () => void;
  /** Called with the reason why nothing connects. Default: the console while the page is developed, else nobody. */
  readonly explain?: ((why: string) => void) | undefined;
}

/** The longest that a timer of the platform takes; a longer one would run at once. */
export const LONGEST_MS = 2 ** 31 - 1;

declare const process: { readonly env: { readonly NODE_ENV?: string } };

/** True where the bundler says so; without one, where the page is of this very machine. */
export function isDevelopment(): boolean {
  let mode: string | undefined;
  try {
    // As it stands, because bundlers replace just this text.
    mode = process.env.NODE_ENV;
  } catch {
    // No bundler and no Node.
  }
  return mode ? mode === "development" : /^(localhost|.*\.localhost|127\.[\d.]+|\[::1\])$/.test(globalThis.location?.hostname);
}

/** This page, worker or process. Nothing is looked up before it is needed, so it renders on a server. */
export function ambient(): Environment {
  return {
    fetch: (input, init) => fetch(input, init),
    WebSocket: globalThis.WebSocket,
    explain: isDevelopment() ? (why) => console.warn(why) : undefined,
    now: () => performance.now(),
    random: Math.random,
    later(ms, run) {
      const timer = setTimeout(run, Math.min(ms, LONGEST_MS));
      return () => clearTimeout(timer);
    },
    onWake(run, leave) {
      const listening = new AbortController();
      const { signal } = listening;
      const page = globalThis.document;
      globalThis.addEventListener?.("online", run, { signal });
      globalThis.addEventListener?.("pagehide", leave as () => void, { signal });
      page?.addEventListener("visibilitychange", () => page.hidden || run(), { signal });
      return () => listening.abort();
    },
  };
}

/** Call once: after `ms`, or as soon as there is reason to hope. Gives what cancels it. */
export function laterOrAwake(environment: Environment, ms: number, run: () => void): () => void {
  const cancel = () => {
    stopTimer();
    stopListening();
  };
  const once = () => {
    cancel();
    run();
  };
  const stopTimer = environment.later(ms, once);
  const stopListening = environment.onWake(once);
  return cancel;
}
