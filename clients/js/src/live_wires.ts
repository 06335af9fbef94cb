/**
 * The wires of live objects: an event stream with POSTs, or the WebSocket that the
 * page's channel subscriptions use (protocol, live objects, section 3).
 *
 * Rule: a frame goes up as it is and comes down as it is; what frames mean is the
 * session's. Once `lost` was told or `drop` was called, a wire is silent.
 */

import { fromBase64, toBase64 } from "./base64.js";
import type { WebSocketLike } from "./environment.js";
import { eventStream } from "./event_stream.js";
import { parse } from "./link.js";
import { isEventStream, LOST, ofClose, type Outcome } from "./outcome.js";
import { sendRequest, refusal, type StreamSettings } from "./stream.js";

export type Payload = string | Uint8Array<ArrayBuffer>;
export type ControlFrame = Record<string, any>;

export interface WireEvents {
  /** A text frame, parsed and as it came. */
  text(frame: ControlFrame, text: string): void;
  binary(payload: Uint8Array<ArrayBuffer>): void;
  lost(outcome: Outcome): void;
}

export interface Wire {
  send(payload: Payload): void;
  drop(): void;
}

const MAX_BATCH_BYTES = 1024 * 1024;

/** Lines wait here for the answer to the POST before. */
function upstream(post: (body: string) => Promise<boolean>, maxBytes: () => number): (line: string) => void {
  let lines: string[] = [];
  let busy = false;

  async function flush(): Promise<void> {
    // A turn later, so that what is sent together goes together.
    await undefined;
    while (lines.length) {
      let size = 0;
      // Text of other alphabets has up to three bytes for a unit.
      const end = lines.findIndex((line) => (size += line.length * 3 + 1) > maxBytes());
      const batch = lines.splice(0, end < 0 ? lines.length : Math.max(1, end));
      if (!(await post(batch.map((line) => `${line}\n`).join("")))) return;
    }
    busy = false;
  }

  return (line) => {
    lines.push(line);
    if (busy) return;
    busy = true;
    void flush();
  };
}

/**
 * @param url of the connection, as a WebSocket's
 * @param opened called with the server's first frame
 */
export function streamWire(
  settings: StreamSettings,
  url: string,
  auth: string | null | undefined,
  opened: () => void,
  events: WireEvents,
): Wire {
  const abort = new AbortController();
  const { signal } = abort;
  const address = new URL(url.replace(/^ws/, "http"));
  let upstreamKey: string | undefined;
  let maxBatchBytes = MAX_BATCH_BYTES;

  function lost(outcome: Outcome): void {
    if (signal.aborted) return;
    abort.abort();
    events.lost(outcome);
  }

  async function post(body: string): Promise<boolean> {
    const to = new URL(address);
    to.pathname += `/${upstreamKey}`;
    const headers = { "content-type": "application/x-ndjson" };
    const { status } = await sendRequest(settings, to, auth, { method: "POST", headers, body, signal }).catch(() => ({ status: 0 }));
    if (status === 204) return !signal.aborted;
    // Whatever it is, nobody knows what was taken: another wire begins at a known position.
    lost(LOST);
    return false;
  }

  function line(data: string): void {
    if (data.startsWith("~")) return events.binary(fromBase64(data.slice(1)));
    const frame = parse(data) as ControlFrame | undefined;
    if (!frame?.op) return lost(LOST);
    // An event stream has no close codes of its own.
    if (frame.op === "close") return lost(ofClose(frame.code, frame.reason));
    if (frame.op !== "open") return events.text(frame, data);
    upstreamKey = frame.upstream;
    maxBatchBytes = frame.maxBatchBytes ?? maxBatchBytes;
    opened();
  }

  async function read(): Promise<Outcome> {
    const response = await sendRequest(settings, address, auth, { headers: { accept: "text/event-stream" }, signal });
    const { status, body } = response;
    if (status !== 200 || !body || !isEventStream(response.headers.get("content-type"))) return refusal(response);
    const push = eventStream(
      ({ data }) => signal.aborted || data === undefined || line(data),
      () => {},
    );
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || !push(decoder.decode(value, { stream: true }))) return LOST;
    }
  }

  read().catch(() => LOST).then(lost);

  const up = upstream(post, () => maxBatchBytes);
  return {
    send: (payload) => up(typeof payload === "string" ? payload : `~${toBase64(payload)}`),
    drop: () => abort.abort(),
  };
}

/** Refs from here on are ours, and no subscription's on the same connection. */
export const FIRST_REF = 2 ** 30;

/**
 * The shared WebSocket, which is open.
 *
 * Frames that are not ours go on to the owner of the socket, which also reports its loss.
 */
export function socketWire(socket: WebSocketLike, events: Omit<WireEvents, "lost">): Wire {
  const ownersHandler = socket.onmessage as (event: { data: unknown }) => void;
  let dropped = false;
  // Browsers would give a Blob, which is read later than the text that follows it.
  (socket as { binaryType?: string }).binaryType = "arraybuffer";
  socket.onmessage = (event: { data: unknown }) => {
    const { data } = event;
    if (dropped) return;
    if (data instanceof ArrayBuffer) return events.binary(new Uint8Array(data));
    const frame = parse(data) as ControlFrame | undefined;
    const ours = /^live/.test(frame?.op) || (frame?.ref ?? 0) >= FIRST_REF;
    if (ours || frame?.op === "ping") events.text(frame as ControlFrame, data as string);
    if (!ours) ownersHandler(event);
  };
  return {
    send: (payload) => (socket.send as (payload: Payload) => void).call(socket, payload),
    drop() {
      if (dropped) return;
      dropped = true;
      // 1000 would say that the page has gone. The owner makes another connection.
      socket.close(4000);
      (socket.onclose as ((event: { code: number; reason: string }) => void) | null)?.({ code: 1006, reason: "" });
    },
  };
}
