/**
 * One topic of the leader's connection, and the subscriptions of all tabs to it.
 *
 * The server knows one subscription. Who joins it later is given what it lacks from the newest messages,
 * which are kept for that; where they do not reach back to its cursor the topic is subscribed anew from
 * there. Rule: each subscriber has its own position, and is given nothing that is not after it.
 */

import type { Answer, Draft, Link, LinkEvents, Request } from "./link.js";
import type { Message } from "./message.js";
import type { Mux } from "./mux.js";
import { LOST, type Outcome } from "./outcome.js";
import type { Address, TopicEvent } from "./tabs_frames.js";
import { newer } from "./topic.js";

/** Messages that are kept for who comes later, and how large they are together, in characters of JSON. */
const TAIL_MESSAGES = 200;
const TAIL_CHARACTERS = 64 * 1024;

/** One subscription of a tab. */
export interface TabSubscriber extends Address {
  /** Of the last `ask`. */
  round: number;
  /** It was asked, and has not answered. */
  asking: boolean;
  attached: boolean;
  request?: Request;
  /** The last message that it was given. */
  position?: string | undefined;
  /** What it says of itself, as a member. */
  said?: { readonly state: string | undefined; readonly at: number };
}

export interface TabTopic {
  join(subscriber: TabSubscriber): void;
  /** The answer to an `ask`. */
  requested(subscriber: TabSubscriber, round: number, request: Request): void;
  publish(subscriber: TabSubscriber, ref: number, draft: Draft): void;
  say(subscriber: TabSubscriber, state: string | undefined, at: number): void;
  leave(subscriber: TabSubscriber): void;
  close(): void;
}

/**
 * @param connection the one that there is; another one after it was idle
 * @param lost called when the connection is lost, and when it is open again
 * @param onEnd called when nobody is left
 */
export function createTabTopic(
  name: string,
  connection: () => Mux,
  tell: (to: readonly Address[], event: TopicEvent) => void,
  lost: (isLost: boolean) => void,
  onEnd: () => void,
): TabTopic {
  const subscribers = new Set<TabSubscriber>();
  /** Whose requests wait for the topic to be attached. */
  let waiting: TabSubscriber[] = [];
  /** Publishes that do. */
  let held: (() => void)[] = [];
  let link: Link | undefined;
  /** Takes the request that the connection waits for. */
  let wanted: ((request: Request) => void) | undefined;
  /** Whose request the server has. */
  let current: TabSubscriber | undefined;
  let attached = false;
  /** What is told now is of the server's ack. */
  let acking = false;
  let subject: string | undefined;
  let synced = false;
  /** The newest messages; all after `base` up to `position`. */
  let tail: { readonly message: Message; readonly size: number }[] = [];
  let tailSize = 0;
  let base: string | undefined;
  let position: string | undefined;
  let over = false;

  function open(): void {
    attached = false;
    wanted = undefined;
    current = undefined;
    let opened: Link | undefined;
    // A link that was closed is silent, but for what was under way.
    opened = link = connection().join(name, eventsOf(() => !over && link === opened));
  }

  function eventsOf(active: () => boolean): LinkEvents {
    return {
      request: () =>
        new Promise((resolve) => {
          wanted = resolve;
          // Before anybody is asked: a tab that still took the connection for blocked would open an event
          // stream after its answer, which could displace the connection once that is attached.
          lost(false);
          proceed();
        }),
      attached(who) {
        if (!active()) return;
        attached = true;
        synced = false;
        subject = who;
        const from = current?.request?.cursor;
        // After a cut it mostly goes on where it was, and so do the newest messages.
        if (from === undefined || from !== position) begin(from);
        if (current) attach(current, from);
        acking = true;
        queueMicrotask(() => (acking = false));
        serveLater();
      },
      moved(cursor) {
        if (!active()) return;
        if (position === undefined || newer(base ?? cursor, cursor)) begin(cursor);
        if (newer(cursor, position as string)) position = cursor;
        // With the ack it may be where a reset goes on, which is behind what the others have to get.
        const all = acking ? [current] : [...subscribers];
        const behind = all.filter((each) => each?.attached && (each.position === undefined || newer(cursor, each.position))) as TabSubscriber[];
        for (const each of behind) each.position = cursor;
        tell(behind, { do: "moved", cursor });
        serveLater();
      },
      message(message) {
        if (!active()) return;
        // The first of the latest state, or the state itself: all that is after it comes.
        if (!settled()) begin(message.id);
        else keep(message);
        if (position === undefined || newer(message.id, position)) position = message.id;
        give([...subscribers], message);
        if (waiting.length) serveLater();
      },
      reset(reset) {
        if (!active()) return;
        begin(reset.cursor);
        // It is of who has asked; the others go on from where they are.
        for (const each of subscribers) if (each !== current && each.attached) ahead(each);
        if (!current) return;
        current.position = reset.cursor;
        tell([current], { do: "reset", reset });
      },
      synced() {
        if (!active()) return;
        synced = true;
        tell([...subscribers].filter((each) => each.attached), { do: "synced" });
      },
      retry() {},
      lost: (outcome) => active() && cut(outcome),
      ended: (outcome) => active() && ended(outcome),
    };
  }

  /** What comes next is all that is after `base`, which `newest` is not. */
  function settled(): boolean {
    return base === undefined || !Number.isNaN(Number(base));
  }

  /** A turn later: `moved` and `reset`, which follow, say where it begins. */
  function serveLater(): void {
    const now = link;
    queueMicrotask(() => link === now && attached && settled() && serveWaiting());
  }

  /** Not given what comes now: one is served anew, from its own position. */
  function ahead(subscriber: TabSubscriber): void {
    subscriber.attached = false;
    subscriber.request = { ...(subscriber.request as Request), cursor: subscriber.position };
    waiting.push(subscriber);
  }

  /** Nothing is known of what is before this. */
  function begin(cursor: string | undefined): void {
    tail = [];
    tailSize = 0;
    base = position = cursor;
  }

  function keep(message: Message): void {
    const size = JSON.stringify(message).length;
    tail.push({ message, size });
    tailSize += size;
    while (tail.length > TAIL_MESSAGES || tailSize > TAIL_CHARACTERS) {
      const oldest = tail.shift();
      tailSize -= oldest?.size ?? 0;
      base = oldest?.message.id;
    }
  }

  function give(to: readonly TabSubscriber[], message: Message): void {
    const all = to.filter((each) => each.attached && (each.position === undefined || newer(message.id, each.position)));
    for (const each of all) each.position = message.id;
    if (all.length) tell(all, { do: "message", message });
  }

  function ask(subscriber: TabSubscriber): void {
    subscriber.round++;
    subscriber.asking = true;
    tell([subscriber], { do: "ask", round: subscriber.round });
  }

  /** Give the connection the first request that there is; where there is none, ask for some. */
  function proceed(): void {
    if (!wanted) return;
    current = waiting.shift();
    const request = current?.request;
    if (!request) {
      for (const each of [...subscribers]) if (!each.asking) ask(each);
      return;
    }
    const take = wanted;
    wanted = undefined;
    take(request);
  }

  function attach(subscriber: TabSubscriber, from: string | undefined): void {
    subscriber.attached = true;
    subscriber.position = from;
    tell([subscriber], { do: "attached", subject });
  }

  function serveWaiting(): void {
    const publishes = held;
    held = [];
    for (const publish of publishes) publish();
    sayNewest();
    const all = waiting;
    waiting = [];
    while (all.length && attached) serve(all.shift() as TabSubscriber);
    // It is subscribed anew for one of them.
    waiting.push(...all);
  }

  /** The topic is attached: let one join who has said from where. */
  function serve(subscriber: TabSubscriber): void {
    const { cursor, presence } = subscriber.request as Request;
    // A roster has no "from now on": without a cursor it is all who are there.
    const from = cursor ?? (presence ? "0" : position);
    if (from === undefined || base === undefined || newer(base, from)) return subscribeFor(subscriber);
    attach(subscriber, from);
    if (cursor === undefined) tell([subscriber], { do: "moved", cursor: from });
    for (const { message } of [...tail]) give([subscriber], message);
    if (!synced) return;
    if (position !== undefined && newer(position, from)) tell([subscriber], { do: "moved", cursor: (subscriber.position = position) });
    tell([subscriber], { do: "synced" });
  }

  /** Subscribe anew, as one of them asks. */
  function subscribeFor(subscriber: TabSubscriber): void {
    const cursor = subscriber.request?.cursor;
    for (const each of subscribers) {
      // Who is not given all by that, as by a cursor that says `newest`, comes after it.
      if (!each.attached || (Number(cursor) >= 0 && each.position !== undefined && !newer(cursor as string, each.position))) continue;
      ahead(each);
    }
    waiting.unshift(subscriber);
    link?.close();
    open();
  }

  function cut(outcome: Outcome): void {
    detach();
    lost(true);
    tell([...subscribers], { do: "lost", outcome });
  }

  function detach(): void {
    attached = false;
    wanted = current = undefined;
    waiting = [];
    held = [];
    for (const each of subscribers) each.attached = each.asking = false;
  }

  function ended(outcome: Outcome): void {
    const failed = attached ? undefined : current;
    // It was refused to one of them, from its cursor or with its credentials; the others ask for themselves.
    if (failed && link?.again && connection().has(name)) {
      current = undefined;
      subscribers.delete(failed);
      if (subscribers.size) link.again();
      else close();
      return tell([failed], { do: "ended", outcome });
    }
    const all = [...subscribers];
    close();
    tell(all, { do: "ended", outcome });
  }

  /** The newest of what any tab says counts. */
  function sayNewest(): void {
    const all = [...subscribers].flatMap(({ said }) => said ?? []);
    const newest = all.sort((one, other) => other.at - one.at)[0];
    if (newest) link?.say?.(newest.state === undefined ? undefined : JSON.parse(newest.state));
  }

  function close(): void {
    over = true;
    subscribers.clear();
    detach();
    link?.close();
    onEnd();
  }

  return {
    join(subscriber) {
      subscribers.add(subscriber);
      if (!link) open();
      else if (attached || wanted || current) ask(subscriber);
      // A turn later: nothing happens to a link before the caller has it.
      queueMicrotask(() => {
        const waits = subscribers.has(subscriber) && !subscriber.attached && connection().blocked();
        if (waits) tell([subscriber], { do: "lost", outcome: LOST });
      });
    },
    requested(subscriber, round, request) {
      if (round !== subscriber.round || !subscriber.asking) return;
      subscriber.asking = false;
      subscriber.request = request;
      waiting.push(subscriber);
      if (attached) serveLater();
      else proceed();
    },
    publish(subscriber, ref, draft) {
      const send = () => link?.publish(draft, (answer: Answer) => tell([subscriber], { do: "answer", ref, answer }));
      if (attached) send();
      // It is subscribed anew for somebody.
      else held.push(send);
    },
    say(subscriber, state, at) {
      subscriber.said = { state, at };
      if (attached && ![...subscribers].some(({ said }) => said && said.at > at)) sayNewest();
    },
    leave(subscriber) {
      if (!subscribers.delete(subscriber)) return;
      waiting = waiting.filter((each) => each !== subscriber);
      if (!subscribers.size) return close();
      const { said } = subscriber;
      if (said && attached && ![...subscribers].some((each) => each.said && each.said.at > said.at)) sayNewest();
    },
    close,
  };
}
