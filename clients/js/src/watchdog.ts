/**
 * Notices a connection that died without a word.
 *
 * Two keepalives without a byte are a dead connection. Where the other side can
 * be asked it is asked after one. Rule: silence is measured when the timer runs,
 * so a laptop that slept first asks and does not cut a connection that lives.
 */

import type { Environment } from "./environment.js";

/** A page that wakes up does not wait a whole keepalive for the answer. */
const HURRY_MS = 5_000;

export interface Watchdog {
  /** Something arrived. */
  heard(): void;
  stop(): void;
}

/** @param ask makes the other side answer; without it two keepalives are waited in silence */
export function watch(environment: Environment, keepaliveMs: number, dead: () => void, ask?: () => void): Watchdog {
  const { now } = environment;
  const limit = ask ? keepaliveMs : keepaliveMs * 2;
  let since = now();
  let asked = false;
  let cancel: () => void;

  function tick(): void {
    if (since + limit > now()) return wait();
    if (!ask || asked) return dead();
    askFor(limit);
  }

  function askFor(patience: number): void {
    asked = true;
    since = now() - limit + patience;
    ask?.();
    wait();
  }

  function wait(): void {
    cancel?.();
    cancel = environment.later(since + limit - now(), tick);
  }

  const sleep = environment.onWake(() => {
    if (ask) asked || askFor(Math.min(HURRY_MS, limit));
    else if (now() - since > keepaliveMs) dead();
  }, dead);
  wait();

  return {
    heard() {
      since = now();
      asked = false;
    },
    stop() {
      cancel();
      sleep();
    },
  };
}
