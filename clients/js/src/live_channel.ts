/**
 * A two-way pipe between this page and the server.
 *
 * Rule: the other end has the same methods, with the directions flipped.
 */

import { draft, type Frame } from "./live_frames.js";
import { type ObjectSession, copyOf, LiveObject } from "./live_object.js";
import { decode, message } from "./live_values.js";

/** The argument is a message, the result what its listener answers. */
export type Direction = (message: any) => unknown;

type MessageOf<Way extends Direction> = Parameters<Way>[0];
type AnswerOf<Way extends Direction> = Awaited<ReturnType<Way>>;

/** A listener's result: the answer, or nothing where it leaves that to another. */
type ListenerResult<Way extends Direction> = AnswerOf<Way> | void | Promise<AnswerOf<Way> | void>;

export interface SendOptions {
  /** Wait for the answer of the other side's listener. */
  readonly ack?: boolean;
}

/** @typeParam Ack the channel-wide default, as the server made the channel */
export class Channel<
  ClientToServer extends Direction = (message: unknown) => unknown,
  ServerToClient extends Direction = (message: unknown) => unknown,
> extends LiveObject {
  readonly #ack: boolean;
  readonly #listeners = new Set<{ listen: (message: MessageOf<ServerToClient>) => unknown }>();
  readonly #binaryListeners = new Set<{ listen: (data: Uint8Array<ArrayBuffer>) => unknown }>();

  /** @internal Only a server function makes one. */
  constructor(session: ObjectSession, id: string, ack: boolean) {
    super(session, id);
    this.#ack = ack;
  }

  /**
   * Send a message. Await it and the next one leaves when the receiver has capacity; do not, and
   * it waits, in order, in a buffer whose bound ends the channel (see `overflow`).
   * @returns the listener's answer where one was asked for
   * @throws TypeError at once where JSON has no form for the message, ChannelOverflowError where it is too large
   */
  send(message: MessageOf<ClientToServer>, options: { readonly ack: false }): Promise<void>;
  send(message: MessageOf<ClientToServer>, options?: SendOptions): Promise<AnswerOf<ClientToServer>>;
  send(data: MessageOf<ClientToServer>, { ack = this.#ack }: SendOptions = {}): Promise<unknown> {
    return this.sendFrame(message("send", data, { ack }));
  }

  /** The same with bytes. The channel-wide `ack` is not for these. */
  sendBinary(data: ArrayBuffer | ArrayBufferView, { ack = false }: SendOptions = {}): Promise<unknown> {
    return this.sendFrame(draft("send", copyOf(data), { ack }));
  }

  /** Receive messages; what is returned is the answer, where one is asked for. Returns what ends it. */
  listen(listener: (message: MessageOf<ServerToClient>) => ListenerResult<ServerToClient>): () => void {
    return add(this.#listeners, { listen: listener });
  }

  listenBinary(listener: (data: Uint8Array<ArrayBuffer>) => unknown): () => void {
    return add(this.#binaryListeners, { listen: listener });
  }

  protected deliver(frame: Frame): void {
    const { data } = frame;
    // Each listener gets a message of its own, which it may change.
    const calls =
      data instanceof Uint8Array
        ? [...this.#binaryListeners].map(({ listen }) => () => listen(data))
        : [...this.#listeners].map(({ listen }) => () => listen(decode(frame) as MessageOf<ServerToClient>));
    if (frame.ack) void this.answer(frame, calls);
    else this.notify(frame, calls);
  }

  protected removeListeners(): void {
    this.#listeners.clear();
    this.#binaryListeners.clear();
  }
}

function add<Entry>(entries: Set<Entry>, entry: Entry): () => void {
  entries.add(entry);
  return () => void entries.delete(entry);
}
