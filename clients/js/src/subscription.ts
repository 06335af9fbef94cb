/**
 * One topic, from the first connect to the end: cursor, state, and what happens
 * after each outcome.
 *
 * Handles of one page that name the same topic share one of these. Rule: between
 * two resets every message is delivered once, in order and without a gap,
 * whatever happened to the connections meanwhile.
 */

import { resolveCredentials } from "./credentials.js";
import type { Watcher } from "./diagnosis.js";
import { laterOrAwake } from "./environment.js";
import { TakoError } from "./errors.js";
import type { Link, LinkEvents } from "./link.js";
import type { Mux } from "./mux.js";
import { errorOf, type Outcome, withCredentials } from "./outcome.js";
import { createPublishQueue, type PublishQueue } from "./publish_queue.js";
import { createRetries } from "./retries.js";
import { openStream, type StreamSettings } from "./stream.js";
import { newer } from "./topic.js";
import type { Credentials, Gone, Message, Params, State, Transport } from "./types.js";

/** A listener of a subscription: one channel object. */
export interface Listener {
  readonly credentials?: Credentials | undefined;
  message(message: Message): void;
  /** Continuity ended, and the subscription has gone on live. */
  reset(gone: Gone): void;
  /** Of a roster: all who were there have been named. */
  synced?(): void;
  /** Continuity ended: from where to go on? Only in the mode `ask`. */
  ask(gone: Gone): unknown;
  state(state: State, error: TakoError | undefined): void;
}

export interface SubscriptionSettings extends StreamSettings {
  readonly channel: string;
  readonly params: Params;
  /** The topic's name on this page. */
  readonly name: string;
  readonly transport: Transport;
  readonly cursor: string | undefined;
  readonly gone: "reset" | "stop" | "ask";
  /** The shared connection; `undefined` where there is no WebSocket. */
  readonly mux: (() => Mux) | undefined;
  /** Called with each state, whoever listens. */
  readonly watcher: Watcher;
  readonly onEnd: () => void;
  /** Who is at the topic is followed. */
  readonly presence?: boolean;
}

export interface Subscription {
  readonly publishes: PublishQueue;
  readonly state: () => State;
  /** The reason why it is not open. */
  readonly error: () => TakoError | undefined;
  readonly cursor: () => string | undefined;
  /** Who one is there. */
  readonly subject: () => string | undefined;
  /** Say something of oneself; said again on each new connection. */
  say(state: unknown): void;
  attach(listener: Listener): void;
  detach(listener: Listener): void;
}

export function createSubscription(settings: SubscriptionSettings): Subscription {
  const { environment, transport, gone, channel, params, presence } = settings;
  const listeners = new Set<Listener>();
  const retries = createRetries(environment);
  const publishes = createPublishQueue(environment);
  const ending = new AbortController();
  let state: State = "connecting";
  let error: TakoError | undefined;
  let cursor = settings.cursor;
  let mux: Mux | undefined;
  /** Our topic on the shared connection, and the stream that is used instead of it or stands in for it. */
  let sharedLink: Link | undefined;
  let stream: Link | undefined;
  /** The attached one of the two. */
  let activeLink: Link | undefined;
  let started = false;
  let everAttached = false;
  /** The shared connection has carried it before, so that it is worth waiting for. */
  let everShared = false;
  let cancelRetry: (() => void) | undefined;
  let refused = false;
  /** The reason of a reset that listeners get once the topic is attached again. */
  let resetReason: string | undefined;
  let subject: string | undefined;
  let said: { readonly state: unknown } | undefined;

  function connect(): void {
    cancelRetry = undefined;
    if (settings.mux && (transport === "auto" || transport === "websocket")) {
      if (sharedLink) sharedLink.again?.();
      else {
        mux = settings.mux();
        sharedLink = mux.join(settings.name, eventsOf(() => sharedLink));
      }
      if (transport === "websocket" || activeLink || !mux?.blocked()) return;
    }
    if (stream) return;
    const open = typeof transport === "function" ? transport : openStream;
    stream = open(settings, eventsOf(() => stream));
  }

  /** @param self the link that these belong to, which does not exist yet when they are made */
  function eventsOf(self: () => Link | undefined): LinkEvents {
    return {
      async request() {
        const auth = await resolveCredentials(environment, credentialsNow(), refused, ending.signal);
        // The shared connection is there again: what stood in for it ends here, at a known cursor.
        if (stream && self() === sharedLink) {
          stream.close();
          release(stream);
          stream = undefined;
        }
        return { channel, params, cursor, auth, reset: gone === "reset", ...(presence && { presence }) };
      },
      attached(who) {
        activeLink = self();
        subject = who ?? subject;
        if (said) activeLink?.say?.(said.state);
        everAttached = true;
        refused = false;
        retries.opened();
        become("open");
        everShared ||= activeLink === sharedLink;
        publishes.attach(activeLink, everShared);
      },
      moved,
      message(message) {
        notifyReset();
        if (cursor !== undefined && !newer(message.id, cursor)) return;
        cursor = message.id;
        retries.succeeded();
        notify((listener) => listener.message(message));
      },
      reset({ reason = "replay-too-old", cursor: at }) {
        cursor = at;
        resetReason = reason;
        notifyReset();
      },
      synced: () => notify((listener) => listener.synced?.()),
      retry: retries.rebase,
      lost(outcome) {
        release(self());
        if (!activeLink) retrying(outcome);
        if (mux?.blocked() && transport === "auto" && !cancelRetry) connect();
      },
      ended: (outcome) => ended(self(), outcome),
    };
  }

  function notify(say: (listener: Listener) => void): void {
    [...listeners].forEach(say);
  }

  /** The newest listener's: an older one may belong to a page that was left. */
  function credentialsNow(): Credentials | undefined {
    return [...listeners].pop()?.credentials;
  }

  function moved(to: string): void {
    if (cursor === undefined || newer(to, cursor)) cursor = to;
    notifyReset();
  }

  function notifyReset(): void {
    const reason = resetReason;
    resetReason = undefined;
    if (reason) notify((listener) => listener.reset({ reason, ...(cursor && { cursor }) }));
  }

  function release(link: Link | undefined): void {
    if (activeLink !== link) return;
    activeLink = undefined;
    publishes.attach();
  }

  function ended(link: Link | undefined, was: Outcome): void {
    release(link);
    if (link === stream) stream = undefined;
    const outcome = withCredentials(was, credentialsNow());
    // A gateway that checks tokens says it without a word of ours.
    refused ||= outcome.action === "reauthenticate" || outcome.code === "http-401";
    if (outcome.action === "stop" || (outcome.action === "gone" && gone === "stop")) return stop(errorOf(outcome));
    if (outcome.action === "gone") {
      cursor = undefined;
      if (gone === "ask") return void askForCursor(outcome);
      resetReason = outcome.code;
    }
    // Only a browser's EventSource hides its cursor: nobody can say what was missed.
    else if (everAttached && cursor === undefined) resetReason ??= "no-cursor";
    retrying(outcome);
    cancelRetry ??= laterOrAwake(environment, retries.delay(outcome), connect);
  }

  async function askForCursor(outcome: Outcome): Promise<void> {
    retrying(outcome);
    try {
      const answers = await Promise.all([...listeners].map((listener) => listener.ask({ reason: outcome.code })));
      cursor = answers.find((answer) => typeof answer === "string") as string | undefined;
      if (state !== "closed") connect();
    } catch (cause) {
      stop(new TakoError("gone-failed", String(cause)));
    }
  }

  function become(next: State, outcome?: Outcome): void {
    if (state === next && error?.code === outcome?.code) return;
    state = next;
    const why = outcome && errorOf(outcome);
    error = why;
    settings.watcher(next, why);
    notify((listener) => listener.state(next, why));
  }

  /** Until it was open once it is connecting, however often it tries. */
  function retrying(outcome: Outcome): void {
    become(state === "connecting" ? state : "reconnecting", outcome);
  }

  function stop(error: TakoError): void {
    publishes.drop(error);
    finish(error);
    notify((listener) => listener.state("closed", error));
  }

  function finish(error?: TakoError): void {
    state = "closed";
    settings.watcher(state, error);
    ending.abort();
    cancelRetry?.();
    release(activeLink);
    sharedLink?.close();
    stream?.close();
    settings.onEnd();
  }

  return {
    publishes,
    state: () => state,
    error: () => error,
    cursor: () => cursor,
    subject: () => subject,
    say(state) {
      said = { state };
      activeLink?.say?.(state);
    },
    attach(listener) {
      listeners.add(listener);
      // A turn later, so that what is opened and closed at once, as in React's strict mode, connects once.
      if (!started) queueMicrotask(() => listeners.size && connect());
      started = true;
    },
    detach(listener) {
      listeners.delete(listener);
      queueMicrotask(() => listeners.size || finish());
    },
  };
}
