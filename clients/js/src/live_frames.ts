/**
 * The frames of live objects as values, as text and as binary (protocol, live objects, section 5).
 *
 * Rule: `data` stays what the wire has, JSON text or bytes: encoded once where the
 * message is made, read once where it is listened to. What is read here is complete.
 */

export type Do =
  | "send"
  | "ack"
  | "publish"
  | "published"
  | "subscribe"
  | "unsubscribe"
  | "close"
  | "closed"
  | "credit"
  | "end"
  | "ended";

/** A date or bytes, by where it stands in JSON that has an ISO text or base64 there. */
export interface Mark {
  readonly path: readonly (string | number)[];
  readonly kind: "date" | "bytes";
}

/** An error as on the wire: why something ended or failed. */
export interface Trouble {
  readonly code: string;
  readonly value?: unknown;
  /** Marks of `value`; see `live_values`. */
  readonly values?: readonly Mark[];
  readonly message?: string | undefined;
}

/** One side's acknowledgement and the credit that it gives, over the object's whole life (section 6). */
export interface Position {
  readonly seq: number;
  readonly bytes: number;
  readonly messages: number;
}

/** The place of a publication among those of its key. */
export interface Info {
  /** Counts from 1. */
  readonly seq: number;
  /** Milliseconds since the epoch. */
  readonly timestamp: number;
  /** Another one when the count began anew. */
  readonly epoch: number;
  /** Of a durable key: where to go on after this message. Opaque, and greater than all before. */
  readonly cursor?: string;
}

export interface Frame {
  readonly do: Do;
  /** From 1; absent where it is not sequenced, or not yet. */
  readonly seq?: number;
  readonly data?: string | Uint8Array<ArrayBuffer>;
  /** Marks of the dates and bytes in `data`, as JSON text; see `live_values`. */
  readonly values?: string;
  /** Bytes of `data` and `values` on the wire. */
  readonly size: number;
  readonly ack?: boolean;
  readonly of?: number;
  readonly error?: Trouble | null;
  readonly info?: Info;
  readonly kind?: string;
  readonly cursor?: string | number;
  readonly stale?: string;
  readonly timeoutMs?: number;
  readonly position?: Position;
}

export const NETWORK: Trouble = { code: "network" };
export const LEFT: Trouble = { code: "left" };
export const CLOSED: Trouble = { code: "closed" };
export const TIMED_OUT: Trouble = { code: "closed", message: "close timed out" };
export const OVERFLOW: Trouble = { code: "overflow" };

/** A frame that the protocol does not know; the message names the field. */
export class Unreadable extends Error {}

const BINARY_KINDS = ["send ", "send ack", "publish ", "published ", "published stored"];
const LAST_SEQ = 2 ** 32 - 1;
const NUMBER_BYTES = 8;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Bytes of a text as UTF-8. */
function sizeOf(text: string): number {
  let size = text.length;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    // Each half of a surrogate pair is two of its four bytes.
    if (unit > 0x7f) size += unit > 0x7ff && (unit < 0xd800 || unit > 0xdfff) ? 2 : 1;
  }
  return size;
}

/** A frame without a number, around JSON text or bytes. */
export function draft(what: Do, data: string | Uint8Array<ArrayBuffer>, more?: Partial<Frame>): Frame {
  const size = typeof data === "string" ? sizeOf(data) + sizeOf(more?.values ?? "") : data.byteLength;
  return { do: what, size, data, ...more };
}

/** Whether it counts against credit and in the send queue. */
export function isMessage(frame: Frame): boolean {
  return frame.do === "send" || frame.do === "publish" || frame.do === "published";
}

/** Text frames are lane 0, binary ones lane 1. */
export function laneOf(frame: Frame): 0 | 1 {
  return frame.data instanceof Uint8Array ? 1 : 0;
}

/** Bytes that a kept frame costs beside its data; the server's end counts the same. */
export const OVERHEAD = 400;

/** Its weight in a lane, in bytes. */
export function weightOf(frame: Frame): number {
  return OVERHEAD + frame.size;
}

/** `data` stands last, so that its text can be found without parsing. */
function writeText(id: string, frame: Frame): string {
  const { do: what, seq, ack, of, info, error, timeoutMs, position, kind, cursor, stale, values, data } = frame;
  const head = JSON.stringify({
    op: "live",
    id,
    do: what,
    seq,
    ack: ack || undefined,
    of,
    info,
    error: what === "end" ? (error ?? null) : error,
    timeoutMs,
    ...(position && { at: position.seq, bytes: position.bytes, messages: position.messages }),
    kind,
    cursor,
    stale,
  });
  const marks = values === undefined ? "" : `,"values":${values}`;
  return data === undefined ? head : `${head.slice(0, -1)}${marks},"data":${data as string}}`;
}

function writeBinary(id: string, frame: Frame, data: Uint8Array): Uint8Array<ArrayBuffer> {
  const { info } = frame;
  const numbers = info ? [info.seq, info.timestamp, info.epoch, ...(info.cursor === undefined ? [] : [info.cursor])] : [];
  const name = encoder.encode(id);
  const head = 2 + name.length + 4;
  const whole = new Uint8Array(head + numbers.length * NUMBER_BYTES + data.length);
  const view = new DataView(whole.buffer);
  const more = frame.ack ? "ack" : info?.cursor === undefined ? "" : "stored";
  whole[0] = BINARY_KINDS.indexOf(`${frame.do} ${more}`) + 1;
  whole[1] = name.length;
  whole.set(name, 2);
  view.setUint32(head - 4, frame.seq as number);
  numbers.forEach((number, at) => view.setBigUint64(head + at * NUMBER_BYTES, BigInt(number)));
  whole.set(data, whole.length - data.length);
  return whole;
}

/** As it stands on the wire. */
export function write(id: string, frame: Frame): string | Uint8Array<ArrayBuffer> {
  return frame.data instanceof Uint8Array ? writeBinary(id, frame, frame.data) : writeText(id, frame);
}

function whole(value: unknown, least: number, field: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < least) throw new Unreadable(`${field} must be a number from ${least}`);
  return value as number;
}

function readCursor(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  return whole(typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value, 0, "cursor");
}

/**
 * @param text the frame as it came
 * @param value the same, parsed
 * @throws Unreadable as it says
 */
export function readText(text: string, value: Record<string, any>): [id: string, frame: Frame] {
  const { id, do: what, seq, of, error, info, kind, timeoutMs } = value;
  if (typeof id !== "string") throw new Unreadable("id is missing");
  if (what === "credit") {
    const [at, bytes, messages] = ["at", "bytes", "messages"].map((field) => whole(value[field], 0, field));
    return [id, { do: what, size: 0, position: { seq: at, bytes, messages } as Position }];
  }
  if (what === "ended") return [id, { do: what, size: 0 }];
  if (what === "end") return [id, { do: what, size: 0, error: error ?? null }];
  const frame = { do: what as Do, seq: whole(seq, 1, "seq"), size: 0 };
  if (seq > LAST_SEQ) throw new Unreadable("seq must have 32 bits");
  switch (what) {
    case "closed":
      return [id, frame];
    case "close":
      if (!(timeoutMs >= 0)) throw new Unreadable("timeoutMs must be a number from 0");
      return [id, { ...frame, timeoutMs }];
    case "subscribe":
    case "unsubscribe": {
      if (kind !== "text" && kind !== "binary") throw new Unreadable("kind must be text or binary");
      const cursor = readCursor(value.cursor);
      const { stale } = value;
      if (stale !== undefined && stale !== "reset") throw new Unreadable("stale must be reset");
      return [id, { ...frame, kind, ...(value.ack && { ack: true }), ...(cursor !== undefined && { cursor }), ...(stale && { stale }) }];
    }
    case "ack":
      if (error) return [id, { ...frame, of: whole(of, 1, "of"), error }];
  }
  if (!/^(send|ack|publish|published)$/.test(what)) throw new Unreadable("do is unknown");
  if (value.data === undefined) throw new Unreadable("data is missing");
  const data = text.slice(text.indexOf('"data":') + 7, text.lastIndexOf("}"));
  const marksAt = text.indexOf('"values":') + 9;
  const marks = value.values !== undefined && { values: text.slice(marksAt, text.indexOf(',"data":', marksAt)) };
  const more = { ...(value.ack && { ack: true }), ...(what === "ack" && { of: whole(of, 1, "of") }), ...(info && { info }) };
  return [id, draft(what, data, { seq, ...more, ...marks })];
}

/** @throws Unreadable as it says */
export function readBinary(payload: Uint8Array<ArrayBuffer>): [id: string, frame: Frame] {
  const [what, more] = (BINARY_KINDS[(payload[0] ?? 0) - 1]?.split(" ") ?? []) as [Do, string];
  if (!what) throw new Unreadable("the kind of a binary frame is unknown");
  const at = 2 + (payload[1] ?? 0);
  const stored = more === "stored";
  const body = at + 4 + (what === "published" ? (stored ? 4 : 3) * NUMBER_BYTES : 0);
  if (payload.length < body) throw new Unreadable("a binary frame is cut short");
  const view = new DataView(payload.buffer, payload.byteOffset);
  const number = (index: number) => Number(view.getBigUint64(at + 4 + index * NUMBER_BYTES));
  const cursor = stored && { cursor: String(number(3)) };
  const info = what === "published" && { info: { seq: number(0), timestamp: number(1), epoch: number(2), ...cursor } };
  const seq = whole(view.getUint32(at), 1, "seq");
  // Copied: what the listener keeps is not the buffer of the wire.
  return [decoder.decode(payload.subarray(2, at)), draft(what, payload.slice(body), { seq, ...(more === "ack" && { ack: true }), ...info })];
}
