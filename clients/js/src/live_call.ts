/**
 * One call of a function: the request, and the meaning of its answer.
 *
 * Rule: it settles in any case, and only what the server itself says is an answer. All else
 * (a captive portal's page, a router's 404, a head that was cut) is a `NetworkError` that says
 * what came.
 */

import { resolveCredentials } from "./credentials.js";
import { TakoError } from "./index.js";
import { parse } from "./link.js";
import type { ConnectionSettings } from "./live_connection.js";
import { Abort, NetworkError, ValidationError } from "./live_errors.js";
import type { Mark } from "./live_frames.js";
import type { Overflow } from "./live_machine.js";
import { encode, putBack } from "./live_values.js";
import { sendRequest } from "./stream.js";
import { connectUrl } from "./topic.js";

/** A live object's place in a result. */
export interface Entry {
  readonly path: readonly (string | number)[];
  readonly id: string;
  readonly kind: "channel" | "broadcast";
  readonly ack?: boolean;
  readonly durable?: boolean;
  readonly overflow?: Overflow;
}

export interface Result {
  readonly result: unknown;
  readonly live?: readonly Entry[];
}

interface Envelope extends Result {
  /** Of the result, or of an `Abort`'s value. */
  readonly values?: readonly Mark[];
}

interface Answer extends Partial<Envelope> {
  readonly code?: unknown;
  readonly error?: unknown;
  readonly value?: unknown;
}

export interface Call {
  readonly name: string;
  /** By position, or an object of them by name. */
  readonly args: readonly unknown[] | object;
  readonly secret: string;
  /** Milliseconds for all of it. */
  readonly timeout: number;
}

function failed(cause: unknown, message?: string): NetworkError {
  const error = new NetworkError(false, message);
  error.blame(cause);
  return error;
}

function lost(cause: unknown): never {
  throw cause instanceof NetworkError ? cause : failed(cause);
}

/** @throws TypeError where JSON has no form for an argument; names the place */
function bodyOf(args: Call["args"]): string {
  const key = Array.isArray(args) ? "args" : "named";
  const { data, values } = encode(args, "arguments");
  if (values === undefined) return `{"${key}":${data}}`;
  const marks = (JSON.parse(values) as Mark[]).map(({ path, kind }) => ({ path: [key, ...path], kind }));
  return `{"${key}":${data},"values":${JSON.stringify(marks)}}`;
}

/** @throws as `Live.call` says */
function read(response: Response, text: string): Result {
  const { status } = response;
  const answer = Object(parse(text)) as Answer;
  const { code, error, value, values } = answer;
  if (status === 200 && "result" in answer) return { ...answer, result: putBack(answer.result, values) };
  if (status < 400 || typeof code !== "string" || typeof error !== "string") {
    const type = response.headers.get("content-type");
    const what = `HTTP ${status} (${type}), not from takotwist: something between answers, or the url is wrong.`;
    throw failed(new TakoError(`http-${status}`, what), "There was no answer of the server.");
  }
  if (code === "aborted") throw new Abort(putBack(value, values));
  if (status === 400) throw new ValidationError(error);
  throw new TakoError(code, error);
}

/** @throws as `Live.call` says */
export async function callFunction(settings: ConnectionSettings, { name, args, secret, timeout }: Call): Promise<Result> {
  const body = bodyOf(args);
  const { credentials, environment } = settings;
  const headers = { "content-type": "application/json", "tako-session": secret };
  const url = new URL(connectUrl(settings.base).replace(/^ws/, "http"));
  url.pathname = url.pathname.replace(/connect$/, `functions/${encodeURIComponent(name)}`);
  const abort = new AbortController();
  const { signal } = abort;

  const post = async (refused: boolean): Promise<[Response, string]> => {
    const auth = await resolveCredentials(environment, credentials, refused, signal).catch((cause: unknown) =>
      Promise.reject(failed(cause, "The credentials could not be had.")),
    );
    const response = await sendRequest(settings, url, auth, { method: "POST", headers, body, signal });
    return [response, await response.text()];
  };
  const exchange = async () => {
    const first = await post(false);
    return first[0].status === 401 && typeof credentials === "function" ? post(true) : first;
  };

  let cancel = () => {};
  const tooLate = new Promise<never>((_, reject) => {
    if (timeout === Infinity) return;
    cancel = environment.later(timeout, () => {
      reject(failed(undefined, `There was no answer within ${timeout} ms.`));
      abort.abort();
    });
  });
  try {
    return read(...(await Promise.race([exchange().catch(lost), tooLate])));
  } finally {
    cancel();
  }
}
