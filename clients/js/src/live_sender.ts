/**
 * The sender of one end: frames are queued, numbered, and kept until acknowledged (section 6).
 *
 * Rule: a frame gets its number when it is put on a wire and not before, so a
 * newer one is never on a wire before an older one that may be needed again.
 */

import { CLOSED, type Frame, isMessage, OVERFLOW, type Position, type Trouble } from "./live_frames.js";
import { type QueuedFrame, SendCredit, RetransmitBuffer, SendQueue } from "./live_queues.js";

/** Limits of one end's buffers and timeouts. */
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

/** Outputs of a machine to its driver, in order. */
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

export class Sender<Handle> {
  readonly #out: Output<Handle>[];
  /** Our requests without an answer yet. */
  readonly #pending = new Map<number, Handle | undefined>();
  readonly #queue: SendQueue<Handle>;
  readonly #unacknowledged: RetransmitBuffer;
  readonly #credit = new SendCredit();
  #answers: Frame[] = [];
  #last = 0;

  /** @param out where outputs go */
  constructor(bounds: Bounds, out: Output<Handle>[]) {
    this.#out = out;
    this.#queue = new SendQueue((lane) => (lane ? bounds.bufferBytesBinary : bounds.bufferBytes));
    this.#unacknowledged = new RetransmitBuffer((lane) => (lane ? bounds.replayBytesBinary : bounds.replayBytes));
  }

  /** Messages are queued. */
  get waits(): boolean {
    return this.#queue.head !== undefined;
  }

  /** Something of ours is under way: a message, an answer, a request. */
  get owes(): boolean {
    return this.waits || this.#answers.length > 0 || this.#pending.size > 0;
  }

  push(frame: Frame, handle: Handle | undefined): void {
    this.#queue.push({ frame, handle });
  }

  /** Let an answer wait; it needs no credit. */
  pushAnswer(frame: Frame): void {
    this.#answers.push(frame);
  }

  over(lane: 0 | 1): boolean {
    return this.#queue.over(lane);
  }

  /** Fail the oldest waiting message of a lane. */
  dropOldest(lane: 0 | 1): void {
    this.fail(this.#queue.dropOldest(lane).handle, OVERFLOW);
  }

  /** Send what can be sent. */
  flush(): void {
    for (let item = this.#queue.head; item; item = this.#queue.head) {
      if (!this.#unacknowledged.fits(item.frame) || (isMessage(item.frame) && !this.#credit.open)) break;
      this.#queue.pop();
      this.#send(item);
    }
    while (this.#answers[0] && this.#unacknowledged.fits(this.#answers[0])) this.number(this.#answers.shift() as Frame);
  }

  /** Put a frame on the wire, as the next one. */
  number(frame: Frame): number {
    const seq = ++this.#last;
    const numbered = { ...frame, seq };
    this.#unacknowledged.keep(numbered);
    this.#out.push({ frame: numbered });
    return seq;
  }

  /** Send again what the other side lacks. False, and nothing is sent, where some of it is not here any more. */
  retransmit(position: Position): boolean {
    this.#credit.granted(position);
    if (!this.#unacknowledged.acknowledge(position.seq)) return false;
    const missing = this.#unacknowledged.missing();
    if (missing.includes(undefined)) return false;
    for (const frame of missing) this.#out.push({ frame: frame as Frame });
    return true;
  }

  /** The other side has told its position. False where it cannot be. */
  granted(position: Position): boolean {
    this.#credit.granted(position);
    // A position may come late, behind a newer one of another wire.
    return position.seq <= this.#unacknowledged.acknowledged || this.#unacknowledged.acknowledge(position.seq);
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
    const left = [...this.#pending.values(), ...this.#queue.clear().map(({ handle }) => handle)];
    this.#pending.clear();
    this.#answers = [];
    for (const handle of left) this.fail(handle, trouble ?? CLOSED);
  }

  /** Nothing more will be sent again. */
  forget(): void {
    this.#unacknowledged.clear();
  }

  fail(handle: Handle | undefined, error: Trouble): void {
    if (handle !== undefined) this.#out.push({ failed: handle, error });
  }

  #send({ frame, handle }: QueuedFrame<Handle>): void {
    const seq = this.number(frame);
    if (isMessage(frame)) this.#credit.sent(frame);
    if (frame.ack || frame.do === "publish") this.#pending.set(seq, handle);
    else if (handle !== undefined) this.#out.push({ sent: handle });
  }
}
