/**
 * Durable streams: read until they end, through any number of cuts, and written in pieces.
 *
 * Rule: a reader is given each byte once, in order, and the end is the stream's own and never
 * that of a connection. What is appended carries its producer's number, so that a retry stores it
 * once. Needs nothing of the core, and is an entry of its own.
 */

import { TakoError } from "./errors.js";
import { ask, isPage, type StreamOptions, type TriedOptions } from "./stream_request.js";

export interface ReadOptions extends StreamOptions {
  /** Where to begin; what `onOffset` said last. Default: at the beginning. */
  readonly offset?: string;
  /** Called with each place up to which everything was read. */
  readonly onOffset?: (offset: string) => void;
}

export interface WriteOptions extends TriedOptions {
  /** Default: UTF-8 text. */
  readonly contentType?: string;
  /** Seconds without a read or a write after which it is gone. Default: 3600. */
  readonly ttl?: number;
  /** In the place of `ttl`: when it is gone, used or not. Another stream with another time is another one. */
  readonly expiresAt?: Date | string;
}

type Data = string | Uint8Array<ArrayBuffer>;

/** Bytes that may wait to be sent; `write` waits while there are more. */
const MOST_WAITING = 256 * 1024;

/**
 * All of a stream, what is there and what comes, until it has ended.
 *
 * It comes again for as long as it is read. An error is the server's no: there is no stream
 * (`not-found`), it was made anew (`replay-too-old`), or this reader may not. Or it is `http-200`:
 * for half a minute something else has answered, such as a login page or a wrong address.
 */
export function readStream(url: string | URL, options: ReadOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
  const cancelled = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, cancelled.signal]) : cancelled.signal;
  const pages = readPages(new URL(url, globalThis.location?.href), { ...options, signal });
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await pages.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => cancelled.abort(reason),
    },
    { highWaterMark: 0 },
  );
}

/**
 * The parts of a stream as they come, none of them empty.
 * @returns the last response, whose headers say how it has ended
 */
export async function* readPages(
  url: URL,
  options: ReadOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>, Response, undefined> {
  let offset = options.offset ?? "-1";
  for (;;) {
    const at = new URL(url);
    at.searchParams.set("offset", offset);
    at.searchParams.set("live", "long-poll");
    const { response, body } = await ask(at, {}, options, Infinity, isPage);
    offset = response.headers.get("stream-next-offset") as string;
    if (body.length) yield body;
    options.onOffset?.(offset);
    if (response.headers.get("stream-closed") === "true") return response;
  }
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

/**
 * Have a stream, which may be there already; whoever reads finds it from here on.
 * @throws `stream-different` where another one is there
 */
export async function createStream(url: string | URL, options: WriteOptions = {}): Promise<StreamWriter> {
  const { contentType = "text/plain; charset=utf-8", ttl = 3600, expiresAt } = options;
  const until = expiresAt instanceof Date ? expiresAt.toISOString() : expiresAt;
  const headers = { "content-type": contentType, ...(until ? { "stream-expires-at": until } : { "stream-ttl": String(ttl) }) };
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

function unlessMissing(error: unknown): undefined {
  if (!(error instanceof TakoError && error.code === "not-found")) throw error;
}
