/**
 * Live objects: call a function of the server, and hold the other end of what it returns.
 *
 *     const { channel } = await call("onClock", []);
 *     channel.listen((time) => console.log(time));
 *
 * All live objects of a page share one connection, the one of its channel
 * subscriptions. Rule: a result's live objects are there before it is returned, so
 * who listens in the same turn misses nothing.
 */

import { channel as sharedChannel, type Client, type ClientOptions } from "./index.js";
import { BroadcastChannel } from "./live_broadcast.js";
import { callFunction, type Entry } from "./live_call.js";
import { Channel } from "./live_channel.js";
import type { ConnectionSettings } from "./live_connection.js";
import { LEFT } from "./live_frames.js";
import { type PageLifecycle, pageLifecycle } from "./page_lifecycle.js";
import { Session } from "./live_session.js";
import type { SubscriptionSettings } from "./subscription.js";
import type { TransportFactory } from "./types.js";

export { ChannelClosedError, ChannelGoneError, ChannelOverflowError, TakoError } from "./index.js";
export { BroadcastChannel, type SubscribeOptions } from "./live_broadcast.js";
export { Channel, type Direction, type SendOptions } from "./live_channel.js";
export { Abort, NetworkError, PageLeft, ValidationError } from "./live_errors.js";
export type { Info } from "./live_frames.js";
export type { Overflow } from "./live_machine.js";
export type { CloseOptions } from "./live_object.js";
export type { Gone } from "./types.js";

/** Functions by name, where nothing is known about them. */
export type AnyFunctions = Record<string, (...args: any[]) => any>;

/** A function's arguments by name, beside those by position. */
export interface Named<Arguments extends object> {
  readonly named?: Arguments;
}

/** The functions of this page's server: what `tako types` writes adds them here, and `call` knows them. */
export interface RegisteredFunctions {}

type Registered = keyof RegisteredFunctions extends never ? AnyFunctions : RegisteredFunctions;

/** A function's arguments: a list, or an object of names. */
export type ArgumentsOf<Fn> =
  | (Fn extends (...args: infer Args) => unknown ? Readonly<Args> : never)
  | (Fn extends Named<infer Arguments> ? Arguments : Readonly<Record<string, unknown>>);

/** They may be left out where none is required. */
type Rest<Fn> = [] extends ArgumentsOf<Fn> ? [args?: ArgumentsOf<Fn>] : [args: ArgumentsOf<Fn>];

export type ResultOf<Fn> = Fn extends (...args: never) => infer Result ? Awaited<Result> : never;

export interface LiveOptions extends Pick<ClientOptions, "url" | "header" | "credentials"> {
  /** Whose connection is shared. Default: the one of `channel()`. */
  readonly client?: Client;
  /**
   * All begin on an event stream. `auto` goes over to the WebSocket that channel subscriptions use,
   * `webTransport()` to the session of those that were given the same one, `sse` stays.
   */
  readonly transport?: "auto" | "sse" | TransportFactory;
  /** Milliseconds for a call, its credentials included; `Infinity` waits for ever. Default: 300000. */
  readonly timeout?: number;
}

const CALL_MS = 300_000;

export interface Live<Functions extends object = Registered> {
  /**
   * Call a function of the server.
   * @param args by position, or an object of them by name
   * @returns its result; live objects stand where the function put them
   * @throws TypeError where JSON has no form for an argument, Abort where the function refused, ValidationError where the arguments do not fit,
   *   NetworkError where there was no answer of the server, TakoError with the server's word otherwise
   */
  call<Name extends keyof Functions & string>(name: Name, ...rest: Rest<Functions[Name]>): Promise<ResultOf<Functions[Name]>>;
  /** End all live objects at once, with `PageLeft`, as leaving the page does. */
  close(): void;
}

/** 256 bits, as the protocol's letters. */
function newSecret(): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return Array.from(crypto.getRandomValues(new Uint8Array(43)), (byte) => letters[byte % 64]).join("");
}

/** Put live objects into a result, each at its path. */
function insertObjects(result: unknown, session: Session, entries: readonly Entry[]): unknown {
  const root = { result };
  for (const { path, id, kind, ack, durable, overflow } of entries) {
    const object =
      kind === "broadcast" ? new BroadcastChannel(session, id, durable === true) : new Channel(session, id, ack === true);
    if (overflow) object.overflow = overflow;
    const keys = ["result", ...path];
    const last = keys.pop() as string;
    const parent = keys.reduce((value: any, key) => value[key], root);
    parent[last] = object;
    session.add(id, object);
  }
  return root.result;
}

/** Calls with live objects of their own. */
export function createLive<Functions extends object = Registered>(
  options: LiveOptions = {},
  /** @internal In place of the page's. */
  lifecycle: PageLifecycle = pageLifecycle,
): Live<Functions> {
  const { client, transport = "auto", timeout = CALL_MS, ...channelOptions } = options;
  if (!(timeout > 0)) throw new RangeError("timeout must be a number of milliseconds above 0");
  const open: Client["channel"] = client ? client.channel : sharedChannel;
  let session: Session | undefined;
  let secret: string | undefined;
  let calls = 0;

  /** The settings of the client's channels, as the transport of one is given them. */
  const settings = () =>
    new Promise<ConnectionSettings>((resolve) => {
      const handle = open("", {
        ...channelOptions,
        // With a cursor of its own it shares no subscription, so the transport is asked.
        cursor: "0",
        transport(made) {
          const { mux } = made as SubscriptionSettings;
          const shared = typeof transport === "function" ? transport.shared?.(made) : transport === "auto" ? mux : undefined;
          resolve({ ...made, credentials: channelOptions.credentials, mux: shared });
          queueMicrotask(() => handle.close());
          return { publish() {}, close() {} };
        },
      });
      handle.subscribe(() => {});
    });
  let settled: Promise<ConnectionSettings> | undefined;

  /** A secret is of one user; where nothing is left of one it is forgotten. */
  function forget(): void {
    if (!calls && !session) secret = undefined;
  }

  async function call(name: string, args: readonly unknown[] | object = []): Promise<unknown> {
    calls++;
    try {
      const all = await (settled ??= settings());
      secret ??= newSecret();
      const mine = secret;
      const answer = await callFunction(all, { name, args, secret: mine, timeout });
      if (!answer.live) return answer.result;
      session ??= new Session({
        ...all,
        secret: mine,
        lifecycle,
        onEnd() {
          session = undefined;
          forget();
        },
      });
      return insertObjects(answer.result, session, answer.live);
    } finally {
      calls--;
      forget();
    }
  }

  return { call: call as Live<Functions>["call"], close: () => session?.leave(LEFT) };
}

let shared: Live | undefined;

/** Call a function of the server this page came from. See {@link Live.call}. */
export const call: Live["call"] = (...args) => (shared ??= createLive()).call(...args);
