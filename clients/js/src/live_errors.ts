/**
 * The errors of live objects, sends and calls.
 *
 *     TakoError
 *     ├── Abort                  either side said so, or the function did; has its value
 *     ├── NetworkError           the connection was lost for too long, or never made
 *     ├── PageLeft               the page was left, or closed its live objects: nothing is wrong
 *     ├── ChannelClosedError     the object is closed, or is closing
 *     ├── ChannelOverflowError   too much waited: the object has ended, or dropped a send
 *     ├── ChannelGoneError       a durable cursor is too old
 *     └── ValidationError        arguments, data or an answer did not fit their declared type
 *
 * A listener that failed is a plain `TakoError` with the code `failed`; what could not be stored is
 * one with the server's word, such as `store-unavailable`. Rule: `errorOf` and
 * `troubleOf` are the only translation from and to the wire (protocol, live objects, section 5).
 */

import { ChannelClosedError, ChannelGoneError, ChannelOverflowError, TakoError } from "./index.js";
import type { Mark, Trouble } from "./live_frames.js";
import { encode, putBack } from "./live_values.js";

/** One side ended the object on purpose, or a function refused its call. */
export class Abort extends TakoError {
  /** Its value: anything that JSON can carry, and dates and bytes. */
  readonly abortValue: unknown;

  constructor(value?: unknown, message?: string) {
    const reason = typeof value === "object" ? (value as { message?: unknown } | null)?.message : value;
    super("abort", message ?? (typeof reason === "string" ? reason : "Aborted"));
    this.abortValue = value;
  }
}

/** The connection was lost for too long, or there was no answer of the server; `cause` is the last error of the connection. */
export class NetworkError extends TakoError {
  /** It is a live object's and not a call's. */
  readonly isChannel: boolean;

  constructor(isChannel: boolean, message = "The connection was lost.") {
    super("network", message);
    this.isChannel = isChannel;
  }

  /** @internal What it came of. */
  blame(cause: unknown): void {
    if (cause === undefined) return;
    this.cause = cause;
    if (cause instanceof Error) this.message += ` Last trouble: ${cause.message}`;
  }
}

/** The page was left, or closed its live objects: nothing is wrong. */
export class PageLeft extends TakoError {
  constructor(message = "The page was left.") {
    super("left", message);
  }
}

export class ValidationError extends TakoError {
  constructor(message = "The data does not fit its type.") {
    super("validation", message);
  }
}

export function errorOf({ code, value, values, message }: Trouble): TakoError {
  switch (code) {
    case "abort":
      // A copy: the other side may have to be told the same again.
      return new Abort(values ? putBack(JSON.parse(JSON.stringify(value)), values) : value, message);
    case "network":
      return new NetworkError(true, message);
    case "left":
      return new PageLeft(message);
    case "overflow":
      return new ChannelOverflowError(message ?? "More waits to be sent than may: await the sends.");
    case "validation":
      return new ValidationError(message);
    case "closed": {
      const error = new ChannelClosedError();
      error.message = message ?? "The channel is closed.";
      return error;
    }
    default:
      if (message === "replay-too-old" || message === "cursor-invalid") return new ChannelGoneError(message);
      // One word is the server's, of what it could not store.
      if (message && /^[a-z-]+$/.test(message)) return new TakoError(message);
      return new TakoError("failed", message ?? "The listener failed.");
  }
}

export function troubleOf({ abortValue, message }: Abort): Trouble {
  const plain = new Abort(abortValue).message === message;
  if (abortValue === undefined) return { code: "abort", ...(!plain && { message }) };
  const { data, values } = encode(abortValue, "value");
  const marks = values !== undefined && { values: JSON.parse(values) as Mark[] };
  return { code: "abort", value: JSON.parse(data) as unknown, ...marks, ...(!plain && { message }) };
}
