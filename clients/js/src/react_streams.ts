/**
 * Streamed messages as a React hook.
 *
 * It follows the topic, by the subscription that `useChannel` shares, and reads what is written
 * between a message's two. Rule: what is shown is of one message; the final one is the last word.
 */

import { useCallback, useEffect, useRef, useState } from "react";
import { TakoError } from "./errors.js";
import { channel as sharedChannel } from "./index.js";
import {
  cancelMessage,
  type MessageOptions,
  openMessages,
  readMessage,
  type StreamedData,
  streamedIn,
  type StreamEnd,
} from "./streamed_message.js";
import { topicName } from "./topic.js";
import type { Channel, ChannelOptions } from "./types.js";

export interface UseStreamOptions extends ChannelOptions {
  /** Of one message. Left out: the newest of the topic, and each one that is opened later. */
  readonly id?: string;
  /** The data of a message of the topic, such as `useChannel` gives it: nothing is asked for what has ended. */
  readonly message?: unknown;
  /** `false` reads nothing until it is true again. */
  readonly enabled?: boolean;
  /** A client of one's own; by default the one that the whole page shares. Give its `url` too. */
  readonly client?: { readonly channel: (name: never, ...options: never[]) => unknown };
  readonly fetch?: typeof fetch;
}

export interface UseStreamResult {
  readonly id: string | undefined;
  /** All that was written so far. */
  readonly text: string;
  /** Of a stream of values. */
  readonly values: readonly unknown[];
  /** `none`: there is no message yet. */
  readonly status: "none" | "open" | StreamEnd["state"];
  /** Of `failed`: `failed`, `writer-gone` or `too-long`. */
  readonly reason: string | undefined;
  readonly meta: unknown;
  /** The reason why it cannot be read. */
  readonly error: TakoError | undefined;
  /** End the message for everybody, where this user may; always the same function. */
  readonly cancel: () => Promise<void>;
}

type View = Omit<UseStreamResult, "cancel">;

const NONE: View = {
  id: undefined,
  text: "",
  values: [],
  status: "none",
  reason: undefined,
  meta: undefined,
  error: undefined,
};

/**
 * A streamed message, as it is written.
 *
 *     const { text, status, cancel } = useStream("chat", { params: { roomId } });
 */
export function useStream(name: string, options: UseStreamOptions = {}): UseStreamResult {
  const { params, url, header, client, credentials, enabled = true } = options;
  const fixed = typeof credentials === "string" ? credentials : undefined;
  const given = streamedIn(options.message);
  const id = options.id ?? given?.stream.id;
  const key = [topicName(name, params ?? {}), url, header, id].join();
  const [shown, setShown] = useState<View & { readonly of: string }>({ of: "", ...NONE });
  const latest = useRef(options);
  const current = useRef<string | undefined>(undefined);
  useEffect(() => {
    latest.current = options;
  });
  const over = given && given.stream.state !== "open";

  useEffect(() => {
    if (!enabled || over) return;
    setShown({ of: key, ...NONE });
    const { client, id: _id, message: _message, enabled: _enabled, fetch: _fetch, ...channelOptions } = latest.current;
    const open = (client ? client.channel : sharedChannel) as (name: string, options: ChannelOptions) => Channel;
    const topic = open(name, channelOptions);
    const end = followTopic(topic, id, {
      options: () => optionsOf(latest.current),
      show: (view) => {
        current.current = view.id;
        setShown({ of: key, ...view });
      },
    });
    return () => {
      end();
      topic.close();
      current.current = undefined;
    };
    // The options that count are in the key; functions are always the latest.
  }, [key, fixed, client, enabled, over]);

  const cancel = useCallback(async () => {
    if (current.current !== undefined) await cancelMessage(name, current.current, optionsOf(latest.current));
  }, [name]);

  // What is left of another message is never shown, not even for one frame.
  const { of: _, ...view } = over ? { of: key, ...finalView(given) } : shown.of === key ? shown : { of: key, ...NONE };
  return { ...view, cancel };
}

interface Shown {
  readonly options: () => MessageOptions;
  readonly show: (view: View) => void;
}

/**
 * Show one message of a topic, or the newest.
 * @returns what ends that
 */
function followTopic(topic: Channel, only: string | undefined, { options, show }: Shown): () => void {
  let view = NONE;
  let reading: AbortController | undefined;
  let asked = false;
  const ended = new AbortController();
  const change = (next: View): void => show((view = next));
  const failed = (error: unknown, signal: AbortSignal): void => {
    if (!signal.aborted) change({ ...view, error: error instanceof TakoError ? error : new TakoError("stream-failed", String(error)) });
  };

  function begin(id: string, meta: unknown): void {
    if (view.id === id) return;
    reading?.abort();
    reading = new AbortController();
    change({ ...NONE, id, meta, status: "open" });
    const { signal } = reading;
    read(id, signal).catch((error: unknown) => failed(error, signal));
  }

  async function read(id: string, signal: AbortSignal): Promise<void> {
    const values = readMessage(topic.name, id, { ...options(), signal });
    let next = await values.next();
    for (; !next.done; next = await values.next()) {
      if (signal.aborted) return;
      const { value } = next;
      change(
        typeof value === "string" ? { ...view, text: view.text + value } : { ...view, values: [...view.values, value] },
      );
    }
    if (!signal.aborted) change({ ...view, status: next.value.state, reason: next.value.reason });
  }

  function take(data: StreamedData): void {
    const { id, state } = data.stream;
    if (only !== undefined && id !== only) return;
    if (state === "open") return begin(id, data.meta);
    // Another message's end, while this one is written, is not what is shown.
    if (view.id !== id && view.status === "open") return;
    reading?.abort();
    change(finalView(data));
  }

  /** What was opened before this page came. */
  async function list(): Promise<void> {
    const newest = (await openMessages(topic.name, { ...options(), signal: ended.signal })).at(-1);
    if (newest && view.status !== "open") begin(newest.id, newest.meta);
  }

  const unsubscribe = topic.subscribe(({ type, data }) => {
    const streamed = streamedIn(data);
    if (streamed) take(streamed);
    // What was opened meanwhile may be among what was missed.
    if (type === "tako.reset" && only === undefined) {
      asked = false;
      opened();
    }
  });
  function opened(): void {
    if (asked || topic.state !== "open") return;
    asked = true;
    list().catch((error: unknown) => failed(error, ended.signal));
  }
  if (only !== undefined) {
    // A moment later: in strict mode the first of two effects reads nothing.
    queueMicrotask(() => {
      if (!ended.signal.aborted) begin(only, undefined);
    });
  } else {
    // Not before the topic is followed: one that was opened in between would be missed.
    topic.onState(opened);
    opened();
  }
  return () => {
    unsubscribe();
    reading?.abort();
    ended.abort();
  };
}

function finalView({ stream, text = "", items = [], meta }: StreamedData): View {
  const { id, state, reason } = stream;
  return { ...NONE, id, text, values: items, status: state, reason, meta };
}

function optionsOf({ params, url, credentials, header, fetch }: UseStreamOptions): MessageOptions {
  return {
    ...(params && { params }),
    ...(url && { url }),
    ...(credentials && { credentials }),
    ...(header && { header }),
    ...(fetch && { fetch }),
  };
}
