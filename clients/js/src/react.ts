/**
 * Channels as React hooks.
 *
 * Components that name the same topic share one subscription, and all share one
 * connection. Rule: nothing connects while rendering, so a server renders it, and
 * strict mode, which mounts twice, connects once.
 */

import { useCallback, useEffect, useRef, useState } from "react";
import type { Client } from "./client.js";
import { ChannelClosedError, ChannelGoneError, type TakoError } from "./errors.js";
import { channel as sharedChannel } from "./index.js";
import type { AnyMessages, Channel, ChannelOptions, Message, Params, State, TypeOf } from "./types.js";

export interface UseChannelOptions extends ChannelOptions {
  /** How many messages are kept, the newest ones. Default: 100. */
  readonly limit?: number;
  /** `false` closes the channel until it is true again. */
  readonly enabled?: boolean;
  /** A client of one's own; by default the one that the whole page shares. */
  readonly client?: Client;
}

export interface UseChannelResult<Messages extends object = AnyMessages> {
  /** The newest messages, oldest first. */
  readonly messages: readonly Message<Messages>[];
  readonly status: State;
  /** Why it is not open, or a `ChannelGoneError` since messages were missed, until `clear()`. */
  readonly error: TakoError | undefined;
  /** As `publish` of a channel. */
  readonly send: <Type extends TypeOf<Messages>>(type: Type, data: Messages[Type]) => Promise<string | null>;
  /** Forget the messages and the gap. */
  readonly clear: () => void;
}

/** What a component shows of one topic. */
interface View {
  readonly of: string;
  readonly messages: readonly Message[];
  readonly status: State;
  readonly error: TakoError | undefined;
  readonly gone: TakoError | undefined;
}

const EMPTY = { messages: [], status: "connecting", error: undefined, gone: undefined } as const;

/**
 * The messages of a topic.
 *
 * `params` are compared by value, functions are always the latest; any other
 * option that changes opens the channel anew.
 */
export function useChannel<Messages extends object = AnyMessages>(
  name: string,
  options: UseChannelOptions = {},
): UseChannelResult<Messages> {
  const { limit = 100, enabled = true } = options;
  const [view, setView] = useState<View>({ of: "", ...EMPTY });
  const opened = useRef<Channel | undefined>(undefined);

  const of = useOpened(name, options, (channel, key) => {
    const change = (update: (view: View) => Partial<View>): void =>
      setView((now) => {
        const base = now.of === key ? now : { of: key, ...EMPTY };
        return { ...base, ...update(base) };
      });
    opened.current = channel;
    channel.onState((status, error) => change(() => ({ status, error })));
    channel.subscribe((message) =>
      change(({ messages }) =>
        message.type === "tako.reset"
          ? { gone: new ChannelGoneError((message.data as { reason: string }).reason) }
          : { messages: [...messages, message as Message].slice(-limit) },
      ),
    );
    // Where others have it open already it says nothing more about that.
    change(() => ({ status: channel.state, error: channel.error }));
    return () => (opened.current = undefined);
  });

  const send = useCallback(
    (type: string, data: unknown) => opened.current?.publish(type, data) ?? Promise.reject(new ChannelClosedError()),
    [],
  );
  const clear = useCallback(() => setView((now) => ({ ...now, messages: [], gone: undefined })), []);

  // What is left of another topic is never shown, not even for one frame.
  const shown = view.of === of ? view : EMPTY;
  return {
    messages: shown.messages as readonly Message<Messages>[],
    status: enabled ? shown.status : "closed",
    error: shown.error ?? shown.gone,
    send: send as UseChannelResult<Messages>["send"],
    clear,
  };
}

/**
 * Calls `handler` for each message of one type, and renders nothing.
 *
 * The handler is always the latest one; it need not be memoized.
 */
export function useChannelEvent<Messages extends object = AnyMessages, Type extends TypeOf<Messages> = TypeOf<Messages>>(
  name: string,
  type: Type,
  handler: (data: Messages[Type], message: Message<Messages>) => void,
  options: UseChannelOptions = {},
): void {
  const latest = useLatest(handler);
  useOpened(name, options, (channel) =>
    channel.subscribe((message) => {
      if (message.type === type) latest.current(message.data as Messages[Type], message as Message<Messages>);
    }),
    type,
  );
}

/**
 * A channel that is open while the component is mounted.
 * @param attach gives what undoes it
 * @returns what identifies the channel: it is opened anew when this changes
 */
function useOpened(
  name: string,
  options: UseChannelOptions,
  attach: (channel: Channel, key: string) => () => void,
  also = "",
): string {
  const { params = {}, credentials, onGone, client, enabled = true, limit, ...rest } = options;
  const latest = useLatest(options);
  const key = JSON.stringify([name, also, limit, !onGone, typeof credentials, stable(params), stable(rest)]);
  const fixed = typeof credentials === "string" ? credentials : undefined;

  useEffect(() => {
    if (!enabled) return;
    const { onGone, credentials, client, enabled: _enabled, limit: _limit, ...now } = latest.current;
    const opened = (client ? client.channel : sharedChannel)(name, {
      ...now,
      ...(credentials && {
        credentials:
          typeof credentials === "string"
            ? credentials
            : (request) => {
                const current = latest.current.credentials;
                return typeof current === "function" ? current(request) : current;
              },
      }),
      ...(onGone && { onGone: (gone) => latest.current.onGone?.(gone) }),
    });
    const detach = attach(opened, key);
    return () => {
      detach();
      opened.close();
    };
    // `attach` is new at every render and belongs to the key.
  }, [key, fixed, client, enabled, options.transport]);
  return key;
}

/** A box with the value of the last render that was kept. */
function useLatest<Value>(value: Value): { readonly current: Value } {
  const latest = useRef(value);
  useEffect(() => {
    latest.current = value;
  });
  return latest;
}

function stable(value: Params | object): string {
  return JSON.stringify(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}
