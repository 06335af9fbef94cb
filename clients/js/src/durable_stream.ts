/**
 * Durable streams: read until they end, through any number of cuts, and written in pieces.
 *
 * Rule: a reader is given each byte once, in order, and the end is the stream's own and never
 * that of a connection. What is appended carries its producer's number, so that a retry stores it
 * once. Needs nothing of the core, and is an entry of its own.
 */

import { TakoError } from "./errors.js";

export interface StreamOptions {
  /** Headers of each request; a function is asked before each one. */
  readonly headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>);
  readonly credentials?: RequestCredentials;
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal | null;
}

export interface ReadOptions extends StreamOptions {
  /** Where to begin; what `onOffset` said last. Default: at the beginning. */
  readonly offset?: string;
  /** Called with each place up to which everything was read. */
  readonly onOffset?: (offset: string) => void;
}

export interface WriteOptions extends StreamOptions {
  /** Default: UTF-8 text. */
  readonly contentType?: string;
  /** Seconds without a read or a write after which it is gone. Default: 3600. */
  readonly ttl?: number;
  /** Milliseconds over which a request is tried before it has failed. Default: 30 000. */
  readonly patience?: number;
}

type Data = string | Uint8Array<ArrayBuffer>;

const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 5_000;

/** Longest wait for an answer. A long-poll is answered after 20 seconds where nothing comes. */
const SILENCE = 65_000;

/** Bytes that may wait to be sent; `write` waits while there are more. */
const MOST_WAITING = 256 * 1024;

/**
 * All of a stream, what is there and what comes, until it has ended.
 *
 * It comes again for as long as it is read. An error is the server's no: there is no stream
 * (`not-found`), it was made anew (`replay-too-old`), or this reader may not.
 */
export function readStream(url: string | URL, options: ReadOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
  const cancelled = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, cancelled.signal]) : cancelled.signal;
  let offset = options.offset ?? "-1";
  return new ReadableStream(
    {
      async pull(controller) {
        for (;;) {
          const target = `${url}?offset=${encodeURIComponent(offset)}&live=long-poll`;
          const { response, body } = await ask(target, {}, { ...options, signal }, Infinity);
          offset = response.headers.get("stream-next-offset") ?? offset;
          if (body.length) controller.enqueue(body);
          options.onOffset?.(offset);
          if (response.headers.get("stream-closed") === "true") return controller.close();
          if (body.length) return;
        }
      },
      cancel: (reason) => cancelled.abort(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Whether there is a stream, and whether it has ended. */
export async function streamState(url: string | URL, options: WriteOptions = {}): Promise<"open" | "ended" | undefined> {
  const found = await ask(url, { method: "HEAD" }, options).catch(unlessMissing);
  return found && (found.response.headers.get("stream-closed") === "true" ? "ended" : "open");
}

/** Have it gone: its readers and its writer are told. It may not be there. */
export async function deleteStream(url: string | URL, options: WriteOptions = {}): Promise<void> {
  await ask(url, { method: "DELETE" }, options).catch(unlessMissing);
}

/** Have a stream; whoever reads finds it from here on. */
export async function createStream(url: string | URL, options: WriteOptions = {}): Promise<StreamWriter> {
  const { contentType = "text/plain; charset=utf-8", ttl = 3600 } = options;
  const headers = { "content-type": contentType, "stream-ttl": String(ttl) };
  await ask(url, { method: "PUT", headers }, options);
  return new StreamWriter(url, contentType, options);
}

/**
 * Writes one stream.
 *
 * One request is under way at a time; what is written meanwhile goes with the next.
 */
export class StreamWriter {
  #url: string | URL;
  #type: string;
  #options: WriteOptions;
  #producer = globalThis.crypto.randomUUID();
  #number = 0;
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  #size = 0;
  #sending: Promise<void> | undefined;
  #failed: unknown;

  /** @internal See {@link createStream}. */
  constructor(url: string | URL, type: string, options: WriteOptions) {
    this.#url = url;
    this.#type = type;
    this.#options = options;
  }

  /**
   * Append it soon; waits while much waits already.
   * @throws what was written before could not be stored: such as `not-found`, where it was deleted.
   */
  async write(data: Data): Promise<void> {
    if (this.#failed) throw this.#failed;
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    if (!bytes.length) return;
    this.#waiting.push(bytes);
    this.#size += bytes.length;
    this.#sending ??= this.#send();
    if (this.#size > MOST_WAITING) await this.flush();
  }

  /** Wait until all is stored; throws as `write`. */
  async flush(): Promise<void> {
    await this.#sending;
    if (this.#failed) throw this.#failed;
  }

  /** There will be no more. */
  async end(): Promise<void> {
    await this.flush();
    await this.#append(new Uint8Array(), true);
  }

  /** Write all of a stream or an iterator, and end. Where it fails, there is no end. */
  async from(source: ReadableStream<Data> | AsyncIterable<Data>): Promise<void> {
    for await (const data of source as AsyncIterable<Data>) await this.write(data);
    await this.end();
  }

  async #send(): Promise<void> {
    try {
      while (this.#waiting.length) {
        const body = new Uint8Array(this.#size);
        let at = 0;
        for (const piece of this.#waiting) {
          body.set(piece, at);
          at += piece.length;
        }
        this.#waiting = [];
        this.#size = 0;
        await this.#append(body, false);
      }
    } catch (failed) {
      this.#failed = failed;
    }
    this.#sending = undefined;
  }

  async #append(body: Uint8Array<ArrayBuffer>, end: boolean): Promise<void> {
    const headers = {
      "content-type": this.#type,
      "producer-id": this.#producer,
      "producer-epoch": "0",
      "producer-seq": String(this.#number++),
      ...(end && { "stream-closed": "true" }),
    };
    await ask(this.#url, { method: "POST", headers, body }, this.#options);
  }
}

/**
 * A `fetch` for libraries that read an answer from a response: where a response has no body and
 * its `Location` names a stream, the stream is the body, through any number of cuts.
 *
 * @param options for the stream; `fetch` is for all requests
 */
export function streamFetch(options: StreamOptions = {}): typeof fetch {
  return async (input, init) => {
    const response = await (options.fetch ?? fetch)(input, init);
    const at = response.ok && response.headers.get("location");
    if (!at) return response;
    const body = readStream(new URL(at, response.url), { ...options, signal: init?.signal ?? null });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
}

/** One request, tried until it is answered. */
async function ask(
  url: string | URL,
  init: RequestInit,
  options: WriteOptions,
  patience = options.patience ?? 30_000,
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
      if (response.ok && (response.headers.has("stream-next-offset") || status === 204)) return { response, body };
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

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof TakoError && error.code === "not-found")) throw error;
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
