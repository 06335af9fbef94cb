/**
 * Streamed messages of a topic: what one has so far, what comes, and how it ends.
 *
 * A message that is written bit by bit is two messages of its topic, one when it is opened and one
 * with all of it; what comes in between is read here. Rule: each value is given once, in order,
 * through any number of cuts, and the end is the message's own.
 */

import { readPages, type ReadOptions } from "./durable_stream.js";
import { TakoError } from "./errors.js";
import type { Params } from "./message.js";
import { ask, jsonIn, type TriedOptions } from "./stream_request.js";
import { channelUrl } from "./topic.js";
import type { Credentials } from "./types.js";

/** How a message has ended. */
export interface StreamEnd {
  readonly state: "ended" | "failed" | "cancelled";
  /** Of `failed`: `failed`, `writer-gone` or `too-long`. */
  readonly reason?: string;
}

/** The data of both messages in the topic. */
export interface StreamedData {
  readonly stream: {
    readonly id: string;
    readonly state: "open" | StreamEnd["state"];
    readonly opened?: string;
    readonly reason?: string;
    readonly error?: string;
  };
  /** Of a stream of text: all of it. */
  readonly text?: string;
  /** Of a stream of values. */
  readonly items?: readonly unknown[];
  readonly meta?: unknown;
}

/** A message that is open now. */
export interface OpenMessage {
  readonly id: string;
  readonly type: string;
  readonly opened: string;
  readonly meta?: unknown;
}

/** As those of a channel. */
export interface MessageOptions {
  readonly params?: Params;
  /** The server's origin, or the base address of its channels. Default: this page's origin. */
  readonly url?: string;
  readonly credentials?: Credentials;
  /** The header that the channel's definition names. Default: `authorization`. */
  readonly header?: string;
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal | null;
}

export interface ReadMessageOptions extends MessageOptions, Pick<ReadOptions, "offset" | "onOffset"> {}

/** What other credentials may change. */
const REFUSALS = new Set(["credentials-missing", "credentials-expired", "verify-rejected"]);

/** The data of a message, where it is a streamed one. */
export function streamedIn(data: unknown): StreamedData | undefined {
  const stream = (data as Partial<StreamedData> | null | undefined)?.stream;
  return typeof stream?.id === "string" && typeof stream.state === "string" ? (data as StreamedData) : undefined;
}

/**
 * The values of a message, what is there and what comes; of text they are strings.
 *
 *     for await (const token of readMessage("chat", id, { params })) text += token;
 *
 * An error is the server's no: `not-found` where it ended a while ago, and history has it. Or it
 * is `http-200`, as of `readStream`.
 * @returns how it has ended
 */
export async function* readMessage(
  channel: string,
  id: string,
  options: ReadMessageOptions = {},
): AsyncGenerator<unknown, StreamEnd, undefined> {
  let { offset = "-1" } = options;
  const onOffset = (at: string): void => {
    offset = at;
    options.onOffset?.(at);
  };
  for (let refused = false; ; ) {
    try {
      const pages = readPages(streamsUrl(channel, options, id), { ...requestOptions(options, refused), offset, onOffset });
      let page = await pages.next();
      for (; !page.done; page = await pages.next()) {
        refused = false;
        const values = jsonIn(page.value);
        if (!Array.isArray(values)) throw new TakoError("protocol-broken", "The stream is not one of a message's values.");
        yield* values;
      }
      const said = page.value.headers;
      const reason = said.get("stream-end-reason");
      return { state: (said.get("stream-end") ?? "ended") as StreamEnd["state"], ...(reason && { reason }) };
    } catch (error) {
      // As a channel: credentials that may be old are asked for once more.
      if (refused || typeof options.credentials !== "function" || !isRefusal(error)) throw error;
      refused = true;
    }
  }
}

/** The messages of a topic that are open now, in the order of their opening. */
export async function openMessages(channel: string, options: MessageOptions = {}): Promise<readonly OpenMessage[]> {
  const { body } = await ask(streamsUrl(channel, options), {}, requestOptions(options), undefined, (_, body) => !!listIn(body));
  return listIn(body)!;
}

/** End a message for everybody, where this user may. */
export async function cancelMessage(channel: string, id: string, options: MessageOptions = {}): Promise<void> {
  await ask(streamsUrl(channel, options, id), { method: "DELETE" }, requestOptions(options));
}

function listIn(body: Uint8Array): readonly OpenMessage[] | undefined {
  const streams = (jsonIn(body) as { streams?: unknown } | undefined)?.streams;
  return Array.isArray(streams) ? streams : undefined;
}

function streamsUrl(channel: string, { url, params = {} }: MessageOptions, id?: string): URL {
  const at = channelUrl(url ?? globalThis.location.origin, channel, params);
  at.pathname += id === undefined ? "/streams" : `/streams/${encodeURIComponent(id)}`;
  return at;
}

function requestOptions(options: MessageOptions, refused = false): TriedOptions {
  const { credentials, header = "authorization", fetch, signal } = options;
  return {
    credentials: "include",
    headers: async () => {
      const value = typeof credentials === "function" ? await credentials({ refused }) : credentials;
      return value == null ? {} : { [header]: value };
    },
    ...(fetch && { fetch }),
    ...(signal && { signal }),
  };
}

function isRefusal(error: unknown): boolean {
  return error instanceof TakoError && REFUSALS.has(error.code);
}
