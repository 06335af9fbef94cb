/**
 * The choice of a wire for live objects: an event stream at first, the shared WebSocket as soon
 * as that is there, and another one after each cut (protocol, live objects, section 3).
 *
 * Rule: one wire is in use. The WebSocket belongs to the channel subscriptions, which open it
 * again by themselves; it is given up where its `tako.v1` does not answer.
 */

import { resolveCredentials } from "./credentials.js";
import { laterOrAwake, type WebSocketLike } from "./environment.js";
import { FIRST_REF, type Payload, socketWire, streamWire, type Wire, type WireEvents } from "./live_wires.js";
import type { Link } from "./link.js";
import type { Mux } from "./mux.js";
import { LOST, NO_CREDENTIALS, type Outcome, SILENT, withCredentials } from "./outcome.js";
import type { StreamSettings } from "./stream.js";
import { connectUrl } from "./topic.js";
import type { Credentials } from "./types.js";

const PROBE_MS = 3_000;
/** For the server's first frame: what is silent for longer is tried anew. */
const OPEN_MS = 10_000;
const RETRY_MS = 500;
const RETRY_CAP_MS = 5_000;

export interface ConnectionSettings extends StreamSettings {
  readonly credentials: Credentials | undefined;
  /** Name of the slot on the shared connection: two of one name are never on one, as two sessions may not be. */
  readonly name: string;
  /** The WebSocket that channel subscriptions share; `undefined` where there is none. */
  readonly mux: (() => Mux) | undefined;
}

export interface ConnectionEvents extends Omit<WireEvents, "lost"> {
  /** There is a wire to attach on. What was attached before is no more. */
  ready(): void;
  /** The wire is gone, or there was none; another one is being made. */
  lost(outcome: Outcome): void;
  /** The server will never have us. */
  refused(outcome: Outcome): void;
}

export interface Connection {
  open(): void;
  send(payload: Payload): void;
  /** The wire carries our objects. */
  confirm(): void;
  /**
   * The wire is of no use; make another one.
   * @param waitMs least time before that, where the server said one
   */
  fail(waitMs?: number): void;
  /** The server knows of the shared connection and of no other. */
  onSocket(): boolean;
  close(): void;
}

export function createConnection(settings: ConnectionSettings, events: ConnectionEvents): Connection {
  const { environment, credentials } = settings;
  /** In use. */
  let current: Wire | undefined;
  /** Opening, and not in use yet. */
  let stream: Wire | undefined;
  /** Open, and not in use yet. */
  let socket: Wire | undefined;
  /** Was in use until a better one came, which is not confirmed yet. */
  let old: Wire | undefined;
  /** The WebSocket, while it is open. */
  let shared: Wire | undefined;
  let confirmed = false;
  let slot: Link | undefined;
  let mux: Mux | undefined;
  let cancelRetry: (() => void) | undefined;
  let cancelProbe: (() => void) | undefined;
  let cancelOpen: (() => void) | undefined;
  let attempts = 0;
  let refused = false;
  let streamRefused: Outcome | undefined;
  let closed = false;

  function use(wire: Wire): void {
    cancelRetry?.();
    cancelRetry = undefined;
    if (wire !== stream) stream?.drop();
    dropStream();
    if (wire === socket) socket = undefined;
    old = current;
    current = wire;
    confirmed = false;
    events.ready();
  }

  function dropStream(): void {
    cancelOpen?.();
    stream = cancelOpen = undefined;
  }

  function cut(outcome: Outcome): void {
    const was = current ?? stream;
    old?.drop();
    old = current = undefined;
    dropStream();
    confirmed = false;
    if (was) events.lost(outcome);
    if (closed) return;
    refused ||= outcome.action === "reauthenticate";
    if (socket) return use(socket);
    const edge = Math.min(RETRY_CAP_MS, RETRY_MS * 2 ** attempts++);
    const delay = edge * (0.5 + environment.random() / 2) + (outcome.waitMs ?? 0);
    cancelRetry ??= laterOrAwake(environment, delay, connect);
  }

  function connect(): void {
    cancelRetry = undefined;
    if (closed || current || stream) return;
    if (settings.mux && !slot) join(settings.mux());
    // The shared connection may have been open.
    if (!current && !streamRefused) void openStream();
  }

  async function openStream(): Promise<void> {
    // Held here, so that a second one does not begin while the first asks for credentials.
    const abort = new AbortController();
    const pending: Wire = { send() {}, drop: () => abort.abort() };
    stream = pending;
    try {
      const auth = await resolveCredentials(environment, credentials, refused, abort.signal);
      if (stream !== pending) return;
      cancelOpen = environment.later(OPEN_MS, () => {
        stream?.drop();
        cut(SILENT);
      });
      const made: Wire = streamWire(settings, connectUrl(settings.base), auth, () => stream === made && use(made), {
        text: (frame, text) => (made === current || made === old) && events.text(frame, text),
        binary: (payload) => (made === current || made === old) && events.binary(payload),
        lost: (outcome) => streamLost(made, outcome),
      });
      stream = made;
    } catch {
      if (stream === pending) cut(NO_CREDENTIALS);
    }
  }

  function streamLost(wire: Wire, was: Outcome): void {
    if (wire === old) old = undefined;
    if (wire !== current && wire !== stream) return;
    const outcome = withCredentials(was, credentials);
    if (outcome.action !== "stop" && outcome.action !== "gone") return cut(outcome);
    streamRefused = outcome;
    current = undefined;
    dropStream();
    if (!slot || mux?.blocked()) events.refused(outcome);
  }

  function join(to: Mux): void {
    if (to.ofTabs) return;
    mux = to;
    const nothing = () => {};
    // A request that is never answered keeps a slot on the connection without a subscription.
    slot = to.join(settings.name, {
      request(opened) {
        if (opened) socketOpened(opened);
        return new Promise(nothing);
      },
      lost: () => socketLost(mux?.blocked() ? streamRefused : undefined),
      ended(outcome) {
        slot = undefined;
        // Between two wires none is in use, and the next stream may do.
        socketLost(streamRefused ?? (current && current === shared ? outcome : undefined));
      },
      attached: nothing,
      moved: nothing,
      message: nothing,
      reset: nothing,
      retry: nothing,
    });
  }

  function socketOpened(opened: WebSocketLike): void {
    const ref = FIRST_REF;
    const wire = socketWire(opened, {
      text(frame, text) {
        if (frame.ref === ref) {
          // Too late is no answer: what took so long would carry no message better.
          if (!shared) return;
          cancelProbe?.();
          cancelProbe = undefined;
          socket = wire;
          upgrade();
        } else if (wire === current) events.text(frame, text);
      },
      binary: (payload) => wire === current && events.binary(payload),
    });
    shared = wire;
    if (!current) return use(wire);
    wire.send(JSON.stringify({ op: "ping", ref }));
    cancelProbe = environment.later(PROBE_MS, () => (shared = undefined));
  }

  /** The WebSocket is preferred once both work; what is under way on the stream ends first. */
  function upgrade(): void {
    if (socket && (confirmed || !current)) use(socket);
  }

  function socketLost(final: Outcome | undefined): void {
    const was = shared;
    shared = socket = undefined;
    cancelProbe?.();
    cancelProbe = undefined;
    if (final) {
      current = undefined;
      events.refused(final);
    } else if (was && was === current) cut(LOST);
  }

  return {
    open: connect,
    send: (payload) => current?.send(payload),
    confirm() {
      attempts = 0;
      refused = false;
      streamRefused = undefined;
      confirmed = true;
      old?.drop();
      old = undefined;
      upgrade();
    },
    fail(waitMs) {
      const wire = current ?? stream;
      if (!wire) return;
      wire.drop();
      // The socket's owner has reported it already.
      if (wire === (current ?? stream)) cut({ ...LOST, waitMs });
    },
    onSocket: () => confirmed && current === shared,
    close() {
      closed = true;
      cancelRetry?.();
      cancelOpen?.();
      cancelProbe?.();
      for (const wire of [current !== shared ? current : undefined, stream, old]) wire?.drop();
      current = stream = old = socket = undefined;
      slot?.close();
    },
  };
}
