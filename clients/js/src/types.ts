/**
 * The public types.
 *
 * `Messages` maps a message's type to its data, as in
 * `{ msg: { text: string }; typing: { userId: string } }`.
 * Rule: nothing here is `any`, so a wrong type or payload does not compile.
 */

import type { TakoError } from "./errors.js";
import type { Link, LinkEvents } from "./link.js";
import type { AnyMessages, Gone, Incoming, Message, Params, ResetMessage, State, TypeOf } from "./message.js";
import type { Mux } from "./mux.js";
import type { Presence } from "./member.js";
import type { StreamSettings } from "./stream.js";

export type * from "./member.js";
export type * from "./message.js";

/**
 * The channels of this page's server. What `tako types` writes adds them here, by `declare module "takotwist"`:
 * TypeScript merges that into an interface that the module gives out with `export *` too.
 */
export interface RegisteredChannels {}

/** Channels by name, where nothing is known about them. */
export type AnyChannels = Record<string, { readonly params: Params; readonly messages: AnyMessages }>;

/** The channels of this page's server, as `tako types` wrote them; any where it did not. */
export type Registered = keyof RegisteredChannels extends never ? AnyChannels : RegisteredChannels;

export type ChannelName<Channels extends object = Registered> = keyof Channels & string;

/** A channel's params, of a table of channels. */
export type ParamsOf<Name extends ChannelName<Channels>, Channels extends object = Registered> = Channels[Name] extends {
  params: infer Binding;
}
  ? Binding
  : Params;

/** A channel's messages, of a table of channels. */
export type MessagesOf<Name extends ChannelName<Channels>, Channels extends object = Registered> = Channels[Name] extends {
  messages: infer Messages extends object;
}
  ? Messages
  : AnyMessages;

/** What a channel's members are, of a table of channels: `info` and `state`. */
export type PresenceOf<Name extends ChannelName<Channels>, Channels extends object = Registered> = Channels[Name] extends {
  presence: { info: infer Info; state: infer MemberState };
}
  ? { readonly info: Info; readonly state: MemberState }
  : { readonly info: unknown; readonly state: unknown };

/** What the app gives as the state of a channel's topic, of a table of channels. */
export type StateOf<Name extends ChannelName<Channels>, Channels extends object = Registered> = Channels[Name] extends {
  state: infer State;
}
  ? State
  : unknown;

/** A channel of a table of channels. */
export type ChannelOf<Name extends ChannelName<Channels>, Channels extends object = Registered> = Channel<
  MessagesOf<Name, Channels>,
  PresenceOf<Name, Channels>["info"],
  PresenceOf<Name, Channels>["state"]
>;

/** As `OptionsOf`, of options that must be given. */
export type RequiredOptionsOf<
  Name extends ChannelName<Channels>,
  Channels extends object = Registered,
  Options extends object = ChannelOptions,
> = {} extends ParamsOf<Name, Channels>
  ? [options: Omit<Options, "params"> & { readonly params?: ParamsOf<Name, Channels> }]
  : [options: Omit<Options, "params"> & { readonly params: ParamsOf<Name, Channels> }];

/** Options with a channel's own params; they may be left out where none is required. */
export type OptionsOf<
  Name extends ChannelName<Channels>,
  Channels extends object = Registered,
  Options extends ChannelOptions = ChannelOptions,
> = {} extends ParamsOf<Name, Channels>
  ? [options?: Omit<Options, "params"> & { readonly params?: ParamsOf<Name, Channels> }]
  : [options: Omit<Options, "params"> & { readonly params: ParamsOf<Name, Channels> }];

/**
 * The name of a channel whose messages are said at the call: any. Without them there is no such
 * name, and its type is what the compiler then says.
 */
export type NameFor<Messages extends object> = [Messages] extends [never]
  ? string & { readonly "this channel has required params": true }
  : string;

/**
 * A way of one's own to carry one topic, such as `eventSource` of `takotwist/eventsource` and
 * `webTransport()` of `takotwist/webtransport`. `name` is the topic's on this page.
 */
export interface TransportFactory {
  (settings: StreamSettings & { readonly name: string }, events: LinkEvents): Link;
  /**
   * The connection that it shares among topics, for live objects too; `undefined` where there can be none.
   * A factory without this carries topics only.
   */
  readonly shared?: (settings: StreamSettings & { readonly name: string }) => (() => Mux) | undefined;
}

/**
 * - `auto`: the WebSocket that all channels of the page share; SSE while that cannot be opened.
 * - `websocket`: only that.
 * - `sse`: a `fetch` of its own, so headers work.
 */
export type Transport = "auto" | "websocket" | "sse" | TransportFactory;

/** The occasion on which credentials are asked for. */
export interface CredentialsRequest {
  /** The server refused the last ones: a cached token will not do. */
  readonly refused: boolean;
}

/** The whole value of the header, such as `Bearer abc`; nothing means cookies alone. */
export type Credentials =
  | string
  | ((request: CredentialsRequest) => string | null | undefined | Promise<string | null | undefined>);

export interface ChannelOptions {
  readonly params?: Params;
  /** The server's origin, or the base address of its channels. Default: this page's origin. */
  readonly url?: string;
  readonly transport?: Transport;
  /**
   * A value, or a function that is called before every connect. Cookies go along by themselves. A
   * function that gives nothing for 15 s has failed, and is called again later.
   */
  readonly credentials?: Credentials;
  /** The header that the channel's definition names. Default: `authorization`. */
  readonly header?: string;
  /**
   * Start after this message; `"0"` is everything still in the window, `"newest"` the latest state:
   * the newest message of each key, or the last message. Default: live.
   */
  readonly cursor?: string;
  /**
   * Effect of an expired cursor without `onGone`: `reset` (default) goes on live and
   * delivers one `tako.reset`; `stop` closes the channel with a `ChannelGoneError`.
   */
  readonly stale?: "reset" | "stop";
  /**
   * Called when the cursor is outside the replay window. Reload your state here. The channel goes
   * on after the promise, from the cursor that it gives, or live.
   */
  readonly onGone?: (gone: Gone) => string | void | Promise<string | void>;
  /** Unread messages that an iteration keeps before it fails. Default: 1000. */
  readonly bufferSize?: number;
  /** Keepalive interval of an SSE stream, in ms; silence for twice as long is a dead one. Default: 25000. */
  readonly keepaliveMs?: number;
  /** Publishes that may wait for a connection or an answer. Default: 256. */
  readonly maxPublishes?: number;
  /** The same in bytes of JSON. Default: 1 MiB. */
  readonly maxPublishBytes?: number;
}

export interface HistoryOptions {
  readonly after?: string;
  /** 1 to 1000. */
  readonly limit?: number;
}

export interface HistoryPage<Messages extends object = AnyMessages> {
  readonly messages: readonly Message<Messages>[];
  readonly cursor: string;
  readonly more: boolean;
}

/** One channel with one binding of its params. Connects with the first handler, iteration or publish. */
export interface Channel<Messages extends object = AnyMessages, Info = unknown, MemberState = unknown> extends AsyncIterable<Incoming<Messages>> {
  readonly name: string;
  readonly state: State;
  /** The reason why it is reconnecting or closed. */
  readonly error: TakoError | undefined;
  /** The id of the last message seen; give it to another channel to go on there. */
  readonly cursor: string | undefined;
  /**
   * Every message, and every `tako.reset`. Returns a function that removes the handler.
   * One function counts once, however often it is given.
   */
  subscribe(handler: (message: Incoming<Messages>) => void): () => void;
  /** Messages of one type. */
  on<Type extends TypeOf<Messages>>(
    type: Type,
    handler: (data: Messages[Type], message: Extract<Message<Messages>, { type: Type }>) => void,
  ): () => void;
  on(type: "tako.reset", handler: (gone: Gone, message: ResetMessage) => void): () => void;
  /** Called at each change of `state`. */
  onState(listener: (state: State, error: TakoError | undefined) => void): () => void;
  /**
   * Gives the stored message's id, or `null` where the channel's handler dropped the message.
   * Kept while there is no connection and sent once there is, with one idempotency key.
   * @param key an idempotency key of your own, of 1 to 255 characters, such as an order's number: the
   *   topic stores one message for it, whoever publishes it again within the replay window
   */
  publish<Type extends TypeOf<Messages>>(type: Type, data: Messages[Type], key?: string): Promise<string | null>;
  /** Who is at the topic. Followed while anybody listens to it; to have the channel open is to be there. */
  readonly presence: Presence<Info, MemberState>;
  /** Messages of the replay window (protocol, section 8). */
  history(options?: HistoryOptions): Promise<HistoryPage<Messages>>;
  /** Ends everything; publishes without an answer fail. */
  close(): void;
}
