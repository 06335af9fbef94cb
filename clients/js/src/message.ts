/**
 * Messages and their topics: the types that every other file builds on.
 *
 * `types.ts` gives them out. Rule: this file imports nothing, so that transports can be
 * written in these types and the public types can speak of transports.
 */

/** A message map where nothing is known about a channel's messages. */
export type AnyMessages = Record<string, unknown>;

/** The message types of a map. */
export type TypeOf<Messages extends object> = keyof Messages & string;

type ParamValue = string | number | bigint | boolean;

/**
 * The values that bind a channel to a topic. Those that are `undefined` or `null` are left out. What a query
 * cannot say as it is (`NaN`, a `Date`, an object) closes the channel with `params-invalid`.
 */
export type Params = { readonly [name: string]: ParamValue | readonly ParamValue[] | null | undefined };

/** One stored message of a topic (protocol, section 2). */
export type Message<Messages extends object = AnyMessages> = {
  [Type in TypeOf<Messages>]: {
    /** Opaque; good as the `cursor` of a later subscription. */
    readonly id: string;
    readonly channel: string;
    readonly type: Type;
    readonly data: Messages[Type];
    /** The topic's validated params, where the connection carries several topics. */
    readonly params?: Params;
  };
}[TypeOf<Messages>];

/** Continuity ended: something may have been missed. Reload your state, then go on. */
export interface Gone {
  /** `replay-too-old`, `cursor-invalid`, or `no-cursor` where no cursor was ever seen. */
  readonly reason: string;
  /** The cursor at which the subscription goes on, if the server sent one. */
  readonly cursor?: string;
}

/** The marker that stands among the messages where continuity ended. */
export interface ResetMessage {
  readonly id?: undefined;
  readonly channel: string;
  readonly type: "tako.reset";
  readonly data: Gone;
}

/** Input of a subscriber: messages, and the markers between them. */
export type Incoming<Messages extends object = AnyMessages> = Message<Messages> | ResetMessage;

/** `open` is the only state in which messages arrive. `closed` is final. */
export type State = "connecting" | "open" | "reconnecting" | "closed";
