/**
 * Requests of durable streams, each tried until it is answered.
 *
 * Rule: an answer counts only where it is one of a takotwist server; what a proxy or a login page
 * says of it is weather, but weather that says 200 for half a minute is a wrong address.
 */

import { TakoError } from "./errors.js";

export interface StreamOptions {
  /** Headers of each request; a function is asked before each one. */
  readonly headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
  readonly credentials?: RequestCredentials;
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal | null;
}

export interface TriedOptions extends StreamOptions {
  /** Milliseconds over which a request is tried before it has failed. Default: 30 000. */
  readonly patience?: number;
}

const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 5_000;

/** Longest wait for an answer. A long-poll is answered after 20 seconds where nothing comes. */
const SILENCE = 65_000;

/** Time over which all answers may be somebody else's 200; nothing that is to come would change them. */
const FOREIGN_MS = 30_000;

/** Whether an answer is the server's: what it takes as yes to one request. */
export type Proof = (response: Response, body: Uint8Array) => boolean;

/** A page of a stream: it says where to go on, without which the next request would be the same one at once. */
export const isPage: Proof = ({ headers }) => headers.has("stream-next-offset");

/** What a request that changes something is answered by. */
const isDone: Proof = (response, body) => response.status === 204 || isPage(response, body);

/** One request, until it is answered. */
export async function ask(
  url: string | URL,
  init: RequestInit,
  options: TriedOptions,
  patience = options.patience ?? 30_000,
  proof = isDone,
): Promise<{ response: Response; body: Uint8Array<ArrayBuffer> }> {
  const { headers = {}, credentials, signal } = options;
  const giveUpAt = performance.now() + patience;
  let foreignUntil = Infinity;
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    signal?.throwIfAborted();
    const sent = new Headers(typeof headers === "function" ? await headers() : headers);
    new Headers(init.headers).forEach((value, name) => sent.set(name, value));
    const silent = AbortSignal.timeout(SILENCE);
    let failed: TakoError;
    let foreign = false;
    let after = 0;
    try {
      const response = await (options.fetch ?? fetch)(url, {
        ...init,
        ...(credentials && { credentials }),
        headers: sent,
        cache: "no-store",
        signal: signal ? AbortSignal.any([signal, silent]) : silent,
      });
      // With its length the answer is whole, or this throws.
      const body = new Uint8Array(await response.arrayBuffer());
      const { status, ok } = response;
      if (ok && proof(response, body)) return { response, body };
      failed = refusalOf(response, body);
      if (!ok && !/^(408|425|429|5..)$/.test(`${status}`)) throw failed;
      foreign = ok;
      after = 1000 * Math.min(Number(response.headers.get("retry-after")) || 0, 60);
    } catch (error) {
      if (error instanceof TakoError) throw error;
      signal?.throwIfAborted();
      failed = new TakoError("connection-lost", String(error));
    }
    const wait = Math.max(after, pause * (0.5 + Math.random()));
    const now = performance.now();
    foreignUntil = foreign ? Math.min(foreignUntil, now + FOREIGN_MS) : Infinity;
    if (now + wait > Math.min(giveUpAt, foreignUntil)) throw failed;
    await rest(wait, signal);
  }
}

function refusalOf({ status, headers }: Response, body: Uint8Array): TakoError {
  const { code, error } = (jsonIn(body) ?? {}) as { code?: unknown; error?: unknown };
  if (typeof code === "string") return new TakoError(code, String(error));
  // No body, as the answer to HEAD, may be the server's own.
  const other = `HTTP ${status} (${headers.get("content-type")}), not from takotwist: something between answers, or the url is wrong.`;
  return new TakoError(status === 404 ? "not-found" : `http-${status}`, body.length || status < 400 ? other : undefined);
}

/** The value of a body; `undefined` where it is no JSON. */
export function jsonIn(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
}

function rest(ms: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
