/**
 * The one WebSocket that all channels of a page share (protocol, section 5).
 *
 * It connects while anybody uses it, keeps topics apart, and asks each topic for
 * its cursor and credentials again after every reconnect. Rule: one refused
 * topic never touches the others.
 */

import { type Environment, laterOrAwake, type WebSocketLike } from "./environment.js";
import { type Link, type LinkEvents, parse, readMessage } from "./link.js";
import type { Params } from "./message.js";
import { BROKEN, LOST, NO_CREDENTIALS, ofClose, ofCode, type Outcome, SILENT, TOO_LARGE } from "./outcome.js";
import { createRetries } from "./retries.js";
import { topicName } from "./topic.js";
import { type Watchdog, watch } from "./watchdog.js";

/** Half of the time for the connection to be made; browsers themselves wait for minutes. */
const CONNECT_MS = 5_000;
const KEEPALIVE_MS = 25_000;
/** Failures in a row that make SSE worth a try: once it has worked, a restart is likelier than a firewall. */
const BLOCKED_AFTER = 3;

interface Frame {
  readonly op?: string;
  readonly ref?: number;
  readonly params?: Params;
  readonly id?: string | null;
  readonly cursor?: string;
  readonly reason?: string;
  readonly code?: string;
  readonly error?: string;
  readonly retryAfterMs?: number;
  readonly lifecycle?: { readonly keepaliveIntervalMs?: number };
}

/** One topic's place on the connection. */
interface Place {
  /** The topic's name on this page. */
  readonly name: string;
  readonly events: LinkEvents;
  /** Of the subscribe frame on this connection. */
  ref?: number | undefined;
  /** What frames say of the topic that was subscribed to. */
  said?: { readonly channel: string; readonly params: Params };
  /** The topic's name since its ack; what messages are matched by. */
  topic?: string | undefined;
  /** It ended and waits for `again`. */
  ended?: boolean;
}

/** A frame that was sent, and who is told of its answer. */
interface Waiting {
  readonly op: string;
  readonly size: number;
  readonly answered: (frame: Frame) => void;
  /** Whether there was an answer; that of a subscribe may be followed by the topic's end. */
  heard?: boolean;
}

export interface Mux {
  /** Whether WebSocket seems to be blocked here; whoever can do without should. */
  blocked(): boolean;
  /** Whether a topic of this name is here: a second subscription of it needs another connection. */
  has(name: string): boolean;
  join(name: string, events: LinkEvents): Link;
}

/** A close says one word only. */
function refusedOrigin(): string {
  return `The server takes no pages of ${globalThis.location?.origin ?? "this origin"}: see http.allowed_origins in its configuration.`;
}

/** @param onIdle called when the last topic has left and the connection is closed */
export function createMux(environment: Environment, url: string, onIdle: () => void): Mux {
  const places = new Set<Place>();
  /** Who waits for a frame with a `ref`. Cleared with the connection. */
  const waiting = new Map<number, Waiting>();
  /** Refusals of frames that the server could read no `ref` of, and the frames that it may have been. */
  const orphans: Frame[] = [];
  const suspects = new Set<number>();
  const retries = createRetries(environment);
  let socket: WebSocketLike | undefined;
  let open = false;
  let watchdog: Watchdog | undefined;
  let cancelRetry: (() => void) | undefined;
  let lastRef = 0;
  let misses = BLOCKED_AFTER - 1;

  function send(op: string, frame?: object, onAnswer?: (frame: Frame) => void): number {
    const ref = ++lastRef;
    const text = JSON.stringify({ op, ref, ...frame });
    if (onAnswer) waiting.set(ref, { op, size: text.length, answered: onAnswer });
    socket?.send(text);
    return ref;
  }

  function connect(): void {
    cancelRetry = undefined;
    try {
      // Refused mixed content and a bad address throw here.
      socket = new (environment.WebSocket as NonNullable<Environment["WebSocket"]>)(url, ["tako.v1"]);
      socket.onmessage = (event: { data: unknown }) => received(event.data);
      socket.onclose = (event: { code: number; reason: string }) => lost(ofClose(event.code, event.reason));
      socket.onerror = () => {};
      watchdog = watch(environment, CONNECT_MS, () => lost(SILENT));
    } catch {
      lost(LOST);
    }
  }

  /** Let go of the socket at once: a dead one would take minutes to say that it closed. */
  function drop(): void {
    watchdog?.stop();
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close(1000);
    }
    open = false;
    socket = watchdog = undefined;
    waiting.clear();
    suspects.clear();
    orphans.length = 0;
    for (const place of places) place.ref = place.topic = undefined;
  }

  function lost(was: Outcome): void {
    if (!open) misses++;
    const refused = was.code === "origin-rejected" ? { ...was, message: refusedOrigin() } : was;
    const outcome = was.code === TOO_LARGE && refuseLargest(was) ? LOST : refused;
    drop();
    const all = [...places];
    if (outcome.action === "stop" || outcome.action === "gone") {
      // No cursor belongs to the connection as a whole, so there is nothing to start anew with.
      places.clear();
      queueMicrotask(leaveIfIdle);
      for (const { events } of all) events.ended({ ...outcome, action: "stop" });
    } else {
      // Credentials belong to topics and are asked for before every subscribe, so a 4401 is only a delay.
      cancelRetry = laterOrAwake(environment, retries.delay(outcome), connect);
      for (const { ended, events } of all) if (!ended) events.lost(outcome);
    }
  }

  /** The publish that a close for a frame too large can only have meant. Whether there was one. */
  function refuseLargest(outcome: Outcome): boolean {
    const publishes = [...waiting.values()].filter(({ op }) => op === "publish");
    const [largest] = publishes.sort((one, other) => other.size - one.size);
    largest?.answered({ code: outcome.code, error: "The server takes no message of this size." });
    return !!largest;
  }

  function leaveIfIdle(): void {
    if (places.size) return;
    cancelRetry?.();
    cancelRetry = undefined;
    drop();
    onIdle();
  }

  async function subscribe(place: Place): Promise<void> {
    const before = socket;
    const request = await place.events.request(before).catch(() => undefined);
    if (before !== socket || !places.has(place) || place.ref) return;
    if (!request) return end(place, NO_CREDENTIALS);
    const { reset, ...asked } = request;
    const { channel, params } = asked;
    place.said = { channel, params };
    place.ref = send("subscribe", { ...asked, stale: reset ? "reset" : undefined }, (frame) => {
      if (frame.op === "ack") {
        place.topic = topicName(channel, frame.params ?? params);
        place.events.attached();
        if (frame.cursor) place.events.moved(frame.cursor);
      } else if (frame.op === "reset") place.events.reset(frame);
      else end(place, ofCode(frame.code, frame.error, frame.retryAfterMs));
    });
  }

  function end(place: Place, outcome: Outcome): void {
    waiting.delete(place.ref as number);
    place.ref = place.topic = undefined;
    place.ended = true;
    place.events.ended(outcome);
  }

  function answered(frame: Frame): void {
    const ref = frame.ref as number;
    const entry = waiting.get(ref);
    // Also where nobody waits any more: who left meanwhile is no suspect for ever.
    suspects.delete(ref);
    if (entry) {
      entry.heard = true;
      entry.answered(frame);
    } else if (frame.ref == null && frame.code === "body-invalid") {
      orphans.push(frame);
      for (const [each, { heard }] of waiting) if (!heard) suspects.add(each);
    }
    // As many suspects as refusals: it can only have been these.
    const [refusal] = orphans;
    if (!refusal || suspects.size > orphans.length) return;
    orphans.length = 0;
    const meant = [...suspects];
    suspects.clear();
    for (const each of meant) waiting.get(each)?.answered(refusal);
  }

  function received(text: unknown): void {
    const frame = parse(text) as Frame | undefined;
    watchdog?.heard();
    if (frame?.op === "open") {
      open = true;
      retries.opened();
      misses = 0;
      watchdog?.stop();
      const keepalive = frame.lifecycle?.keepaliveIntervalMs ?? KEEPALIVE_MS;
      watchdog = watch(environment, keepalive, () => lost(SILENT), () => send("ping"));
      for (const place of places) if (!place.ended) void subscribe(place);
    } else if (frame?.op) answered(frame);
    else {
      const message = readMessage(frame);
      // Before the server's `open` nothing says that it is ours.
      if (!message) return lost(open ? BROKEN : LOST);
      retries.succeeded();
      const topic = topicName(message.channel, message.params ?? {});
      for (const place of [...places]) if (place.topic === topic) place.events.message(message);
    }
  }

  return {
    blocked: () => misses >= BLOCKED_AFTER,
    has: (name) => [...places].some((place) => place.name === name),
    join(name, events) {
      const place: Place = { name, events };
      places.add(place);
      if (open) void subscribe(place);
      else if (!socket && !cancelRetry) connect();
      return {
        publish({ type, data, key }, answer) {
          const ref = send("publish", { ...place.said, type, data, idempotencyKey: key }, (frame) => {
            waiting.delete(ref);
            answer(frame.op === "ack" ? (frame.id ?? null) : ofCode(frame.code, frame.error, frame.retryAfterMs));
          });
        },
        again() {
          if (place.ended && open) void subscribe(place);
          place.ended = false;
        },
        close() {
          if (!places.delete(place)) return;
          if (place.ref) {
            waiting.delete(place.ref);
            send("unsubscribe", place.said);
          }
          // A turn later: who leaves one topic often joins another, as a page does that changes its room.
          queueMicrotask(leaveIfIdle);
        },
      };
    },
  };
}
