/**
 * Requests of durable streams, each tried until it is answered.
 *
 * Rule: an answer counts only where it is one of a takotwist server; what a proxy or a login page
 * says of it is weather.
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

/**
 * One request.
 * @param proof a header by which an answer is known to be the server's; 204 needs none
 */
export async function ask(
  url: string | URL,
  init: RequestInit,
  options: TriedOptions,
  patience = options.patience ?? 30_000,
  proof = "stream-next-offset",
): Promise<{ response: Response; body: Uint8Array<ArrayBuffer> }> {
  const { headers = {}, credentials, signal } = options;
  const giveUpAt = performance.now() + patience;
  for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
    signal?.throwIfAborted();
    const sent = new Headers(typeof headers === "function" ? await headers() : headers);
    new Headers(init.headers).forEach((value, name) => sent.set(name, value));
    const silent = AbortSignal.timeout(SILENCE);
    let failed: TakoError;
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
      const { status } = response;
      if (response.ok && (response.headers.has(proof) || status === 204)) return { response, body };
      failed = refusalOf(status, body);
      if (status !== 429 && status < 500 && !response.ok) throw failed;
      after = 1000 * Math.min(Number(response.headers.get("retry-after")) || 0, 60);
    } catch (error) {
      if (error instanceof TakoError) throw error;
      signal?.throwIfAborted();
      failed = new TakoError("connection-lost", String(error));
    }
    const wait = Math.max(after, pause * (0.5 + Math.random()));
    if (performance.now() + wait > giveUpAt) throw failed;
    await rest(wait, signal);
  }
}

function refusalOf(status: number, body: Uint8Array): TakoError {
  try {
    const { code, error } = JSON.parse(new TextDecoder().decode(body)) as { code?: unknown; error?: unknown };
    if (typeof code === "string") return new TakoError(code, String(error));
  } catch {
    // A proxy's page, or nothing, as with HEAD.
  }
  return new TakoError(status === 404 ? "not-found" : `http-${status}`);
}

function rest(ms: number, signal?: AbortSignal | null): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
