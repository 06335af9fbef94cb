/**
 * Send queue, retransmit buffer and flow control of one end of a live object.
 *
 * Text and binary count apart, so that one never pushes the other out, and the
 * order of the two together is kept. Rule: nothing leaves without being sent,
 * acknowledged, or named to the caller; totals only grow.
 */

import { type Frame, isMessage, laneOf, OVERHEAD, type Position, weightOf } from "./live_frames.js";

/** The bytes that a lane may hold; asked each time, because the server may say it late. */
export type Limit = (lane: 0 | 1) => number;

/** A frame that has no number yet; `handle` is the caller's name for it. */
export interface QueuedFrame<Handle> {
  readonly frame: Frame;
  readonly handle: Handle | undefined;
}

/** Frames in the order of the calls. */
export class SendQueue<Handle> {
  #items: (QueuedFrame<Handle> | undefined)[] = [];
  #from = 0;
  readonly #sizes = [0, 0];
  readonly #limit: Limit;

  constructor(limit: Limit) {
    this.#limit = limit;
  }

  get head(): QueuedFrame<Handle> | undefined {
    return this.#items[this.#from];
  }

  push(item: QueuedFrame<Handle>): void {
    this.#items.push(item);
    this.#count(item, 1);
  }

  pop(): void {
    this.#count(this.head as QueuedFrame<Handle>, -1);
    this.#items[this.#from++] = undefined;
    // Now and then, because an array's own shift moves all the others.
    if (this.#from * 2 <= this.#items.length) return;
    this.#items = this.#items.slice(this.#from);
    this.#from = 0;
  }

  /** Whether a lane holds more than its limit. */
  over(lane: 0 | 1): boolean {
    return (this.#sizes[lane] as number) > this.#limit(lane);
  }

  /** Take out the oldest message of a lane. */
  dropOldest(lane: 0 | 1): QueuedFrame<Handle> {
    const at = this.#items.findIndex((item) => item && isMessage(item.frame) && laneOf(item.frame) === lane);
    const [item] = this.#items.splice(at, 1) as [QueuedFrame<Handle>];
    this.#count(item, -1);
    return item;
  }

  clear(): QueuedFrame<Handle>[] {
    const items = this.#items.slice(this.#from) as QueuedFrame<Handle>[];
    this.#items = [];
    this.#from = this.#sizes[0] = this.#sizes[1] = 0;
    return items;
  }

  #count({ frame }: QueuedFrame<Handle>, sign: 1 | -1): void {
    if (isMessage(frame)) (this.#sizes[laneOf(frame)] as number) += sign * weightOf(frame);
  }
}

interface SentFrame {
  readonly seq: number;
  readonly weight: number;
  readonly lane: 0 | 1;
  /** Absent where it was too large to keep. */
  readonly frame?: Frame;
}

/** Frames that were sent and are not acknowledged. */
export class RetransmitBuffer {
  /** The last number that the other side has. */
  acknowledged = 0;
  #last = 0;
  #kept: SentFrame[] = [];
  readonly #sizes = [0, 0];
  readonly #limit: Limit;

  constructor(limit: Limit) {
    this.#limit = limit;
  }

  /** Whether it may be sent now and could be sent again. */
  fits(frame: Frame): boolean {
    const lane = laneOf(frame);
    const size = this.#sizes[lane] as number;
    return size === 0 || size + weightOf(frame) <= this.#limit(lane);
  }

  /** It has been put on a wire. */
  keep(frame: Frame): void {
    const lane = laneOf(frame);
    const seq = frame.seq as number;
    // A hole: the frame may have arrived, and where it has not the object fails.
    const kept = frame.size > this.#limit(lane) ? { seq, lane, weight: OVERHEAD } : { seq, lane, weight: weightOf(frame), frame };
    (this.#sizes[lane] as number) += kept.weight;
    this.#last = frame.seq as number;
    this.#kept.push(kept);
  }

  /** The other side has everything up to `seq`. False where that cannot be. */
  acknowledge(seq: number): boolean {
    if (seq < this.acknowledged || seq > this.#last) return false;
    const gone = this.#kept.findIndex((kept) => kept.seq > seq);
    for (const { lane, weight } of this.#kept.splice(0, gone < 0 ? Infinity : gone)) (this.#sizes[lane] as number) -= weight;
    this.acknowledged = seq;
    return true;
  }

  /** The frames to send again, in order; `undefined` is one that was not kept. */
  missing(): (Frame | undefined)[] {
    return this.#kept.map(({ frame }) => frame);
  }

  clear(): void {
    this.#kept = [];
    this.#sizes.fill(0);
  }
}

/** The credit that the other side gives us. */
export class SendCredit {
  #bytes = 0;
  #messages = 0;
  #bytesSent = 0;
  #messagesSent = 0;

  /** Whether one more message may go. */
  get open(): boolean {
    return this.#bytesSent < this.#bytes && this.#messagesSent < this.#messages;
  }

  /** A message has been put on a wire for the first time. */
  sent({ size }: Frame): void {
    this.#bytesSent += size;
    this.#messagesSent++;
  }

  granted({ bytes, messages }: Position): void {
    this.#bytes = Math.max(this.#bytes, bytes);
    this.#messages = Math.max(this.#messages, messages);
  }
}

/** Bytes and frames received since the last position after which the next is due. */
const REPORT_BYTES = 64 * 1024;
const REPORT_FRAMES = 64;

/** The sequence that we have taken, and the credit that we give. */
export class ReceiveWindow {
  /** The last number taken. */
  seq = 0;
  #bytes = 0;
  #messages = 0;
  #unsentBytes = 0;
  readonly #window: { readonly bytes: number; readonly messages: number };
  readonly #consumed = { bytes: 0, messages: 0 };
  readonly #unconsumed = new Map<number, number>();
  #sent: Position;

  constructor(bytes: number, messages: number) {
    this.#window = { bytes, messages };
    this.#sent = this.#position;
  }

  /** Count a frame that is next in sequence. False where it was not allowed. */
  take(frame: Frame): boolean {
    const { bytes, messages } = this.#position;
    if (isMessage(frame)) {
      if (this.#bytes >= bytes || this.#messages >= messages) return false;
      this.#bytes += frame.size;
      this.#messages++;
      this.#unconsumed.set(frame.seq as number, frame.size);
    }
    this.seq = frame.seq as number;
    this.#unsentBytes += frame.size;
    return true;
  }

  /** All listeners of a message have settled. Harmless when repeated. */
  consumed(seq: number): void {
    const size = this.#unconsumed.get(seq);
    if (size === undefined) return;
    this.#unconsumed.delete(seq);
    this.#consumed.bytes += size;
    this.#consumed.messages++;
  }

  get #position(): Position {
    const { bytes, messages } = this.#consumed;
    return { seq: this.seq, bytes: this.#window.bytes + bytes, messages: this.#window.messages + messages };
  }

  /** The position, which is on its way to the other side now. */
  say(): Position {
    this.#unsentBytes = 0;
    return (this.#sent = this.#position);
  }

  /** Anything changed since the last position. */
  get news(): boolean {
    const { seq, bytes, messages } = this.#position;
    return seq !== this.#sent.seq || bytes !== this.#sent.bytes || messages !== this.#sent.messages;
  }

  /** The next position should not wait for a ping. */
  get due(): boolean {
    const { seq, bytes, messages } = this.#position;
    return (
      (bytes - this.#sent.bytes) * 4 >= this.#window.bytes ||
      (messages - this.#sent.messages) * 4 >= this.#window.messages ||
      seq - this.#sent.seq >= REPORT_FRAMES ||
      this.#unsentBytes >= REPORT_BYTES
    );
  }
}
