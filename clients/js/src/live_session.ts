/**
 * All live objects of a page, attached to the wire that there is (protocol, live objects,
 * sections 3 and 4).
 *
 * Rule: each wire is asked once for all that is there, and once more for each that
 * comes later; the end of the last object leaves nothing but the idle timer.
 */

import { present } from "./credentials.js";
import { type Connection, type ConnectionSettings, createConnection } from "./live_connection.js";
import { type Frame, NETWORK, type Position, readBinary, readText, type Trouble, write } from "./live_frames.js";
import type { Leaving } from "./live_leaving.js";
import type { Carrier, LiveObject } from "./live_object.js";
import type { TakoError } from "./index.js";
import { errorOf, ofCode, type Outcome, withCredentials } from "./outcome.js";
import { FIRST_REF, type Said } from "./live_wires.js";
import { connectUrl } from "./topic.js";
import { type Watchdog, watch } from "./watchdog.js";

/** Half of the time for the answer to an attach. */
const ATTACH_MS = 5_000;

/** What the server says in `settings`; these until it has. */
const DEFAULTS = {
  connectTtlMs: 5_000,
  reconnectTimeoutMs: 60_000,
  idleTimeoutMs: 60_000,
  pingIntervalMs: 5_000,
  replayBytes: 1_048_576,
  replayBytesBinary: 2_097_152,
  bufferBytes: 16_777_216,
  bufferBytesBinary: 16_777_216,
  windowBytes: 1_048_576,
  windowMessages: 1_024,
  maxMessageBytes: 1_048_576,
};

export interface SessionSettings extends ConnectionSettings {
  readonly secret: string;
  readonly leaving: Leaving;
  /** It is over; another one is made for the next object. */
  onEnd(): void;
}

/** What is said of one object in an answer. */
type Entry = Position & { readonly id: string; readonly error?: Trouble | null };

export class Session implements Carrier {
  readonly bounds = { ...DEFAULTS };
  /** What last went wrong with the connection; of an object that ends for it, the cause. */
  trouble: TakoError | undefined;
  readonly #settings: SessionSettings;
  readonly #connection: Connection;
  readonly #objects = new Map<string, LiveObject>();
  /** Ids that this wire has been asked about. */
  readonly #listed = new Set<string>();
  /** Whether the wire carries our objects. */
  #attached = false;
  #attachRef = 0;
  #lastRef = FIRST_REF;
  #watchdog: Watchdog | undefined;
  #cancelIdle: (() => void) | undefined;
  #asking = false;
  #credentialsRefused = false;
  readonly #ending = new AbortController();
  #over = false;
  readonly #stay: () => void;

  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.#connection = createConnection(settings, {
      ready: () => void this.#attach(),
      lost: (outcome) => this.#lost(outcome),
      refused: (outcome) => this.#refused(outcome),
      text: (said, text) => this.#text(said, text),
      binary: (payload) => this.#read(() => readBinary(payload)),
    });
    this.#stay = settings.leaving.onHide((kept) => this.#hidden(kept));
  }

  get environment() {
    return this.#settings.environment;
  }

  /** An object has come with a result. */
  add(id: string, object: LiveObject): void {
    this.#objects.set(id, object);
    this.#cancelIdle?.();
    this.#cancelIdle = undefined;
    this.#connection.open();
    this.#openMore();
  }

  /** End everything at once. */
  leave(trouble = NETWORK): void {
    if (this.#attached) this.#send({ op: "live.leave" });
    this.#detach();
    for (const object of [...this.#objects.values()]) {
      object.act((machine, now) => {
        machine.end(trouble, now);
        // Nobody will ask any more how it ended.
        machine.receive({ do: "end", size: 0, error: null }, now);
      });
    }
    this.#finish();
  }

  transmit(id: string, frame: Frame): void {
    if (this.#attached) this.#connection.send(write(id, frame));
  }

  forgotten(id: string): void {
    this.#objects.delete(id);
    this.#listed.delete(id);
    if (this.#objects.size || this.#over) return;
    if (!this.#attached) return this.#finish();
    this.#cancelIdle ??= this.environment.later(this.bounds.idleTimeoutMs, () => this.#finish());
  }

  broken(): void {
    // A turn later: the object that says so is in the middle of its work.
    queueMicrotask(() => this.leave());
  }

  #lost(outcome: Outcome): void {
    this.trouble = errorOf(outcome);
    this.#detach();
  }

  #refused(outcome: Outcome): void {
    this.trouble = errorOf(outcome);
    this.leave();
  }

  #finish(): void {
    if (this.#over) return;
    this.#over = true;
    this.#ending.abort();
    this.#stay();
    this.#cancelIdle?.();
    this.#watchdog?.stop();
    this.#connection.close();
    this.#settings.onEnd();
  }

  /** @param kept the browser may show it again, and all goes on then */
  #hidden(kept: boolean): void {
    if (kept) this.#connection.fail();
    // A WebSocket says it by its close.
    else if (!this.#connection.onSocket()) {
      const { base, secret: session, leaving } = this.#settings;
      leaving.beacon(`${connectUrl(base).replace(/^ws/, "http")}/leave`, JSON.stringify({ session }));
    }
  }

  #send(said: object): void {
    this.#connection.send(JSON.stringify(said));
  }

  /** Notice where nothing is heard for twice as long. */
  #watch(ms: number): void {
    this.#watchdog?.stop();
    this.#watchdog = watch(this.environment, ms, () => this.#connection.fail());
  }

  // attaching

  async #attach(): Promise<void> {
    this.#detach();
    const { credentials, secret: session } = this.#settings;
    const ref = (this.#attachRef = ++this.#lastRef);
    // Without them the server says what it lacks.
    const auth = await present(this.environment, credentials, this.#credentialsRefused, this.#ending.signal).catch(() => undefined);
    if (ref !== this.#attachRef || this.#over) return;
    this.#watch(ATTACH_MS);
    const open = [...this.#objects].map(([id, object]) => this.#entry(id, object));
    this.#send({ op: "live.attach", ref, session, auth, open });
  }

  #entry(id: string, object: LiveObject): object {
    this.#listed.add(id);
    let entry: object = {};
    object.act((machine) => {
      entry = machine.phase === "over" ? { id, end: machine.outcome } : { id, ...machine.position() };
    });
    return entry;
  }

  /** What came with one turn's results is asked for together. */
  #openMore(): void {
    if (this.#asking || !this.#attached) return;
    this.#asking = true;
    queueMicrotask(() => {
      this.#asking = false;
      const more = [...this.#objects].filter(([id]) => !this.#listed.has(id));
      if (!this.#attached || !more.length) return;
      this.#send({ op: "live.open", ref: ++this.#lastRef, open: more.map(([id, object]) => this.#entry(id, object)) });
    });
  }

  #opened({ open = [], ended = [] }: { open?: Entry[]; ended?: Entry[] }): void {
    for (const { id, error = null } of ended) {
      const object = this.#objects.get(id);
      if (!object) continue;
      object.act((machine, now) => machine.receive({ do: "end", size: 0, error }, now));
      this.transmit(id, { do: "ended", size: 0 });
    }
    for (const { id, ...position } of open) {
      this.#objects.get(id)?.act((machine, now) => {
        machine.attach(position, now);
        // It ended while the answer was on its way.
        if (machine.phase === "over") this.transmit(id, { do: "end", size: 0, error: machine.outcome });
      });
    }
  }

  #detach(): void {
    this.#attached = false;
    this.#attachRef = 0;
    this.#listed.clear();
    this.#watchdog?.stop();
    this.#watchdog = undefined;
    for (const object of this.#objects.values()) object.act((machine, now) => machine.detach(now));
  }

  // frames

  #text(said: Said, text: string): void {
    this.#watchdog?.heard();
    switch (said.op) {
      case "live":
        return this.#read(() => readText(text, said));
      case "ping":
        return this.#pong();
      case "live.attached":
        if (said.ref !== this.#attachRef) return;
        Object.assign(this.bounds, said.settings);
        this.#attached = true;
        this.#credentialsRefused = false;
        this.trouble = undefined;
        this.#watch(this.bounds.pingIntervalMs);
        this.#opened(said);
        this.#openMore();
        return this.#connection.confirm();
      case "live.opened":
        return this.#opened(said);
      case "live.refused":
      case "error":
        if (said.ref !== undefined && said.ref < this.#attachRef) return;
        return this.#notAttached(withCredentials(ofCode(said.code, said.error), this.#settings.credentials));
    }
  }

  /** What passes is tried again for as long as objects wait; what does not is the end. */
  #notAttached(outcome: Outcome): void {
    if (outcome.action === "stop" || outcome.action === "gone") return this.#refused(outcome);
    this.#credentialsRefused = outcome.action === "reauthenticate";
    this.#connection.fail();
    this.trouble = errorOf(outcome);
  }

  #read(read: () => [id: string, frame: Frame]): void {
    this.#watchdog?.heard();
    try {
      const [id, frame] = read();
      this.#objects.get(id)?.act((machine, now) => machine.receive(frame, now));
    } catch (error) {
      console.error(error);
      this.leave();
    }
  }

  #pong(): void {
    for (const object of [...this.#objects.values()]) object.act((machine) => machine.report());
    this.#send({ op: "pong" });
  }
}
