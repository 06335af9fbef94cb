/** Durable realtime channels. `channel()` is all that most pages need. */

import { type Client, createClient } from "./client.js";
import type { AnyMessages, ChannelOptions } from "./types.js";

export { type Client, type ClientOptions, createClient } from "./client.js";
export type { EventSourceLike, WebSocketLike } from "./environment.js";
export { ChannelClosedError, ChannelGoneError, ChannelOverflowError, TakoError } from "./errors.js";
export { type Typing, type TypingIndicator, typingIndicator } from "./presence.js";
export type * from "./types.js";

let shared: Client | undefined;

/** A channel of the client that all code of this page shares. See {@link Client.channel}. */
export const channel: Client["channel"] = (name: string, options?: ChannelOptions) =>
  (shared ??= createClient()).channel<AnyMessages>(name, options);
