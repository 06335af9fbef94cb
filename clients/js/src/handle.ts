/**
 * The channel object of one caller: its handlers and iterations.
 *
 * Several handles may share one subscription. Rule: a handler that throws is
 * reported and stops nobody else.
 */

import { ChannelClosedError, ChannelOverflowError, type TakoError } from "./errors.js";
import type { Presence } from "./member.js";
import type { Listener, Subscription } from "./subscription.js";
import type { Channel, ChannelOptions, HistoryOptions, HistoryPage, Incoming, State } from "./types.js";

type Handler = (message: Incoming) => void;
type StateListener = (state: State, error: TakoError | undefined) => void;

export function createHandle(
  name: string,
  options: ChannelOptions,
  subscribe: () => Subscription,
  history: (until: AbortSignal, options?: HistoryOptions) => Promise<HistoryPage>,
  presenceOf: (room: () => Subscription | undefined, until: AbortSignal) => Presence,
): Channel {
  const { credentials, onGone, bufferSize = 1000 } = options;
  const handlers = new Set<Handler>();
  const stateListeners = new Set<StateListener>();
  const ending = new AbortController();
  let state: State = "connecting";
  let error: TakoError | undefined;
  let subscription: Subscription | undefined;
  let presence: Presence | undefined;

  const listener: Listener = {
    credentials,
    message: deliver,
    reset: (gone) =>
      onGone ? call(onGone as (gone: unknown) => void, gone) : deliver({ channel: name, type: "tako.reset", data: gone }),
    ask: (gone) => onGone?.(gone),
    state: become,
  };

  function start(): void {
    if (subscription || state === "closed") return;
    subscription = subscribe();
    state = subscription.state();
    error = subscription.error();
    subscription.attach(listener);
  }

  /** The subscription that makes one a member; none of a channel that was closed before it began. */
  function room(): Subscription | undefined {
    start();
    return subscription;
  }

  function deliver(message: Incoming): void {
    for (const handler of [...handlers]) call(handler, message);
  }

  function become(next: State, why?: TakoError): void {
    state = next;
    error = why;
    for (const each of [...stateListeners]) call(each, next, why);
    if (next !== "closed") return;
    ending.abort();
    handlers.clear();
    stateListeners.clear();
  }

  function add<Each>(set: Set<Each>, each: Each): () => void {
    if (state !== "closed") set.add(each);
    return () => void set.delete(each);
  }

  function onMessage(handler: Handler): () => void {
    start();
    return add(handlers, handler);
  }

  async function* iterate(): AsyncGenerator<Incoming, undefined> {
    const items: Incoming[] = [];
    let overflow: TakoError | undefined;
    let wake = () => {};
    const removeHandler = onMessage((message) => {
      // Said by an error, after what is buffered and before what comes later: nothing is missed in silence.
      if (items.length >= bufferSize) overflow ??= new ChannelOverflowError("Too many messages wait.");
      if (!overflow) items.push(message);
      wake();
    });
    const removeListener = add<StateListener>(stateListeners, () => wake());
    try {
      for (;;) {
        const item = items.shift();
        if (item) yield item;
        else if (overflow) throw overflow;
        else if (state === "closed" && error) throw error;
        else if (state === "closed") return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      removeHandler();
      removeListener();
    }
  }

  return {
    name,
    get state() {
      return state;
    },
    get error() {
      return error;
    },
    get presence() {
      return (presence ??= presenceOf(room, ending.signal));
    },
    get cursor() {
      return subscription ? subscription.cursor() : options.cursor;
    },
    subscribe: onMessage,
    on: (type: string, handler: (data: never, message: never) => void) =>
      onMessage((message) => message.type === type && handler(message.data as never, message as never)),
    onState: (each) => add(stateListeners, each),
    publish(type, data, key) {
      start();
      return subscription && state !== "closed"
        ? subscription.publishes.add(listener, options, type, data, key)
        : Promise.reject(error ?? new ChannelClosedError());
    },
    history: (options) =>
      new Promise((resolve, reject) => {
        const closed = () => reject(error ?? new ChannelClosedError());
        if (ending.signal.aborted) return closed();
        ending.signal.addEventListener("abort", closed);
        history(ending.signal, options)
          .finally(() => ending.signal.removeEventListener("abort", closed))
          .then(resolve, reject);
      }),
    close() {
      if (state === "closed") return;
      subscription?.publishes.drop(new ChannelClosedError(), listener);
      subscription?.detach(listener);
      become("closed");
    },
    [Symbol.asyncIterator]: iterate,
  };
}

/** Run a caller's code; what it throws is reported like that of any event listener. */
function call<Values extends unknown[]>(run: (...values: Values) => void, ...values: Values): void {
  try {
    run(...values);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
}
