/**
 * Channels as React hooks.
 *
 * Components that name the same topic share one subscription, and all share one
 * connection. Rule: nothing connects while rendering, so a server renders it, and
 * strict mode, which mounts twice, connects once. And what is shown is one run of one
 * subscription from one cursor: React runs effects again while it keeps state (`Activity`, fast
 * refresh), so state of an earlier run is dropped when the next begins.
 */

import { useCallback, useEffect, useRef, useState } from "react";
import { ChannelClosedError, ChannelGoneError, type TakoError } from "./errors.js";
import { channel as sharedChannel } from "./index.js";
import type { Member } from "./member.js";
import { newer, topicName } from "./topic.js";
import type {
  AnyMessages,
  Channel,
  ChannelName,
  ChannelOptions,
  Message,
  MessagesOf,
  NameFor,
  OptionsOf,
  PresenceOf,
  Registered,
  RequiredOptionsOf,
  State,
  StateOf,
  TypeOf,
} from "./types.js";

export interface UseChannelOptions extends ChannelOptions {
  /** Number of messages kept, the newest ones; 0 for none. Default: 100. */
  readonly limit?: number;
  /** `false` closes the channel until it is true again; it then begins anew, from `cursor`. */
  readonly enabled?: boolean;
  /** A client of one's own; by default the one that the whole page shares. */
  readonly client?: { readonly channel: (name: never, ...options: never[]) => unknown };
}

export interface UseChannelResult<Messages extends object = AnyMessages> {
  /** The newest messages, oldest first. */
  readonly messages: readonly Message<Messages>[];
  readonly status: State;
  /** The reason why it is not open, or a `ChannelGoneError` since messages were missed, until `clear()`. */
  readonly error: TakoError | undefined;
  /** As `publish` of a channel. */
  readonly send: <Type extends TypeOf<Messages>>(type: Type, data: Messages[Type]) => Promise<string | null>;
  /** Forget the messages and the gap. */
  readonly clear: () => void;
}

/** A component's view of one topic. */
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
 * `params` are compared by value, functions are always the latest, `limit` applies at once, of
 * `transport` only another kind counts; any other option that changes opens the channel anew, with
 * no messages.
 */
export function useChannel<Messages extends object = never>(
  name: NameFor<Messages>,
  options?: UseChannelOptions,
): UseChannelResult<Messages>;
export function useChannel<Name extends ChannelName>(
  name: Name,
  ...options: OptionsOf<Name, Registered, UseChannelOptions>
): UseChannelResult<MessagesOf<Name>>;
export function useChannel(name: string, options: UseChannelOptions = {}): UseChannelResult {
  const { limit = 100, enabled = true } = options;
  const kept = useLatest(limit);
  const [view, setView] = useState<View>({ of: "", ...EMPTY });
  const opened = useRef<Channel | undefined>(undefined);

  const of = useOpened(name, options, (channel, key) => {
    const change = (update: (view: View) => Partial<View>): void => setView((now) => ({ ...now, ...update(now) }));
    opened.current = channel;
    channel.onState((status, error) => change(() => ({ status, error })));
    channel.subscribe((message) =>
      change(({ messages }) =>
        message.type === "tako.reset"
          ? { gone: new ChannelGoneError((message.data as { reason: string }).reason) }
          : { messages: newest([...messages, message as Message], kept.current) },
      ),
    );
    // Where others have it open already it says nothing more about that.
    setView({ of: key, ...EMPTY, status: channel.state, error: channel.error });
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
    messages: newest(shown.messages, limit),
    status: enabled ? shown.status : "closed",
    error: shown.error ?? shown.gone,
    send,
    clear,
  };
}

/**
 * Calls `handler` for each message of one type, and renders nothing.
 *
 * The handler is always the latest one; it need not be memoized. A message of a topic is given to
 * it once, also where the channel begins anew from a `cursor`.
 */
export function useChannelEvent<Messages extends object = never, Type extends TypeOf<Messages> = TypeOf<Messages>>(
  name: NameFor<Messages>,
  type: Type,
  handler: (data: Messages[Type], message: Message<Messages>) => void,
  options?: UseChannelOptions,
): void;
export function useChannelEvent<Name extends ChannelName, Type extends TypeOf<MessagesOf<Name>>>(
  name: Name,
  type: Type,
  handler: (data: MessagesOf<Name>[Type], message: Extract<Message<MessagesOf<Name>>, { type: Type }>) => void,
  ...options: OptionsOf<Name, Registered, UseChannelOptions>
): void;
export function useChannelEvent(
  name: string,
  type: string,
  handler: (data: never, message: never) => void,
  options: UseChannelOptions = {},
): void {
  const latest = useLatest(handler);
  const last = useRef({ of: "", id: "0" });
  const { onGone } = options;
  /** Continuity ended: a log that was lost may go on with lower ids. */
  const begin = (): void => void (last.current.id = "0");
  const restarting: UseChannelOptions["onGone"] = (gone) => {
    begin();
    return onGone?.(gone);
  };
  useOpened(
    name,
    onGone ? { ...options, onGone: restarting } : options,
    (channel, key) => {
      if (last.current.of !== key) last.current = { of: key, id: "0" };
      return channel.subscribe((message) => {
        // A `tako.reset` has no id.
        if (!message.id) begin();
        if (message.type !== type) return;
        if (message.id && !newer(message.id, last.current.id)) return;
        last.current.id = message.id ?? last.current.id;
        latest.current(message.data as never, message as never);
      });
    },
    type,
  );
}

export interface UseChannelStateOptions<Shown, Messages extends object = AnyMessages>
  extends Omit<UseChannelOptions, "cursor" | "limit" | "onGone"> {
  /**
   * The state after a message. Not called for `tako.state`, whose data is the state, nor for
   * `tako.reset`, after which the state comes anew. Must be pure; always the latest one.
   */
  readonly reducer: (state: Shown, message: Message<Messages>) => Shown;
  /** The state until something of it is there. */
  readonly initial: Shown;
}

export interface UseChannelStateResult<Shown, Messages extends object = AnyMessages> {
  readonly state: Shown;
  /** Something of it has come since the channel was opened. */
  readonly ready: boolean;
  readonly status: State;
  /** The reason why it is not open. */
  readonly error: TakoError | undefined;
  /** As `publish` of a channel. */
  readonly send: <Type extends TypeOf<Messages>>(type: Type, data: Messages[Type]) => Promise<string | null>;
}

interface StateView {
  readonly of: string;
  readonly state: unknown;
  readonly ready: boolean;
  readonly status: State;
  readonly error: TakoError | undefined;
}

/**
 * The state of a topic: what the app's function gives where the channel has one, else `initial`, and
 * then each message through `reducer`. It begins with the latest state (`cursor: "newest"`), is
 * continued after a cut, and begins with the state again where too much was missed.
 *
 * Each use has a subscription of its own. Options as those of `useChannel`.
 */
export function useChannelState<Shown, Messages extends object = never>(
  name: NameFor<Messages>,
  options: UseChannelStateOptions<Shown, Messages>,
): UseChannelStateResult<Shown, Messages>;
export function useChannelState<Name extends ChannelName, Shown = StateOf<Name>>(
  name: Name,
  ...options: RequiredOptionsOf<Name, Registered, UseChannelStateOptions<Shown, MessagesOf<Name>>>
): UseChannelStateResult<Shown, MessagesOf<Name>>;
export function useChannelState(
  name: string,
  { reducer, initial, ...options }: UseChannelStateOptions<unknown>,
): UseChannelStateResult<unknown> {
  const latest = useLatest({ reducer, initial });
  const empty: Omit<StateView, "of"> = { state: initial, ready: false, status: "connecting", error: undefined };
  const [view, setView] = useState<StateView>({ of: "", ...empty });
  const opened = useRef<Channel | undefined>(undefined);

  const of = useOpened(
    name,
    { ...options, cursor: "newest" },
    (channel, key) => {
      const change = (update: (view: StateView) => Partial<StateView>): void =>
        setView((now) => ({ ...now, ...update(now) }));
      opened.current = channel;
      channel.onState((status, error) => change(() => ({ status, error })));
      channel.subscribe((message) => {
        const { type, data } = message;
        if (type === "tako.reset") change(() => ({ state: latest.current.initial, ready: false }));
        else if ((type as string) === "tako.state") change(() => ({ state: data, ready: true }));
        else change(({ state }) => ({ state: latest.current.reducer(state, message as Message), ready: true }));
      });
      const { status, error } = { status: channel.state, error: channel.error };
      setView({ of: key, state: latest.current.initial, ready: false, status, error });
      return () => (opened.current = undefined);
    },
    "state",
  );
  const send = useCallback(
    (type: string, data: unknown) => opened.current?.publish(type, data) ?? Promise.reject(new ChannelClosedError()),
    [],
  );
  const { state, ready, status, error } = view.of === of ? view : empty;
  return { state, ready, status: options.enabled === false ? "closed" : status, error, send };
}

export interface UsePresenceResult<Info = unknown, MemberState = unknown> {
  /** In the order in which they came. A member is the same object until something of it changes. */
  readonly members: readonly Member<Info, MemberState>[];
  readonly me: Member<Info, MemberState> | undefined;
  /** Connections that are no members. */
  readonly guests: number;
  /** The list is whole. */
  readonly synced: boolean;
  /** As `update` of a channel's presence; always the same function. */
  readonly update: (state: MemberState | ((last: MemberState | undefined) => MemberState)) => void;
}

const NOBODY: UsePresenceResult & { readonly of: string } = {
  of: "",
  members: [],
  me: undefined,
  guests: 0,
  synced: false,
  update: () => {},
};

/**
 * Who is at a topic; to have it mounted is to be there. Options as those of `useChannel`, with which
 * it shares the subscription.
 */
export function usePresence<Info = unknown, MemberState = unknown>(
  name: NameFor<AnyMessages>,
  options?: UseChannelOptions,
): UsePresenceResult<Info, MemberState>;
export function usePresence<Name extends ChannelName>(
  name: Name,
  ...options: OptionsOf<Name, Registered, UseChannelOptions>
): UsePresenceResult<PresenceOf<Name>["info"], PresenceOf<Name>["state"]>;
export function usePresence(name: string, options: UseChannelOptions = {}): UsePresenceResult {
  const [view, setView] = useState<typeof NOBODY>(NOBODY);
  const opened = useRef<Channel | undefined>(undefined);
  const update = useCallback<UsePresenceResult["update"]>((state) => opened.current?.presence.update(state), []);

  const of = useOpened(
    name,
    options,
    (channel, key) => {
      const { presence } = channel;
      opened.current = channel;
      const show = (): void => {
        const { members, me, guests, synced } = presence;
        setView({ of: key, members, me, guests, synced, update });
      };
      const end = presence.subscribe(show);
      setView({ ...NOBODY, of: key });
      return () => {
        end();
        opened.current = undefined;
      };
    },
    "presence",
  );
  const shown = view.of === of ? view : NOBODY;
  const { members, me, guests, synced } = shown;
  return { members, me, guests, synced, update };
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
  const { params, credentials, onGone, client, enabled = true, limit: _, transport, ...rest } = options;
  const latest = useLatest(options);
  // A transport that is made while rendering is a new one each time; only another kind counts.
  const kind = String(transport).replace(/ \d+$/, "");
  const topic = topicName(name, params ?? {});
  const key = [topic, also, !onGone, typeof credentials, kind, ...Object.entries(rest).sort()].join();
  const fixed = typeof credentials === "string" ? credentials : undefined;

  useEffect(() => {
    if (!enabled) return;
    const { onGone, credentials, client, enabled: _enabled, limit: _limit, ...now } = latest.current;
    const open = (client ? client.channel : sharedChannel) as (name: string, options: ChannelOptions) => Channel;
    const opened = open(name, {
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
  }, [key, fixed, client, enabled]);
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

/** The last of them; the same array where that is all. */
function newest<Each>(messages: readonly Each[], limit: number): readonly Each[] {
  if (messages.length <= limit) return messages;
  // `slice(-0)` is everything.
  return limit > 0 ? messages.slice(-limit) : EMPTY.messages;
}
