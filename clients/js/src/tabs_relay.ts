/**
 * The leader's side: the one connection, and the subscriptions of all tabs on it.
 *
 * Rule: a topic is subscribed while any tab wants it. A tab that goes without a word is noticed by its
 * lock, and then wants nothing.
 */

import type { Environment } from "./environment.js";
import { createMux, type Mux } from "./mux.js";
import type { Address, Status, ToLeader, TopicEvent } from "./tabs_frames.js";
import { createTabTopic, type TabSubscriber, type TabTopic } from "./tabs_topic.js";

export interface Relay extends Omit<Status, "hidden"> {
  receive(tab: string, frame: ToLeader): void;
  gone(tab: string): void;
  /** Let go of the connection, as a page that is left does. */
  close(): void;
}

/**
 * @param tell to subscriptions of tabs
 * @param changed called when the status has changed
 */
export function createRelay(
  environment: Environment,
  url: string,
  tell: (to: readonly Address[], event: TopicEvent) => void,
  changed: () => void,
): Relay {
  const topics = new Map<string, TabTopic>();
  /** Tab -> its subscriptions, by their numbers. */
  const tabs = new Map<string, Map<number, { readonly topic: TabTopic; readonly subscriber: TabSubscriber }>>();
  const leavers = new Set<() => void>();
  let mux: Mux | undefined;
  let lost = false;
  let over = false;

  /** What the connection does when its page is left is done when this tab leads no more. */
  const leavable: Environment = {
    ...environment,
    onWake(run, leave = () => {}) {
      leavers.add(leave);
      const stop = environment.onWake(run, leave);
      return () => {
        leavers.delete(leave);
        stop();
      };
    },
  };

  function connection(): Mux {
    return (mux ??= createMux(leavable, url, () => (mux = undefined)));
  }

  function became(isLost: boolean): void {
    // Said at each failure: whoever waits may do better.
    const news = !over && (isLost || lost);
    lost = isLost;
    if (news) changed();
  }

  function say(to: readonly Address[], event: TopicEvent): void {
    if (!over) tell(to, event);
  }

  function topicOf(name: string): TabTopic {
    const known = topics.get(name);
    if (known) return known;
    const made: TabTopic = createTabTopic(name, connection, say, became, () => {
      if (topics.get(name) === made) topics.delete(name);
    });
    topics.set(name, made);
    return made;
  }

  function remove(tab: string, number: number): void {
    const of = tabs.get(tab);
    const found = of?.get(number);
    of?.delete(number);
    if (!of?.size) tabs.delete(tab);
    found?.topic.leave(found.subscriber);
  }

  return {
    get lost() {
      return lost;
    },
    get blocked() {
      return mux?.blocked() ?? false;
    },
    receive(tab, frame) {
      const { subscriber: number } = frame;
      if (frame.do === "join") {
        remove(tab, number);
        const of = tabs.get(tab) ?? new Map();
        const topic = topicOf(frame.name);
        const subscriber: TabSubscriber = { tab, subscriber: number, round: 0, asking: false, attached: false };
        tabs.set(tab, of.set(number, { topic, subscriber }));
        return topic.join(subscriber);
      }
      if (frame.do === "leave") return remove(tab, number);
      const found = tabs.get(tab)?.get(number);
      if (!found) return;
      const { topic, subscriber } = found;
      if (frame.do === "request") topic.requested(subscriber, frame.round, frame.request);
      else if (frame.do === "publish") topic.publish(subscriber, frame.ref, frame.draft);
      else topic.say(subscriber, frame.state, frame.at);
    },
    gone(tab) {
      for (const number of [...(tabs.get(tab)?.keys() ?? [])]) remove(tab, number);
    },
    close() {
      over = true;
      // Not topic by topic: members who unsubscribe have gone, those who are cut off are waited for.
      for (const leave of [...leavers]) leave();
      for (const topic of topics.values()) topic.close();
      topics.clear();
      tabs.clear();
    },
  };
}
