/**
 * WebTransport in place of the shared WebSocket: `channel(name, { transport: webTransport() })`.
 *
 * One session for all channels, over HTTP/3, so that a lost packet of another
 * stream holds nothing up and a change of networks is no cut. It sends no
 * cookies, so credentials go with each topic. Rule: to the connection above it
 * is a WebSocket; only in here is there a session, a stream, and lines on it.
 */

import { fromBase64, toBase64 } from "./base64.js";
import type { Environment, WebSocketLike } from "./environment.js";
import type { Link, LinkEvents } from "./link.js";
import { createMux, type Mux } from "./mux.js";
import { connectUrl } from "./topic.js";
import type { TransportFactory } from "./types.js";

/** As much of a `WebTransport` as is used. */
export interface WebTransportLike {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<{ closeCode?: number; reason?: string }>;
  createBidirectionalStream(): Promise<{
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  }>;
  close(info?: { closeCode?: number; reason?: string }): void;
}

type Settings = Parameters<TransportFactory>[0];

export type WebTransportClass = new (url: string, options: object) => WebTransportLike;

export interface WebTransportSettings {
  /** Certificates that are trusted by their hash; see the browser's `WebTransport`. */
  readonly serverCertificateHashes?: readonly { readonly algorithm: string; readonly value: BufferSource }[];
  /** The server's origin for WebTransport, where it is not the channel's `url`. */
  readonly url?: string;
  /** In place of the global one. */
  readonly WebTransport?: WebTransportClass;
}

let made = 0;

/**
 * A connection to be shared: call it once, and give what it returns to every channel, and to
 * `createLive` for live objects.
 */
export function webTransport({ url, WebTransport: injected, ...options }: WebTransportSettings = {}): TransportFactory {
  const connections = new Map<Mux, string>();
  const number = ++made;

  function join(environment: Environment, to: string, topic: string): Mux {
    for (const [mux, address] of connections) if (address === to && !mux.has(topic)) return mux;
    const mux = createMux(environment, to, () => connections.delete(mux));
    connections.set(mux, to);
    return mux;
  }

  /** The address of sessions; not https where there can be none. */
  function addressOf(base: string): string {
    return connectUrl(url ?? base).replace(/^ws/, "http");
  }

  function shared({ environment, base, name }: Settings): (() => Mux) | undefined {
    const WebTransport = classOf();
    const to = addressOf(base);
    if (!WebTransport || !to.startsWith("https:")) return undefined;
    return () => join({ ...environment, WebSocket: socketClass(WebTransport, options) }, to, name);
  }

  function classOf(): WebTransportClass | undefined {
    return injected ?? (globalThis as { WebTransport?: WebTransportClass }).WebTransport;
  }

  function open(settings: Settings, events: LinkEvents): Link {
    const mux = shared(settings);
    let link: Link | undefined;
    let over = false;
    if (mux) {
      link = mux().join(settings.name, {
        ...events,
        ended(outcome) {
          // A retry asks for a new link.
          link?.close();
          events.ended(outcome);
        },
      });
    } else {
      const message = classOf() ? `WebTransport needs https, not ${addressOf(settings.base)}` : "There is no WebTransport here.";
      // A turn later: a link cannot end before the caller has it.
      queueMicrotask(() => over || events.ended({ action: "stop", code: "no-webtransport", message }));
    }
    return {
      publish: (draft, answer) => link?.publish(draft, answer),
      close() {
        over = true;
        link?.close();
      },
    };
  }

  // What a client knows a transport by: two of these are not the same, though their code is.
  return Object.assign(open, { shared, toString: () => `webTransport ${number}` });
}

function socketClass(WebTransport: WebTransportClass, options: object): NonNullable<Environment["WebSocket"]> {
  return class implements WebSocketLike {
    onmessage: unknown = null;
    onclose: unknown = null;
    onerror: unknown = null;
    readonly #session: WebTransportLike;
    #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;

    constructor(url: string, protocols: string[]) {
      this.#session = new WebTransport(url, { ...options, protocols });
      void this.#run();
    }

    /** Bytes are a frame of live objects. */
    send(payload: string | Uint8Array): void {
      const line = typeof payload === "string" ? payload : `~${toBase64(payload)}`;
      // A failure here fails the reader too, which reports it.
      this.#writer?.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
    }

    close(closeCode = 1000, reason = ""): void {
      try {
        this.#session.close({ closeCode, reason });
      } catch {
        // It is closed already.
      }
    }

    async #run(): Promise<void> {
      const session = this.#session;
      const closed = session.closed.catch(() => undefined);
      try {
        await session.ready;
        const { readable, writable } = await session.createBidirectionalStream();
        this.#writer = writable.getWriter();
        // An empty line: until something is written the server knows nothing of the stream.
        this.send("");
        await this.#read(readable.getReader());
      } catch {
        // `closed` says why.
      }
      const { closeCode = 1006, reason = "" } = (await closed) ?? {};
      (this.onclose as ((event: object) => void) | null)?.({ code: closeCode, reason });
    }

    async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
      const decoder = new TextDecoder();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
        rest = lines.pop() as string;
        for (const line of lines) {
          const data = line.startsWith("~") ? fromBase64(line.slice(1)).buffer : line;
          if (line.trim()) (this.onmessage as ((event: object) => void) | null)?.({ data });
        }
      }
    }
  };
}
