/**
 * One end of a live object: frames and calls in, frames and events out (sections 5 to 7).
 *
 * The server's end follows the same steps, which `tests/vectors/live.json` writes
 * out. Rule: time is an argument, in milliseconds; nothing here waits, and what was
 * taken from a caller comes out again: sent, answered or failed.
 */

import { CLOSED, type Frame, laneOf, NETWORK, OVERFLOW, type Position, TIMED_OUT, type Trouble } from "./live_frames.js";
import { ReceiveWindow } from "./live_queues.js";
import { type Bounds, Sender, type Output } from "./live_sender.js";

/** Lingering: closed gracefully, but the other side may need frames again. Over: it may not know yet. */
export type Phase = "new" | "open" | "lingering" | "over" | "forgotten";

/** Policy of a full send queue: the object ends, or the oldest make room. */
export type Overflow = "end" | "drop-oldest";

export class Machine<Handle> {
  phase: Phase = "new";
  overflow: Overflow = "end";
  /** A wire carries its frames now. */
  attached = false;
  /** The error of its end, `null` for a graceful one, once it has ended. */
  outcome: Trouble | null = null;
  readonly #bounds: Bounds;
  readonly #window: ReceiveWindow;
  readonly #sender: Sender<Handle>;
  readonly #requests = new Set<number>();
  readonly #closing = { ours: false, theirs: false, closeSent: false, closedSent: false, closedReceived: false };
  #closeBy = Infinity;
  #out: Output<Handle>[] = [];
  #blocked = false;
  #since: number;

  constructor(bounds: Bounds, now: number) {
    this.#bounds = bounds;
    this.#since = now;
    this.#window = new ReceiveWindow(bounds.windowBytes, bounds.windowMessages);
    this.#sender = new Sender(bounds, this.#out);
  }

  /** The outputs since the last time. */
  take(): Output<Handle>[] {
    return this.#out.splice(0);
  }

  /** It is over for its user. */
  get ended(): boolean {
    return this.phase !== "new" && this.phase !== "open";
  }

  /** Nothing more can be sent. */
  get closed(): boolean {
    return this.ended || this.#closing.ours || this.#closing.theirs;
  }

  /** Time of the next `tick`; `Infinity` for never. */
  get deadline(): number {
    const { connectTtlMs, reconnectTimeoutMs } = this.#bounds;
    if (this.phase === "forgotten") return Infinity;
    if (this.ended) return this.#since + reconnectTimeoutMs;
    if (this.phase === "new") return Math.min(this.#closeBy, this.#since + (connectTtlMs ?? Infinity));
    return this.attached ? this.#closeBy : Math.min(this.#closeBy, this.#since + reconnectTimeoutMs);
  }

  /** This side's position, which goes to the other side now. */
  position(): Position {
    return this.#window.say();
  }

  /** A message, or a change of a subscription, without a number yet. */
  send(frame: Frame, handle: Handle | undefined, now: number): void {
    const sender = this.#sender;
    if (this.closed) return sender.fail(handle, CLOSED);
    sender.push(frame, handle);
    this.#flush(now);
    const lane = laneOf(frame);
    while (sender.over(lane)) {
      // Whoever did not await the send would not hear of a hole; of the end they do.
      if (this.overflow === "end") return this.#end(OVERFLOW, now);
      sender.dropOldest(lane);
    }
  }

  /** Answer a request. Harmless when it was answered, or nobody waits any more. */
  answer(of: number, answer: Pick<Frame, "data" | "values" | "error" | "size">, now: number): void {
    this.#window.consumed(of);
    if (this.#requests.delete(of)) this.#sender.pushAnswer({ do: "ack", of, ...answer });
    this.#flush(now);
  }

  /** All listeners of a message have settled. Harmless when repeated. */
  consumed(seq: number, now: number): void {
    this.#window.consumed(seq);
    this.#flush(now);
  }

  /** @param excused requests that cannot be answered before the close is over */
  close(timeoutMs: number, now: number, excused: Iterable<number> = []): void {
    if (this.ended) return;
    this.#closing.ours = true;
    this.#closeBy = Math.min(this.#closeBy, now + timeoutMs);
    for (const seq of excused) this.answer(seq, { error: CLOSED, size: 0 }, now);
    this.#flush(now);
  }

  /** End at once, with an error. */
  end(trouble: Trouble, now: number): void {
    if (!this.ended) this.#end(trouble, now);
  }

  /** A wire carries the object from now on; the position is the other side's. */
  attach(position: Position, now: number): void {
    if (this.phase === "over" || this.phase === "forgotten") return;
    this.attached = true;
    this.#blocked = false;
    if (this.phase === "new") {
      this.phase = "open";
      this.#out.push({ opened: true });
    }
    if (!this.#sender.retransmit(position)) {
      // The other side lacks what is not here any more.
      if (this.ended) this.#forget();
      else this.#end(NETWORK, now);
      return;
    }
    if (this.ended && this.#closing.closedReceived) this.#out.push({ frame: { do: "end", error: null, size: 0 } });
    this.#flush(now);
  }

  /** The wire is gone. */
  detach(now: number): void {
    if (!this.attached) return;
    this.attached = false;
    if (!this.ended) this.#since = now;
  }

  /** The wire takes no more for now, or does again. */
  block(blocked: boolean, now: number): void {
    this.#blocked = blocked;
    this.#flush(now);
  }

  /** Tell the other side what it has not been told; at each ping. */
  report(): void {
    if (this.attached && this.#window.news) this.#credit();
  }

  receive(frame: Frame, now: number): void {
    const seq = frame.seq ?? 0;
    if (this.phase === "forgotten") return;
    if (!seq) this.#control(frame, now);
    else if (seq <= this.#window.seq) return;
    else if (seq !== this.#window.seq + 1) this.#broken(`seq ${seq} follows ${this.#window.seq}`, now);
    else if (!this.#window.take(frame)) this.#broken("more than the credit allows", now);
    else this.#taken(frame, now);
    this.#flush(now);
  }

  /** Time has passed. */
  tick(now: number): void {
    if (now < this.deadline) return;
    if (this.ended) this.#forget();
    else this.#end(now >= this.#closeBy ? TIMED_OUT : NETWORK, now);
  }

  #taken(frame: Frame, now: number): void {
    const closing = this.#closing;
    if (frame.do === "ack") this.#sender.answered(frame);
    else if (frame.do === "close") {
      closing.theirs = true;
      this.#closeBy = Math.min(this.#closeBy, now + (frame.timeoutMs as number));
    } else if (frame.do === "closed") closing.closedReceived = true;
    else if (this.ended) this.#window.consumed(frame.seq as number);
    else {
      if (frame.ack || frame.do === "publish") this.#requests.add(frame.seq as number);
      this.#out.push({ deliver: frame });
    }
  }

  #control(frame: Frame, now: number): void {
    if (frame.do === "credit") {
      if (!this.#sender.granted(frame.position as Position)) this.#broken("a report of what was never sent", now);
    } else if (frame.do === "ended") {
      if (this.phase === "over") this.#forget();
    } else {
      if (!this.ended) this.#settle(frame.error ?? null);
      if (this.attached) this.#out.push({ frame: { do: "ended", size: 0 } });
      this.#forget();
    }
  }

  /** Send what can be sent, and draw the conclusions for the close. */
  #flush(now: number): void {
    if (this.attached && !this.#blocked) {
      if (!this.ended) {
        this.#sender.flush();
        this.#closeOn(now);
      }
      if (this.#window.due) this.#credit();
    }
    const { ours, theirs, closedSent, closedReceived } = this.#closing;
    const complete = theirs ? closedSent && (closedReceived || !ours) : closedReceived;
    if (complete && !this.ended) this.#closeGracefully(now);
  }

  #closeOn(now: number): void {
    const closing = this.#closing;
    if (closing.ours && !closing.closeSent && !this.#sender.waits) {
      closing.closeSent = true;
      this.#sender.number({ do: "close", size: 0, timeoutMs: Math.round(Math.max(0, this.#closeBy - now)) });
    }
    const due = closing.theirs && !closing.closedSent && (closing.closeSent || !closing.ours);
    if (due && !this.#sender.owes && !this.#requests.size) {
      closing.closedSent = true;
      this.#sender.number({ do: "closed", size: 0 });
    }
  }

  #closeGracefully(now: number): void {
    this.#settle(null);
    this.#since = now;
    if (this.#closing.closedReceived && this.attached) this.#out.push({ frame: { do: "end", error: null, size: 0 } });
    // Who has said `closed` may have to say it, and what was before it, again.
    if (this.#closing.closedSent) this.phase = "lingering";
  }

  #credit(): void {
    this.#out.push({ frame: { do: "credit", size: 0, position: this.#window.say() } });
  }

  #end(trouble: Trouble, now: number): void {
    this.#settle(trouble);
    this.#sender.forget();
    this.#since = now;
    if (this.attached) this.#out.push({ frame: { do: "end", error: trouble, size: 0 } });
    // Neither need be remembered: the one is also what an unknown id means, and of the other there is nobody to tell.
    if (trouble.code === "network" || trouble.code === "left") this.#forget();
  }

  /** It is over for its user: everything of theirs comes out. */
  #settle(trouble: Trouble | null): void {
    this.outcome = trouble;
    this.phase = "over";
    this.#requests.clear();
    this.#sender.settle(trouble);
    this.#out.push({ ended: trouble });
  }

  #forget(): void {
    this.phase = "forgotten";
    this.attached = false;
    this.#sender.forget();
    this.#out.push({ forgotten: true });
  }

  #broken(reason: string, now: number): void {
    this.#out.push({ broken: reason });
    if (this.ended) this.#forget();
    else this.#end(NETWORK, now);
  }
}
