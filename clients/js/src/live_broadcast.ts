/**
 * This page's membership in a broadcast: what one member publishes, all get (protocol, section 8).
 *
 * Rule: the server is told of the first subscriber and of the last that left; nothing
 * comes that nobody here listens to.
 */

import { draft, type Frame, type Info } from "./live_frames.js";
import { type Carrier, copyOf, json, LiveObject } from "./live_object.js";

export interface SubscribeOptions {
  /** Of a durable broadcast: `info.seq` of the last message seen, or 0 for all that is kept. */
  readonly cursor?: number;
}

type Listener<Data> = (data: Data, info: Info) => unknown;

export class BroadcastChannel<Message = unknown> extends LiveObject {
  readonly #listeners = new Set<{ listen: Listener<Message> }>();
  readonly #binaryListeners = new Set<{ listen: Listener<Uint8Array<ArrayBuffer>> }>();

  /** @internal Only a server function makes one. */
  constructor(carrier: Carrier, id: string) {
    super(carrier, id);
  }

  /**
   * Publish to every member, this one too.
   * @returns the place of the message among those of the key
   */
  publish(message: Message): Promise<Info> {
    return this.sendFrame(draft("publish", json(message))) as Promise<Info>;
  }

  publishBinary(data: ArrayBuffer | ArrayBufferView): Promise<Info> {
    return this.sendFrame(draft("publish", copyOf(data))) as Promise<Info>;
  }

  /** Receive what is published from now on, or from a cursor. Returns what ends it. */
  subscribe(listener: Listener<Message>, options?: SubscribeOptions): () => void {
    return this.#add(this.#listeners, listener, "text", options);
  }

  subscribeBinary(listener: Listener<Uint8Array<ArrayBuffer>>, options?: SubscribeOptions): () => void {
    return this.#add(this.#binaryListeners, listener, "binary", options);
  }

  protected deliver(frame: Frame): void {
    const { data } = frame;
    const info = frame.info as Info;
    const calls =
      data instanceof Uint8Array
        ? [...this.#binaryListeners].map(({ listen }) => () => listen(data, info))
        : [...this.#listeners].map(({ listen }) => () => listen(JSON.parse(data as string) as Message, info));
    this.hear(frame, calls);
  }

  protected deafen(): void {
    this.#listeners.clear();
    this.#binaryListeners.clear();
  }

  #add<Data>(
    listeners: Set<{ listen: Listener<Data> }>,
    listener: Listener<Data>,
    kind: string,
    { cursor }: SubscribeOptions = {},
  ): () => void {
    const entry = { listen: listener };
    if (!listeners.size) this.change({ do: "subscribe", size: 0, kind, ...(cursor !== undefined && { cursor }) });
    listeners.add(entry);
    return () => {
      if (listeners.delete(entry) && !listeners.size) this.change({ do: "unsubscribe", size: 0, kind });
    };
  }
}
