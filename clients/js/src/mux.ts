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
  readonly subject?: string;
  readonly retryAfterMs?: unknown;
  readonly lifecycle?: { readonly keepaliveIntervalMs?: number };
}

/** One topic on the connection. */
interface MuxTopic {
  /** The topic's name on this page. */
  readonly name: string;
  readonly events: LinkEvents;
  /** Of the subscribe frame on this connection. */
  ref?: number | undefined;
  /** The subscribed channel and params, as all later frames name them. */
  address?: { readonly channel: string; readonly params: Params; readonly presence?: boolean };
  /** The topic's name in the server's ack; messages are matched by it. */
  key?: string | undefined;
  /** It ended and waits for `again`. */
  ended?: boolean;
}

/** A frame that was sent, and the callback for its answer. */
interface InFlight {
  readonly op: string;
  readonly size: number;
  readonly onAnswer: (frame: Frame) => void;
  /** There was an answer; that of a subscribe may be followed by the topic's end. */
  answered?: boolean;
}

export interface Mux {
  /** Its WebSocket may be another tab's: live objects, which speak on the WebSocket itself, cannot. */
  readonly ofTabs?: true;
  /** WebSocket seems to be blocked here; whoever can do without should. */
  blocked(): boolean;
  /**
   * A topic of this name is here: a second subscription of it needs another connection.
   * @param auth its fixed credentials, where other tabs use the connection too
   */
  has(name: string, auth?: string): boolean;
  join(name: string, events: LinkEvents): Link;
}

/**
 * Makes the connection that topics share.
 * @param onIdle called when the last topic has left and the connection is closed
 * @param auth the fixed credentials of all its topics; empty where a function gives them
 */
export type MuxFactory = (environment: Environment, url: string, onIdle: () => void, auth?: string) => Mux;

/** What a message is matched by: a topic and its roster have one channel and params. */
function keyOf(channel: string, params: Params, presence = false): string {
  return (presence ? "~" : "") + topicName(channel, params);
}

/** A close has no room for more than a code. */
function refusedOrigin(): string {
  return `The server takes no pages of ${globalThis.location?.origin ?? "this origin"}: see http.allowed_origins in its configuration.`;
}

/** @param onIdle called when the last topic has left and the connection is closed */
export function createMux(environment: Environment, url: string, onIdle: () => void): Mux {
  const topics = new Set<MuxTopic>();
  /** Frames without an answer, by `ref`. Cleared with the connection. */
  const inFlight = new Map<number, InFlight>();
  /** Refusals of frames that the server could read no `ref` of, and the frames that it may have been. */
  const unmatched: Frame[] = [];
  const suspects = new Set<number>();
  const retries = createRetries(environment);
  let socket: WebSocketLike | undefined;
  let open = false;
  let watchdog: Watchdog | undefined;
  let cancelRetry: (() => void) | undefined;
  let lastRef = 0;
  let failures = BLOCKED_AFTER - 1;

  function send(op: string, frame?: object, onAnswer?: (frame: Frame) => void): number {
    const ref = ++lastRef;
    const text = JSON.stringify({ op, ref, ...frame });
    if (onAnswer) inFlight.set(ref, { op, size: text.length, onAnswer });
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
    inFlight.clear();
    suspects.clear();
    unmatched.length = 0;
    for (const topic of topics) topic.ref = topic.key = undefined;
  }

  function lost(cause: Outcome): void {
    if (!open) failures++;
    const refused = cause.code === "origin-rejected" ? { ...cause, message: refusedOrigin() } : cause;
    const outcome = cause.code === TOO_LARGE && refuseLargest(cause) ? LOST : refused;
    drop();
    const all = [...topics];
    if (outcome.action === "stop" || outcome.action === "gone") {
      // No cursor belongs to the connection as a whole, so there is nothing to start anew with.
      topics.clear();
      queueMicrotask(closeIfIdle);
      for (const { events } of all) events.ended({ ...outcome, action: "stop" });
    } else {
      // Credentials belong to topics and are asked for before every subscribe, so a 4401 is only a delay.
      cancelRetry = laterOrAwake(environment, retries.delay(outcome), connect);
      for (const { ended, events } of all) if (!ended) events.lost(outcome);
    }
  }

  /** Fail the publish that a close for a frame too large can only have meant. False where there was none. */
  function refuseLargest(outcome: Outcome): boolean {
    const publishes = [...inFlight.values()].filter(({ op }) => op === "publish");
    const [largest] = publishes.sort((one, other) => other.size - one.size);
    largest?.onAnswer({ code: outcome.code, error: "The server takes no message of this size." });
    return !!largest;
  }

  function closeIfIdle(): void {
    if (topics.size) return;
    cancelRetry?.();
    cancelRetry = undefined;
    drop();
    onIdle();
  }

  async function subscribe(topic: MuxTopic): Promise<void> {
    const before = socket;
    const request = await topic.events.request(before).catch(() => undefined);
    if (before !== socket || !topics.has(topic) || topic.ref) return;
    if (!request) return end(topic, NO_CREDENTIALS);
    const { reset, ...more } = request;
    const { channel, params, presence } = more;
    topic.address = presence ? { channel, params, presence } : { channel, params };
    topic.ref = send("subscribe", { ...more, stale: reset ? "reset" : undefined }, (frame) => {
      if (frame.op === "ack") {
        topic.key = keyOf(channel, frame.params ?? params, presence);
        topic.events.attached(frame.subject);
        if (frame.cursor) topic.events.moved(frame.cursor);
      } else if (frame.op === "reset") topic.events.reset(frame);
      else if (frame.op === "synced") {
        topic.events.moved(frame.cursor!);
        topic.events.synced?.();
      } else end(topic, ofCode(frame.code, frame.error, frame.retryAfterMs));
    });
  }

  function end(topic: MuxTopic, outcome: Outcome): void {
    inFlight.delete(topic.ref as number);
    topic.ref = topic.key = undefined;
    topic.ended = true;
    topic.events.ended(outcome);
  }

  function answered(frame: Frame): void {
    const ref = frame.ref as number;
    const entry = inFlight.get(ref);
    // Also where nobody waits any more: who left meanwhile is no suspect for ever.
    suspects.delete(ref);
    if (entry) {
      entry.answered = true;
      entry.onAnswer(frame);
    } else if (frame.ref == null && frame.code === "body-invalid") {
      unmatched.push(frame);
      for (const [each, { answered }] of inFlight) if (!answered) suspects.add(each);
    }
    // As many suspects as refusals: it can only have been these.
    const [refusal] = unmatched;
    if (!refusal || suspects.size > unmatched.length) return;
    unmatched.length = 0;
    const meant = [...suspects];
    suspects.clear();
    for (const each of meant) inFlight.get(each)?.onAnswer(refusal);
  }

  function received(text: unknown): void {
    const frame = parse(text) as Frame | undefined;
    watchdog?.heard();
    if (frame?.op === "open") {
      open = true;
      retries.opened();
      failures = 0;
      watchdog?.stop();
      const keepalive = frame.lifecycle?.keepaliveIntervalMs ?? KEEPALIVE_MS;
      watchdog = watch(environment, keepalive, () => lost(SILENT), () => send("ping"));
      for (const topic of topics) if (!topic.ended) void subscribe(topic);
    } else if (frame?.op) answered(frame);
    else {
      const message = readMessage(frame);
      // Before the server's `open` nothing says that it is ours.
      if (!message) return lost(open ? BROKEN : LOST);
      retries.succeeded();
      const key = keyOf(message.channel, message.params ?? {}, /^tako\.[^s]/.test(message.type));
      for (const topic of [...topics]) if (topic.key === key) topic.events.message(message);
    }
  }

  return {
    blocked: () => failures >= BLOCKED_AFTER,
    has: (name) => [...topics].some((topic) => topic.name === name),
    join(name, events) {
      const topic: MuxTopic = { name, events };
      topics.add(topic);
      if (open) void subscribe(topic);
      else if (!socket && !cancelRetry) connect();
      return {
        publish({ type, data, key }, answer) {
          const ref = send("publish", { ...topic.address, type, data, idempotencyKey: key }, (frame) => {
            inFlight.delete(ref);
            answer(frame.op === "ack" ? (frame.id ?? null) : ofCode(frame.code, frame.error, frame.retryAfterMs));
          });
        },
        say(state) {
          const ref = send("presence", { ...topic.address, state }, () => inFlight.delete(ref));
        },
        again() {
          if (topic.ended && open) void subscribe(topic);
          topic.ended = false;
        },
        close() {
          if (!topics.delete(topic)) return;
          if (topic.ref) {
            inFlight.delete(topic.ref);
            send("unsubscribe", topic.address);
          }
          // A turn later: who leaves one topic often joins another, as a page does that changes its room.
          queueMicrotask(closeIfIdle);
        },
      };
    },
  };
}
