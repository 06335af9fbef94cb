/**
 * This page's membership in a broadcast: what one member publishes, all get (protocol, section 8).
 *
 * Rule: the server is told of the first subscriber and of the last that left; nothing
 * comes that nobody here listens to.
 */

import { draft, type Frame, type Info } from "./live_frames.js";
import { type ObjectSession, copyOf, guarded, LiveObject } from "./live_object.js";
import { decode, message } from "./live_values.js";
import { newer } from "./topic.js";
import type { Gone } from "./types.js";

/** Of a durable broadcast, and for its first subscriber: a membership begins at one place. */
export interface SubscribeOptions {
  /** Begin after this one, an `info.cursor`; `"0"` is all that is kept. Default: as the function said, or now. */
  readonly cursor?: string;
  /**
   * Called where the cursor is too old: reload your state; the member goes on from now. Without it
   * the object ends with `ChannelGoneError`.
   */
  readonly onGone?: (gone: Gone) => void;
}

type Listener<Data> = (data: Data, info: Info) => unknown;

/** A durable broadcast's answer to a subscribe. */
interface Begun {
  readonly cursor: string;
  readonly reset?: string;
}

export class BroadcastChannel<Message = unknown> extends LiveObject {
  /** Its messages are kept, so that a member can go on where another one ended. */
  readonly durable: boolean;
  readonly #listeners = new Set<{ listen: Listener<Message> }>();
  readonly #binaryListeners = new Set<{ listen: Listener<Uint8Array<ArrayBuffer>> }>();
  #cursor: string | undefined;

  /** @internal Only a server function makes one. */
  constructor(session: ObjectSession, id: string, durable: boolean) {
    super(session, id);
    this.durable = durable;
  }

  /**
   * Cursor of the last message that came, or of the begin of the subscription. Give it to
   * `subscribe` of the object that the next call returns. `undefined` where nothing is kept.
   */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /**
   * Publish to every member, this one too. To a durable broadcast it is stored first.
   * @returns the place of the message among those of the key
   */
  publish(data: Message): Promise<Info> {
    return this.sendFrame(message("publish", data)) as Promise<Info>;
  }

  publishBinary(data: ArrayBuffer | ArrayBufferView): Promise<Info> {
    return this.sendFrame(draft("publish", copyOf(data))) as Promise<Info>;
  }

  /**
   * Receive what is published from now on, or after a cursor. Returns what ends it.
   * @throws TypeError where the options cannot be held: see {@link SubscribeOptions}
   */
  subscribe(listener: Listener<Message>, options?: SubscribeOptions): () => void {
    return this.#add(this.#listeners, listener, "text", options);
  }

  subscribeBinary(listener: Listener<Uint8Array<ArrayBuffer>>, options?: SubscribeOptions): () => void {
    return this.#add(this.#binaryListeners, listener, "binary", options);
  }

  protected deliver(frame: Frame): void {
    const { data } = frame;
    const info = frame.info as Info;
    this.#cursor = info.cursor ?? this.#cursor;
    const calls =
      data instanceof Uint8Array
        ? [...this.#binaryListeners].map(({ listen }) => () => listen(data, info))
        : [...this.#listeners].map(({ listen }) => () => listen(decode(frame) as Message, info));
    this.notify(frame, calls);
  }

  protected removeListeners(): void {
    this.#listeners.clear();
    this.#binaryListeners.clear();
  }

  #add<Data>(
    listeners: Set<{ listen: Listener<Data> }>,
    listener: Listener<Data>,
    kind: string,
    { cursor, onGone }: SubscribeOptions = {},
  ): () => void {
    if (cursor !== undefined && !this.durable) throw new TypeError("this broadcast keeps nothing: no cursor");
    if (cursor !== undefined && listeners.size) throw new TypeError("the subscription has begun: a cursor is for the first");
    const entry = { listen: listener };
    if (!listeners.size) this.#join(kind, cursor, onGone);
    listeners.add(entry);
    return () => {
      if (listeners.delete(entry) && !listeners.size) this.change({ do: "unsubscribe", size: 0, kind });
    };
  }

  #join(kind: string, cursor: string | undefined, onGone: SubscribeOptions["onGone"]): void {
    const frame: Frame = { do: "subscribe", size: 0, kind };
    if (!this.durable) return this.change(frame);
    const from = { ...(cursor !== undefined && { cursor }), ...(onGone && { stale: "reset" }) };
    this.request({ ...frame, ack: true, ...from }, (answer) => {
      const { cursor: at, reset } = answer as Begun;
      // Of two kinds, that which began before the other's last message may lack some of it.
      if (reset || this.#cursor === undefined || newer(this.#cursor, at)) this.#cursor = at;
      if (reset) void guarded(() => onGone?.({ reason: reset, cursor: at }));
    });
  }
}
