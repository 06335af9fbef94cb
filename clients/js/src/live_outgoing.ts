/**
 * What one end sends: waiting, numbered, kept until it is reported (section 6).
 *
 * Rule: a frame gets its number when it is put on a wire and not before, so a
 * newer one is never on a wire before an older one that may be needed again.
 */

import { CLOSED, type Frame, isMessage, OVERFLOW, type Position, type Trouble } from "./live_frames.js";
import { type Item, Outflow, Replay, Waiting } from "./live_lanes.js";

/** How much one end keeps, and how long it waits. */
export interface Bounds {
  /** Until the first attach; `null` waits for ever. */
  readonly connectTtlMs: number | null;
  readonly reconnectTimeoutMs: number;
  readonly replayBytes: number;
  readonly replayBytesBinary: number;
  readonly bufferBytes: number;
  readonly bufferBytesBinary: number;
  readonly windowBytes: number;
  readonly windowMessages: number;
}

/** What a machine asks of whoever drives it, in order. */
export type Output<Handle> =
  | { readonly frame: Frame }
  /** A message, or a change of a subscription, for the listeners: `consumed` or `answer` follows. */
  | { readonly deliver: Frame }
  | { readonly sent: Handle }
  | { readonly answered: Handle; readonly data: string; readonly values?: string }
  | { readonly failed: Handle; readonly error: Trouble }
  | { readonly opened: true }
  | { readonly ended: Trouble | null }
  /** Nothing is left to do for this object. */
  | { readonly forgotten: true }
  /** The other side broke the protocol: end the wire, and the session with it. */
  | { readonly broken: string };

export class Outgoing<Handle> {
  readonly #out: Output<Handle>[];
  /** Our requests without an answer yet. */
  readonly #pending = new Map<number, Handle | undefined>();
  readonly #waiting: Waiting<Handle>;
  readonly #replay: Replay;
  readonly #outflow = new Outflow();
  #answers: Frame[] = [];
  #last = 0;

  /** @param out where outputs go */
  constructor(bounds: Bounds, out: Output<Handle>[]) {
    this.#out = out;
    this.#waiting = new Waiting((lane) => (lane ? bounds.bufferBytesBinary : bounds.bufferBytes));
    this.#replay = new Replay((lane) => (lane ? bounds.replayBytesBinary : bounds.replayBytes));
  }

  /** Whether messages would be sent if they could. */
  get waits(): boolean {
    return this.#waiting.head !== undefined;
  }

  /** Whether something of ours is under way: a message, an answer, a request. */
  get owes(): boolean {
    return this.waits || this.#answers.length > 0 || this.#pending.size > 0;
  }

  push(frame: Frame, handle: Handle | undefined): void {
    this.#waiting.push({ frame, handle });
  }

  /** Let an answer wait; it needs no credit. */
  pushAnswer(frame: Frame): void {
    this.#answers.push(frame);
  }

  over(lane: 0 | 1): boolean {
    return this.#waiting.over(lane);
  }

  /** Fail the oldest waiting message of a lane. */
  dropOldest(lane: 0 | 1): void {
    this.fail(this.#waiting.dropOldest(lane).handle, OVERFLOW);
  }

  /** Send what can be sent. */
  flush(): void {
    for (let item = this.#waiting.head; item; item = this.#waiting.head) {
      if (!this.#replay.fits(item.frame) || (isMessage(item.frame) && !this.#outflow.open)) break;
      this.#waiting.pop();
      this.#send(item);
    }
    while (this.#answers[0] && this.#replay.fits(this.#answers[0])) this.number(this.#answers.shift() as Frame);
  }

  /** Put a frame on the wire, as the next one. */
  number(frame: Frame): number {
    const seq = ++this.#last;
    const numbered = { ...frame, seq };
    this.#replay.keep(numbered);
    this.#out.push({ frame: numbered });
    return seq;
  }

  /** Send again what the other side lacks. False, and nothing is sent, where some of it is not here any more. */
  again(position: Position): boolean {
    this.#outflow.granted(position);
    if (!this.#replay.report(position.seq)) return false;
    const missing = this.#replay.missing();
    if (missing.includes(undefined)) return false;
    for (const frame of missing) this.#out.push({ frame: frame as Frame });
    return true;
  }

  /** The other side has told its position. False where it cannot be. */
  granted(position: Position): boolean {
    this.#outflow.granted(position);
    // A position may come late, behind a newer one of another wire.
    return position.seq <= this.#replay.reported || this.#replay.report(position.seq);
  }

  /** An answer has come. */
  answered({ of, error, data, values }: Frame): void {
    if (!this.#pending.has(of as number)) return;
    const handle = this.#pending.get(of as number);
    this.#pending.delete(of as number);
    if (error) this.fail(handle, error);
    else if (handle !== undefined) this.#out.push({ answered: handle, data: data as string, ...(values !== undefined && { values }) });
  }

  /** Nothing more will be sent: what waits for it fails. */
  settle(trouble: Trouble | null): void {
    const left = [...this.#pending.values(), ...this.#waiting.clear().map(({ handle }) => handle)];
    this.#pending.clear();
    this.#answers = [];
    for (const handle of left) this.fail(handle, trouble ?? CLOSED);
  }

  /** Nothing more will be sent again. */
  forget(): void {
    this.#replay.clear();
  }

  fail(handle: Handle | undefined, error: Trouble): void {
    if (handle !== undefined) this.#out.push({ failed: handle, error });
  }

  #send({ frame, handle }: Item<Handle>): void {
    const seq = this.number(frame);
    if (isMessage(frame)) this.#outflow.sent(frame);
    if (frame.ack || frame.do === "publish") this.#pending.set(seq, handle);
    else if (handle !== undefined) this.#out.push({ sent: handle });
  }
}
