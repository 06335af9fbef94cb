/**
 * The connection that all tabs share, as one tab's channels see it.
 *
 * To a subscription it is the WebSocket of its page (`mux.ts`): a change of leaders is a cut, after which
 * each is subscribed again from its own cursor, and a publish without an answer is sent again with its
 * key. Rule: whoever leads serves itself as it serves the others, by the same frames.
 */

import type { Environment } from "./environment.js";
import type { Answer, Link, LinkEvents } from "./link.js";
import type { Mux } from "./mux.js";
import { LOST, NO_CREDENTIALS } from "./outcome.js";
import { type ToLeader, type TopicEvent, VERSION } from "./tabs_frames.js";
import { createGroup } from "./tabs_group.js";
import type { TabPage } from "./tabs_page.js";
import { createRelay, type Relay } from "./tabs_relay.js";

/** What tabs that share a connection have in common. */
export interface Sharing {
  readonly url: string;
  readonly identity: string;
  /** Fixed credentials; empty where there are none, or a function gives them. */
  readonly auth: string;
}

/** One subscription. */
interface Subscriber {
  readonly name: string;
  readonly events: LinkEvents;
  /** Callbacks of publishes without an answer, by `ref`. */
  readonly answers: Map<number, (answer: Answer) => void>;
  /** The `ask` that is answered last; an earlier one is no more. */
  round: number;
  /** It ended and waits for `again`. */
  ended: boolean;
  /** It is told that it is attached, and says again what it said before. */
  attaching: boolean;
  /** When its state was said. */
  saidAt?: number;
}

/** This tab's own frames, while it leads. */
const SELF = "";

/** @param onIdle called when the last subscription has left */
export function createTabMux(environment: Environment, page: TabPage, { url, identity, auth }: Sharing, onIdle: () => void): Mux {
  const subscribers = new Map<number, Subscriber>();
  let last = 0;
  let lastRef = 0;
  let led = false;
  let relay: Relay | undefined;

  const name = async () => `takotwist ${VERSION} ${await page.digest(JSON.stringify([url, identity, auth]))}`;
  const group = createGroup(environment, page, name, {
    led(own) {
      if (own) relay = createRelay(environment, url, tell, () => group.announce());
      led = true;
      for (const [number, subscriber] of [...subscribers]) if (!subscriber.ended) begin(number, subscriber);
    },
    unled() {
      led = false;
      relay?.close();
      relay = undefined;
      for (const [number, subscriber] of [...subscribers]) {
        if (!subscriber.ended) received(number, { do: "lost", outcome: LOST });
      }
    },
    event: (numbers, event) => numbers.forEach((number) => received(number, event)),
    asked: (tab, frame) => relay?.receive(tab, frame),
    gone: (tab) => relay?.gone(tab),
    status: () => ({ lost: relay?.lost ?? false, blocked: relay?.blocked ?? false }),
  });

  function say(frame: ToLeader): void {
    if (relay) relay.receive(SELF, frame);
    else if (led) group.say(frame);
  }

  /** While leading: to this tab and others. */
  function tell(to: readonly { readonly tab: string; readonly subscriber: number }[], event: TopicEvent): void {
    const others = to.filter(({ tab }) => tab !== SELF);
    if (others.length) group.tell(others, event);
    for (const { tab, subscriber } of to) if (tab === SELF) received(subscriber, event);
  }

  function begin(number: number, { name }: Subscriber): void {
    say({ do: "join", subscriber: number, name });
  }

  function received(number: number, event: TopicEvent): void {
    const subscriber = subscribers.get(number);
    if (!subscriber || subscriber.ended) return;
    const { events, answers } = subscriber;
    switch (event.do) {
      case "ask":
        return void request(number, subscriber, event.round);
      case "attached":
        subscriber.attaching = true;
        events.attached(event.subject);
        subscriber.attaching = false;
        return;
      case "moved":
        return events.moved(event.cursor);
      case "message":
        return events.message(event.message);
      case "reset":
        return events.reset(event.reset);
      case "synced":
        return events.synced?.();
      case "answer": {
        const answer = answers.get(event.ref);
        answers.delete(event.ref);
        return answer?.(event.answer);
      }
      case "lost":
        subscriber.round = 0;
        answers.clear();
        return events.lost(event.outcome);
      case "ended":
        subscriber.round = 0;
        subscriber.ended = true;
        answers.clear();
        return events.ended(event.outcome);
    }
  }

  /** Give the leader what is to be subscribed, with credentials of now. */
  async function request(number: number, subscriber: Subscriber, round: number): Promise<void> {
    subscriber.round = round;
    const request = await subscriber.events.request().catch(() => undefined);
    if (subscriber.round !== round || subscribers.get(number) !== subscriber) return;
    if (request) return say({ do: "request", subscriber: number, round, request });
    say({ do: "leave", subscriber: number });
    received(number, { do: "ended", outcome: NO_CREDENTIALS });
  }

  return {
    ofTabs: true,
    blocked: () => (relay ?? group.status)?.blocked ?? false,
    // Of one topic it carries as many subscriptions as are wanted.
    has: (_name, of = "") => of !== auth,
    join(name, events): Link {
      const number = ++last;
      const subscriber: Subscriber = { name, events, answers: new Map(), round: 0, ended: false, attaching: false };
      subscribers.set(number, subscriber);
      group.enter();
      if (led) begin(number, subscriber);
      return {
        publish({ type, data, key }, answer) {
          const ref = ++lastRef;
          subscriber.answers.set(ref, answer);
          say({ do: "publish", subscriber: number, ref, draft: { type, data, key } });
        },
        say(state) {
          // What is said again counts as of when it was said: another tab may have said something newer.
          const at = (subscriber.attaching && subscriber.saidAt) || page.clock();
          subscriber.saidAt = at;
          say({ do: "say", subscriber: number, state: JSON.stringify(state), at });
        },
        again() {
          if (!subscriber.ended) return;
          subscriber.ended = false;
          if (led) begin(number, subscriber);
        },
        close() {
          if (!subscribers.delete(number)) return;
          if (!subscriber.ended) say({ do: "leave", subscriber: number });
          // A turn later: who leaves one topic often joins another, as a page does that changes its room.
          queueMicrotask(() => {
            if (subscribers.size) return;
            group.leave();
            onIdle();
          });
        },
      };
    },
  };
}
