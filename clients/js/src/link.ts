/**
 * Link: the carrier of one topic, and its events for the subscription.
 *
 * The shared WebSocket, a `fetch` and an `EventSource` all look like this, so
 * the subscription knows no transport. Rule: once `ended` or `close`
 * was called, a link is silent.
 */

import type { WebSocketLike } from "./environment.js";
import type { Message, Params } from "./message.js";
import type { Outcome } from "./outcome.js";

/** The subscribe request; made anew before every connect. */
export interface Request {
  readonly channel: string;
  readonly params: Params;
  readonly cursor: string | undefined;
  readonly auth: string | undefined;
  /** An expired cursor is answered by a reset and the live tail. */
  readonly reset: boolean;
  /** Who is at the topic is followed. */
  readonly presence?: boolean;
}

export interface LinkEvents {
  /**
   * Rejects where no credentials can be had.
   * @param socket the shared connection, which is open, where that is the link
   */
  request(socket?: WebSocketLike): Promise<Request>;
  /** @param subject who one is there, where the server says it */
  attached(subject?: string): void;
  /** Of a roster: all who were there have been named. */
  synced?(): void;
  /** The cursor moved without a message. */
  moved(cursor: string): void;
  message(message: Message): void;
  reset(reset: { readonly reason?: string; readonly cursor?: string }): void;
  /** The server's `retry:`, in ms. */
  retry(ms: number): void;
  /** Cut; the link itself is trying again. */
  lost(outcome: Outcome): void;
  /** Over, until `again` where there is one. */
  ended(outcome: Outcome): void;
}

/** A message to be published. */
export interface Draft {
  readonly type: string;
  readonly data: unknown;
  readonly key: string;
}

/** The id, `null` where the handler dropped the message, or why it was refused. */
export type Answer = string | null | Outcome;

export interface Link {
  /** A publish has to wait for the answer to the one before. */
  readonly serial?: boolean;
  publish(draft: Draft, answer: (answer: Answer) => void): void;
  /** Say something of oneself, as a member of the topic. */
  say?(state: unknown): void;
  /** Subscribe anew after `ended`. A link without this is used once. */
  again?(): void;
  close(): void;
}

/** The message in a parsed frame or block; `undefined` where it is none. */
export function readMessage(value: unknown): Message | undefined {
  const { id, channel, type, data, params } = (value ?? {}) as Partial<Message>;
  if (!id || !channel || !type || data === undefined) return undefined;
  return { id: String(id), channel, type, data, ...(params && { params }) };
}

/** `undefined` where `text` is no JSON. */
export function parse(text: unknown): unknown {
  try {
    return JSON.parse(text as string);
  } catch {
    return undefined;
  }
}
