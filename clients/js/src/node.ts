/**
 * The client for Node and the like, where the page's address and cookies are missing.
 *
 * Takes the global `WebSocket` (Node 22 and newer), else the one of the package
 * `ws` where that is installed, else goes without: `auto` is then SSE.
 */

import { createRequire } from "node:module";
import { type Client, type ClientOptions, createClient as create, type DefaultsFor } from "./client.js";
import type { Environment } from "./environment.js";
import type { AnyMessages, ChannelOptions } from "./types.js";

export type { Client, ClientOptions } from "./client.js";
export type { EventSourceLike, WebSocketLike } from "./environment.js";
export { ChannelClosedError, ChannelGoneError, ChannelOverflowError, TakoError } from "./errors.js";
export type * from "./types.js";

const WebSocket: Environment["WebSocket"] = globalThis.WebSocket ?? fromPackage();

/** Not by `await import`: a module that waits while it loads cannot be required. */
function fromPackage(): Environment["WebSocket"] {
  try {
    const required = createRequire(import.meta.url)("ws") as { readonly WebSocket: Environment["WebSocket"] };
    return required.WebSocket;
  } catch {
    return undefined;
  }
}

/** A client with connections of its own. */
export function createClient<Channels extends object = never>(...defaults: DefaultsFor<Channels>): Client<Channels>;
export function createClient(defaults?: ClientOptions): Client;
export function createClient(defaults: ClientOptions = {}): Client {
  return create({ WebSocket, ...defaults });
}

let shared: Client | undefined;

/** A channel of the client that all code of this process shares; needs a `url`. */
export const channel: Client["channel"] = (name: string, options?: ChannelOptions) =>
  (shared ??= createClient()).channel<AnyMessages>(name, options);
