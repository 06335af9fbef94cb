/**
 * The meaning of an answer of the server for a subscription.
 *
 * The one place that maps statuses, close codes and codes to what is done;
 * `tests/vectors/client.json` has the same table for every language. Rule: only
 * what carries a word of ours is an answer, and may be final. All else is from
 * somebody between, such as a captive portal or a router during a deploy, and passes.
 */

import { ChannelGoneError, TakoError } from "./errors.js";

export type Action = "open" | "now" | "backoff" | "reauthenticate" | "gone" | "stop";

export interface Outcome {
  readonly action: Action;
  readonly code: string;
  readonly message?: string | undefined;
  /** Least time before the next try, in ms. */
  readonly waitMs?: number | undefined;
}

/** No `Retry-After` and no `retryAfterMs` is believed beyond this. */
const RETRY_AFTER_CAP_MS = 300_000;

/** The action for a code of the protocol; every other code is a refusal, and final. */
function actionOf(code: string | null | undefined): Action | undefined {
  const word = ` ${code} `;
  if (" credentials-missing credentials-expired auth-frame-missing ".includes(word)) return "reauthenticate";
  // A cursor that the server does not know cannot be resumed: as definite as too old.
  if (" replay-too-old cursor-invalid ".includes(word)) return "gone";
  const passing = " rate-limited internal-error auth-unavailable store-unavailable overloaded shutting-down ";
  return passing.includes(word) ? "backoff" : undefined;
}

export const LOST: Outcome = { action: "backoff", code: "connection-lost" };
export const SILENT: Outcome = { action: "backoff", code: "connection-silent" };
export const BROKEN: Outcome = { action: "stop", code: "protocol-broken" };
/** The word of a close where a frame was over the server's bound. */
export const TOO_LARGE = "message-too-large";
export const NO_CREDENTIALS: Outcome = {
  action: "backoff",
  code: "credentials-failed",
  message: "`credentials` failed, or gave no text within 15 s.",
};

/**
 * An `{"op":"error"}` that ends a topic, or refuses a publish. A word that is not known is a refusal.
 * @param retryAfterMs of the frame; `waitMs` is there only where this is a number
 */
export function ofCode(code = "refused", message?: string, retryAfterMs?: unknown): Outcome {
  const waitMs = typeof retryAfterMs === "number" ? believed(retryAfterMs) : undefined;
  return { action: actionOf(code) ?? "stop", code, message, waitMs };
}

/**
 * An HTTP answer that is not the one hoped for.
 * @param code of a body of ours; without one the answer is somebody else's
 * @param nowMs the wall clock, for a `Retry-After` that is a date
 */
export function ofStatus(
  status: number,
  code?: string | null,
  message?: string,
  retryAfter?: string | null,
  nowMs = 0,
): Outcome {
  const passes = !code || /^(408|425|429|5..)$/.test(`${status}`);
  return {
    action: actionOf(code) ?? (passes ? "backoff" : "stop"),
    code: code ?? `http-${status}`,
    message,
    waitMs: readRetryAfter(retryAfter ?? "", nowMs),
  };
}

/** The answer is an event stream. */
export function isEventStream(contentType: string | null): boolean {
  return /^text\/event-stream *(;|$)/i.test(contentType ?? "");
}

/** The close of a WebSocket; 1006 where it was cut or never made. */
export function ofClose(closeCode: number, reason: string): Outcome {
  if (closeCode === 1000 && reason === "connection expired") return { action: "now", code: reason };
  // 44xx is ours alone. The other numbers are everybody's, and only a word of ours makes them final.
  const ours = /^44..$/.test(`${closeCode}`);
  const final = ours || TOO_LARGE === reason || reason === "text-frames-only";
  // Somebody between may have lost the reason; the number still says which.
  const byNumber = { 1006: LOST.code, 4401: "credentials-missing", 4410: "replay-too-old", 4429: "rate-limited" }[closeCode];
  const action = (ours && (actionOf(reason) ?? actionOf(byNumber))) || (final ? "stop" : "backoff");
  const word = /^[a-z]+(-[a-z]+)*$/.test(reason) && reason;
  return { action, code: word || byNumber || `close-${closeCode}`, message: reason || undefined };
}

/** A refusal of credentials is final where there is nothing new to offer. */
export function withCredentials(outcome: Outcome, credentials: unknown): Outcome {
  if (outcome.action !== "reauthenticate" || typeof credentials === "function") return outcome;
  // A fixed value that only came too late may come in time.
  return { ...outcome, action: credentials && outcome.code === "auth-frame-missing" ? "backoff" : "stop" };
}

/** Milliseconds of a `Retry-After` (RFC 9110, section 10.2.3); 0 where it says nothing. */
export function readRetryAfter(text: string, nowMs: number): number {
  // An HTTP date begins with the name of a day; without this check `-5` would be read as a year.
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : /^[A-Z]/.test(text) ? Date.parse(text) - nowMs : 0;
  return believed(wait || 0);
}

function believed(waitMs: number): number {
  return Math.min(Math.max(waitMs, 0), RETRY_AFTER_CAP_MS);
}

export function errorOf(outcome: Outcome): TakoError {
  return outcome.action === "gone"
    ? new ChannelGoneError(outcome.code)
    : new TakoError(outcome.code, outcome.message);
}
