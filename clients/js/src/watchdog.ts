/**
 * Notices a connection that died without a word.
 *
 * Two keepalives without a byte are a dead connection. Where the other side can
 * be asked it is asked after one. Rule: silence is measured when the timer runs,
 * so a laptop that slept first asks and does not cut a connection that lives.
 */

import type { Environment } from "./environment.js";

/** Timeout of the ping of a page that wakes up, which does not wait a whole keepalive. */
const WAKE_PING_MS = 5_000;

export interface Watchdog {
  /** Something arrived. */
  heard(): void;
  stop(): void;
}

/** @param ping makes the other side answer; without it two keepalives pass in silence */
export function watch(environment: Environment, keepaliveMs: number, dead: () => void, ping?: () => void): Watchdog {
  const { now } = environment;
  const limit = ping ? keepaliveMs : keepaliveMs * 2;
  let since = now();
  let pinged = false;
  let cancel: () => void;

  function tick(): void {
    if (since + limit > now()) return wait();
    if (!ping || pinged) return dead();
    sendPing(limit);
  }

  function sendPing(timeout: number): void {
    pinged = true;
    since = now() - limit + timeout;
    ping?.();
    wait();
  }

  function wait(): void {
    cancel?.();
    cancel = environment.later(since + limit - now(), tick);
  }

  const sleep = environment.onWake(() => {
    if (ping) pinged || sendPing(Math.min(WAKE_PING_MS, limit));
    else if (now() - since > keepaliveMs) dead();
  }, dead);
  wait();

  return {
    heard() {
      since = now();
      pinged = false;
    },
    stop() {
      cancel();
      sleep();
    },
  };
}
