/**
 * Publishes that have no answer yet.
 *
 * Each is sent as soon as the topic is attached, and sent once more with the same
 * idempotency key where the connection went away before its answer, or where the server
 * refuses it for now, such as for a rate that a long outage's publishes are over. Rule:
 * bounded by count and bytes; past that the newest is refused, none is forgotten.
 */

import { type Environment, laterOrAwake } from "./environment.js";
import { ChannelOverflowError, TakoError } from "./errors.js";
import type { Answer, Draft, Link } from "./link.js";
import { errorOf, type Outcome } from "./outcome.js";
import { createRetries } from "./retries.js";
import { toJson } from "./values.js";

interface Entry extends Draft {
  readonly owner: object;
  readonly size: number;
  readonly resolve: (id: string | null) => void;
  readonly reject: (error: TakoError) => void;
  sent?: boolean;
  /** Since when all answers to it were somebody else's. */
  foreignSince?: number | undefined;
}

/** A firewall that refuses a body never changes its mind; a router during a deploy does. */
const FOREIGN_MS = 60_000;

export interface PublishBounds {
  readonly maxPublishes?: number;
  readonly maxPublishBytes?: number;
}

export interface PublishQueue {
  /**
   * Keep and send.
   * @param owner whose it is, for `drop`
   * @param key its idempotency key; by default one of its own
   */
  add(owner: object, bounds: PublishBounds, type: string, data: unknown, key?: string): Promise<string | null>;
  /**
   * The topic is attached to this link, or to none: what has no answer is sent again on the next.
   * @param better a connection is worth waiting for that takes what a serial link would be refused,
   *   by a server that wants a publish key for a POST
   */
  attach(link?: Link, better?: boolean): void;
  /** Fail those of one owner, or all. */
  drop(error: TakoError, owner?: object): void;
}

export function createPublishQueue(environment: Environment): PublishQueue {
  const entries = new Set<Entry>();
  const retries = createRetries(environment);
  let size = 0;
  let link: Link | undefined;
  let wait: boolean | undefined;
  /**
   * Since a refusal for now, and until nothing waits: one at a time. Sent all together they would be
   * refused all together, again and again, and one that slips through would overtake those before it.
   */
  let paced = false;
  let cancelRetry: (() => void) | undefined;

  function flush(): void {
    paced &&= entries.size > 0;
    for (const entry of entries) {
      if (!link || cancelRetry || wait) return;
      if (!entry.sent) {
        const by = link;
        entry.sent = true;
        by.publish(entry, (answer) => by === link && answered(entry, answer));
      }
      if (link.serial || paced) return;
    }
  }

  function answered(entry: Entry, answer: Answer): void {
    if (answer === null || typeof answer === "string") {
      if (remove(entry)) entry.resolve(answer);
    } else if (retriable(entry, answer)) {
      entry.sent = false;
      paced = true;
      cancelRetry ??= laterOrAwake(environment, retries.delay(answer), () => {
        cancelRetry = undefined;
        flush();
      });
      return;
    } else if (remove(entry)) entry.reject(errorOf(answer));
    retries.succeeded();
    flush();
  }

  /**
   * A refused one is kept: a POST like any request; a frame where the server says when, or where its
   * topic is about to begin anew. A frame's `internal-error` says no time: the next try fails like this one.
   */
  function retriable(entry: Entry, answer: Outcome): boolean {
    return link?.serial
      ? answer.action === "backoff" && !blocked(entry, answer)
      : (answer.action === "backoff" && answer.waitMs !== undefined) || /^(shutting-down|credentials-expired)$/.test(answer.code);
  }

  /** Somebody between refuses this one for good, so that it may not hold up the others. */
  function blocked(entry: Entry, { code }: Outcome): boolean {
    if (!/^http-(?!408|425|429)[2-4]/.test(code)) entry.foreignSince = undefined;
    else return environment.now() - (entry.foreignSince ??= environment.now()) >= FOREIGN_MS;
    return false;
  }

  function remove(entry: Entry): boolean {
    size -= entries.has(entry) ? entry.size : 0;
    return entries.delete(entry);
  }

  /** `data` in JSON. */
  function sayable(type: string, data: unknown): string {
    try {
      toJson(type);
      return toJson(data);
    } catch (cause) {
      throw new TakoError("body-invalid", (cause as Error).message);
    }
  }

  return {
    add: (owner, { maxPublishes = 256, maxPublishBytes = 2 ** 20 }, type, data, key = `${environment.random()}${environment.random()}`) =>
      new Promise((resolve, reject) => {
        const text = sayable(type, data);
        if (entries.size >= maxPublishes || size + text.length > maxPublishBytes) {
          throw new ChannelOverflowError("Too many messages wait.");
        }
        size += text.length;
        // Parsed again: what the caller changes later is not what was published.
        entries.add({ owner, size: text.length, type, data: JSON.parse(text), key, resolve, reject });
        flush();
      }),
    attach(to, better) {
      cancelRetry?.();
      cancelRetry = undefined;
      link = to;
      wait = to?.serial && better;
      for (const entry of entries) entry.sent = false;
      flush();
    },
    drop(error, owner) {
      for (const entry of entries) {
        if ((!owner || entry.owner === owner) && remove(entry)) entry.reject(error);
      }
    },
  };
}
