/**
 * The page's end of a live object: a frame machine with the page's functions around it.
 *
 * Rule: outputs of the machine are carried out one after the other, never one
 * inside the other: what a listener sends while it runs comes behind what was
 * being sent.
 */

import { type Environment, LONGEST_MS } from "./environment.js";
import { ChannelOverflowError, TakoError } from "./index.js";
import { Abort, errorOf, NetworkError, troubleOf } from "./live_errors.js";
import type { Frame, Trouble } from "./live_frames.js";
import { Machine, type Overflow } from "./live_machine.js";
import type { Bounds, Output } from "./live_sender.js";
import { decode, message } from "./live_values.js";

const CLOSE_TIMEOUT_MS = 5_000;

/** The session that an object belongs to, as the object sees it. */
export interface ObjectSession {
  readonly environment: Environment;
  readonly bounds: Bounds & { readonly maxMessageBytes: number };
  /** The last error of the connection. */
  readonly lastError: TakoError | undefined;
  transmit(id: string, frame: Frame): void;
  forgotten(id: string): void;
  broken(): void;
}

export interface CloseOptions {
  /** Milliseconds for both sides to be done, 24 days at most. Default: 5000. */
  readonly timeout?: number;
}

/** The promise of a send. */
interface Handle {
  resolve(value: unknown): void;
  reject(error: TakoError): void;
}

type CloseListener = (error: TakoError | undefined) => unknown;

/** Base of both kinds of live objects. */
export abstract class LiveObject {
  readonly #session: ObjectSession;
  readonly #id: string;
  readonly #machine: Machine<Handle>;
  readonly #openListeners: (() => unknown)[] = [];
  readonly #closeListeners: CloseListener[] = [];
  /** Requests whose listeners have not answered yet. */
  readonly #answering = new Set<number>();
  #opened = false;
  #error: TakoError | undefined;
  #closing: Promise<0 | 1> | undefined;
  #closed!: (code: Promise<0 | 1>) => void;
  #performing = false;
  #deadline = Infinity;
  #cancelDeadline: (() => void) | undefined;

  /** @internal */
  constructor(session: ObjectSession, id: string) {
    this.#session = session;
    this.#id = id;
    this.#machine = new Machine(session.bounds, session.environment.now());
    this.#schedule();
  }

  /** Nothing more can be sent. */
  get isClosed(): boolean {
    return this.#machine.closed;
  }

  /**
   * On a full send queue: `end` ends the object with
   * `ChannelOverflowError`, so nothing is missed unseen; `drop-oldest` keeps it open, and fails the
   * oldest sends that wait. It begins as the server's function made the object.
   */
  get overflow(): Overflow {
    return this.#machine.overflow;
  }

  set overflow(overflow: Overflow) {
    if (overflow !== "end" && overflow !== "drop-oldest") throw new TypeError("overflow must be end or drop-oldest");
    this.#machine.overflow = overflow;
  }

  /** Call once when the object is attached for the first time; at once where it has been. */
  onOpen(listener: () => unknown): void {
    if (this.#opened) void guarded(listener);
    else if (!this.#machine.ended) this.#openListeners.push(listener);
  }

  /** Call once at the permanent end, with the error or `undefined`; at once where it has ended. */
  onClose(listener: CloseListener): void {
    if (this.#machine.ended) void guarded(() => listener(this.#error));
    else this.#closeListeners.push(listener);
  }

  /**
   * Close gracefully: what was sent arrives, what was asked is answered, and close listeners settle
   * (5 s are given to them).
   * @returns 0 where the other side agreed, 1 where the time was up or an error came first
   * @throws RangeError where the timeout is no number from 0
   */
  close({ timeout = CLOSE_TIMEOUT_MS }: CloseOptions = {}): Promise<0 | 1> {
    if (!(timeout >= 0)) throw new RangeError("timeout must be a number of milliseconds from 0");
    if (!this.#closing) {
      this.#closing = new Promise((resolve) => (this.#closed = resolve));
      if (this.#machine.ended) this.#closed(Promise.resolve(this.#error ? 1 : 0));
      // Nobody can tell which listener called, so none is waited for.
      else this.act((machine, now) => machine.close(Math.min(timeout, LONGEST_MS), now, [...this.#answering]));
    }
    return this.#closing;
  }

  /**
   * End at once; close listeners of both sides get an `Abort` with the value. Harmless at the end.
   * @throws TypeError where JSON has no form for the value
   */
  abort(value?: unknown, message?: string): void {
    this.act((machine, now) => machine.end(troubleOf(new Abort(value, message)), now));
  }

  /** @internal What the session does with it; outputs are carried out afterwards. */
  act(input: (machine: Machine<Handle>, now: number) => void): void {
    input(this.#machine, this.#session.environment.now());
    if (this.#performing) return;
    this.#performing = true;
    try {
      for (let outputs = this.#machine.take(); outputs.length; outputs = this.#machine.take()) {
        for (const output of outputs) this.#perform(output);
      }
    } finally {
      this.#performing = false;
    }
    this.#schedule();
  }

  /** Send a message; the promise may be ignored, so what can never be sent is thrown at once. */
  protected sendFrame(frame: Frame): Promise<unknown> {
    const { maxMessageBytes } = this.#session.bounds;
    if (frame.size > maxMessageBytes) throw new ChannelOverflowError(`A message has at most ${maxMessageBytes} bytes.`);
    const promise = new Promise<unknown>((resolve, reject) => {
      this.act((machine, now) => machine.send(frame, { resolve, reject }, now));
    });
    // Whoever does not wait does not want to hear of it.
    promise.catch(() => {});
    return promise;
  }

  /** Tell the other side what this one listens to. Nothing to tell once it is closing. */
  protected change(frame: Frame): void {
    if (!this.isClosed) this.act((machine, now) => machine.send(frame, undefined, now));
  }

  /** Tell the other side, which answers; the answer is handled before anything that comes after it. */
  protected request(frame: Frame, answered: (answer: unknown) => void): void {
    if (!this.isClosed) this.act((machine, now) => machine.send(frame, { resolve: answered, reject() {} }, now));
  }

  /** Call listeners with a message, all at once; it is consumed when all have settled. */
  protected notify(frame: Frame, listeners: (() => unknown)[]): void {
    const consumed = () => this.act((machine, now) => machine.consumed(frame.seq as number, now));
    const results = listeners.map((listener) => guarded(listener, (error) => this.#failed(error)));
    if (results.some((result) => result)) void Promise.all(results).then(consumed);
    else consumed();
  }

  /** Let listeners answer a request, one after the other; the last one's value is the answer. */
  protected async answer(frame: Frame, listeners: (() => unknown)[]): Promise<void> {
    const of = frame.seq as number;
    let answer: Pick<Frame, "data" | "values" | "error" | "size">;
    this.#answering.add(of);
    try {
      let value: unknown;
      for (const listener of listeners) value = await listener();
      answer = message("ack", value ?? null);
      const { maxMessageBytes } = this.#session.bounds;
      if (answer.size > maxMessageBytes) throw new RangeError(`an answer has at most ${maxMessageBytes} bytes`);
      if (!listeners.length) answer = { error: { code: "failed", message: "There is no listener." }, size: 0 };
    } catch (error) {
      this.#failed(error);
      // What went wrong is this side's business.
      answer = { error: { code: "failed", message: "The listener failed." }, size: 0 };
    }
    this.#answering.delete(of);
    this.act((machine, now) => machine.answer(of, answer, now));
  }

  /** A message for listeners has come. */
  protected abstract deliver(frame: Frame): void;

  /** No listener is called any more. */
  protected abstract removeListeners(): void;

  #failed(error: unknown): void {
    if (error instanceof Abort) this.abort(error.abortValue, error.message);
    else console.error(error);
  }

  #perform(output: Output<Handle>): void {
    if ("frame" in output) this.#session.transmit(this.#id, output.frame);
    else if ("deliver" in output) this.deliver(output.deliver);
    else if ("sent" in output) output.sent.resolve(undefined);
    else if ("answered" in output) output.answered.resolve(decode(output));
    else if ("failed" in output) output.failed.reject(this.#errorOf(output.error));
    else if ("opened" in output) this.#open();
    else if ("ended" in output) this.#end(output.ended);
    else if ("forgotten" in output) this.#session.forgotten(this.#id);
    else this.#session.broken();
  }

  #errorOf(trouble: Trouble): TakoError {
    const error = errorOf(trouble);
    if (error instanceof NetworkError) error.blame(this.#session.lastError);
    return error;
  }

  #open(): void {
    this.#opened = true;
    for (const listener of this.#openListeners.splice(0)) void guarded(listener);
  }

  #end(trouble: Trouble | null): void {
    this.#error = trouble ? this.#errorOf(trouble) : undefined;
    // Sends that nobody awaits are told of here, if nowhere else.
    if (this.#error instanceof ChannelOverflowError) console.error(this.#error);
    this.removeListeners();
    const waits = this.#closeListeners.splice(0).flatMap((listener) => guarded(() => listener(this.#error)) ?? []);
    const code = trouble ? 1 : 0;
    this.#openListeners.length = 0;
    this.#closing ??= new Promise((resolve) => (this.#closed = resolve));
    this.#closed(waits.length ? this.#atMost(Promise.all(waits).then(() => code)) : Promise.resolve(code));
  }

  /** A listener that never settles does not hold up a close for ever. */
  #atMost(settled: Promise<0 | 1>): Promise<0 | 1> {
    return new Promise((resolve) => {
      const cancel = this.#session.environment.later(CLOSE_TIMEOUT_MS, () => resolve(1));
      void settled.then(resolve).then(cancel);
    });
  }

  #schedule(): void {
    const { deadline } = this.#machine;
    if (deadline === this.#deadline) return;
    const { later, now } = this.#session.environment;
    this.#cancelDeadline?.();
    this.#deadline = deadline;
    this.#cancelDeadline = undefined;
    if (deadline === Infinity) return;
    this.#cancelDeadline = later(Math.max(0, deadline - now()), () => {
      // What the browser calls early is asked for again.
      this.#deadline = Infinity;
      this.act((machine, at) => machine.tick(at));
    });
  }
}

/** Call; gives a promise only where there is something to wait for. A failure is told and not thrown. */
export function guarded(listener: () => unknown, failed: (error: unknown) => void = console.error): Promise<void> | undefined {
  try {
    const result = listener();
    if (typeof (result as PromiseLike<unknown> | undefined)?.then !== "function") return undefined;
    return Promise.resolve(result).then(() => {}, failed);
  } catch (error) {
    failed(error);
    return undefined;
  }
}

/** A copy: what the caller changes later is not what was sent. */
export function copyOf(data: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  return ArrayBuffer.isView(data)
    ? new Uint8Array(new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength))
    : new Uint8Array(data.slice(0));
}
