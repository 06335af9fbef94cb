/**
 * Delays between tries.
 *
 * Full jitter with a doubling upper edge: after a restart ten thousand clients
 * come back spread over the whole interval. Rule: only a message or a connection
 * that lasted makes the delays short again, so a server that accepts and closes
 * is not hammered.
 */

import type { Environment } from "./environment.js";
import type { Outcome } from "./outcome.js";

/** A connection that lasted this long counts as good. */
const STABLE_MS = 5_000;

const BASE_MS = 500;
const CAP_MS = 30_000;
/** Least that a server's `retry:` can make of the base. */
const RETRY_LEAST_MS = 100;

export interface Retries {
  /** The server's `retry:`. A base and no floor: a floor would bring all back at once. */
  rebase(retryMs: number): void;
  /** A connection was made, which alone proves nothing. */
  opened(): void;
  /** A message came. */
  succeeded(): void;
  /** Milliseconds to wait before the next try. An "at once" is only believed after a connection that lasted. */
  delay(outcome: Outcome): number;
}

export function createRetries({ now, random }: Environment): Retries {
  let failures = 0;
  let reauthenticated = false;
  let base = BASE_MS;
  let openedAt = Infinity;

  function succeeded(): void {
    failures = 0;
    reauthenticated = false;
  }

  return {
    rebase(retryMs) {
      base = Math.min(Math.max(retryMs, RETRY_LEAST_MS), CAP_MS);
    },
    opened() {
      openedAt = now();
    },
    succeeded,
    delay({ action, waitMs = 0 }) {
      const stable = now() - openedAt >= STABLE_MS;
      if (stable) succeeded();
      openedAt = Infinity;
      const atOnce = action === "now" ? stable : action === "reauthenticate" && !reauthenticated;
      reauthenticated ||= action === "reauthenticate";
      const edge = Math.min(CAP_MS, base * 2 ** failures++);
      return atOnce ? 0 : Math.floor(random() * edge) + waitMs;
    },
  };
}
