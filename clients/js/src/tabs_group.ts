/**
 * The tabs that share a connection, and which of them leads.
 *
 * The leader holds a lock that all others queue for, so one is elected as soon as it is gone, whatever
 * became of it. One that holds the lock and does not answer (a frozen page, a debugger) has it stolen;
 * it is told so when it runs again.
 *
 *     standing    what comes next     why
 *     out         joining             a channel is opened; the page is back
 *     joining     candidate           its own lock, by which others see it live, is held
 *                 leading             there are no locks here: alone, and nobody is told
 *     candidate   following           the leader said so
 *                 leading             the lock is free, or was stolen
 *     following   following           another one leads now
 *                 leading             the lock is free, or was stolen
 *     leading     candidate           the lock was stolen
 *     any         out                 the last channel was closed; the page was left, or is frozen
 *
 * Rule: nothing is carried from one leader to the next; each subscription says itself where it is.
 */

import { type Environment, laterOrAwake } from "./environment.js";
import type { Address, Status, TabFrame, ToLeader, TopicEvent } from "./tabs_frames.js";
import type { BroadcastLike, TabPage } from "./tabs_page.js";
import { type Watchdog, watch } from "./watchdog.js";

export type Standing = "out" | "joining" | "candidate" | "following" | "leading";

export const MAY_FOLLOW: Readonly<Record<Standing, readonly Standing[]>> = {
  out: ["joining"],
  joining: ["candidate", "leading", "out"],
  candidate: ["following", "leading", "out"],
  following: ["following", "leading", "out"],
  leading: ["candidate", "out"],
};

/** Silence of the leader after which it is asked; after as long again it has the lock stolen. */
const SILENCE_MS = 4_000;
/** Up to this is added by chance, so that not all followers steal at once. */
const SILENCE_SPREAD_MS = 1_000;
/** Until a page that stopped tries again, should nothing wake it: its timers stand still meanwhile. */
const BACK_MS = 1_000;

export interface GroupEvents {
  /** There is a leader, or another one. @param own it is this tab */
  led(own: boolean): void;
  /** There is none that can be spoken to. */
  unled(): void;
  /** This tab is told something. */
  event(subscribers: readonly number[], event: TopicEvent): void;
  /** While leading: a tab wants something. */
  asked(tab: string, frame: ToLeader): void;
  /** While leading: a tab is not there any more. */
  gone(tab: string): void;
  /** While leading: how is it? */
  status(): Omit<Status, "hidden">;
}

export interface Group {
  enter(): void;
  leave(): void;
  /** To the leader, which is another tab. */
  say(frame: ToLeader): void;
  /** While leading: to others. */
  tell(to: readonly Address[], event: TopicEvent): void;
  /** While leading: the status has changed. */
  announce(): void;
  /** The status of the leader, which is another tab. */
  readonly status: Status | undefined;
}

/** @param name of the lock and the channel */
export function createGroup(environment: Environment, page: TabPage, name: () => Promise<string>, events: GroupEvents): Group {
  let standing: Standing = "out";
  let group = "";
  let id = "";
  let channel: BroadcastLike | undefined;
  let leader = "";
  let term = 0;
  let status: Status | undefined;
  let stealing = false;
  let watchdog: Watchdog | undefined;
  let releaseOwn: (() => void) | undefined;
  let releaseLead: (() => void) | undefined;
  let stopListening: (() => void) | undefined;
  let cancelBack: (() => void) | undefined;
  /** Of tabs that have asked for something: granted when they are gone. */
  const watched = new Map<string, () => void>();

  function become(next: Standing): void {
    if (!MAY_FOLLOW[standing].includes(next)) throw new Error(`${standing} is not followed by ${next}`);
    standing = next;
  }

  /**
   * Hold a lock until what this gives is called.
   * @param failed called with an `AbortError` where it was stolen
   */
  function hold(lock: string, steal: boolean, granted: () => void, failed: (error: unknown) => void): () => void {
    const abort = new AbortController();
    let over = false;
    let free = () => {};
    const run = () => {
      if (over) return;
      granted();
      // It may have been given back at once.
      if (!over) return new Promise<void>((resolve) => (free = resolve));
    };
    // A lock that is stolen is granted at once, and takes no signal.
    page.locks.request(lock, steal ? { steal } : { signal: abort.signal }, run).catch((error) => over || failed(error));
    return () => {
      over = true;
      abort.abort();
      free();
    };
  }

  function post(frame: TabFrame): void {
    channel?.postMessage(frame);
  }

  function enter(): void {
    cancelBack?.();
    cancelBack = undefined;
    if (standing !== "out") return;
    become("joining");
    const mine = (id = page.newId());
    stopListening = page.onStop(stop);
    const current = () => standing === "joining" && id === mine;
    name().then(
      (known) => {
        if (!current()) return;
        group = known;
        releaseOwn = hold(`${group} ${id}`, false, () => current() && listen(), () => current() && alone());
      },
      () => current() && alone(),
    );
  }

  function listen(): void {
    try {
      channel = new page.BroadcastChannel(group);
    } catch {
      return alone();
    }
    channel.onmessage = (event: { data: TabFrame }) => received(event.data);
    become("candidate");
    candidate();
  }

  function candidate(): void {
    const silence = SILENCE_MS + environment.random() * SILENCE_SPREAD_MS;
    const hello = () => post({ do: "hello", from: id });
    // That the page is left is heard of elsewhere, and is not the leader's silence.
    const onWake: Environment["onWake"] = (run) => environment.onWake(run);
    watchdog = watch({ ...environment, onWake }, silence, steal, hello);
    queue(false);
    hello();
  }

  /** Be the next leader; at once where the lock is stolen. */
  function queue(steals: boolean): void {
    releaseLead?.();
    releaseLead = hold(group, steals, lead, (error) => {
      if ((error as Error | undefined)?.name !== "AbortError") return standing === "leading" || alone();
      stealing = false;
      // It was stolen before this tab knew that it had it.
      if (standing !== "leading") return queue(false);
      become("candidate");
      forget();
      candidate();
    });
  }

  function steal(): void {
    if (stealing) return;
    stealing = true;
    queue(true);
  }

  function lead(): void {
    if (standing === "following") events.unled();
    become("leading");
    watchdog?.stop();
    watchdog = status = undefined;
    stealing = false;
    // Above all that was heard of; and of those that were not, by the clock.
    term = Math.max(term + 1, page.clock());
    leader = id;
    events.led(true);
    announce();
  }

  /** Locks are refused here, as in a frame without an origin: this tab has its own connection. */
  function alone(): void {
    channel?.close();
    channel = undefined;
    if (standing === "following") events.unled();
    become("leading");
    watchdog?.stop();
    watchdog = undefined;
    events.led(true);
  }

  function announce(): void {
    post({ do: "lead", from: id, term, hidden: page.hidden(), ...events.status() });
  }

  function received(frame: TabFrame): void {
    if (frame.do === "hello") {
      if (standing === "leading") announce();
    } else if (frame.do === "lead") {
      // Who leads learns by its lock that it does no more.
      if (standing !== "leading" && frame.term >= term) follow(frame);
    } else if (frame.do === "to-leader") {
      if (standing !== "leading" || frame.leader !== id) return;
      see(frame.from);
      events.asked(frame.from, frame.frame);
    } else if (standing === "following" && frame.from === leader) {
      watchdog?.heard();
      const mine = frame.to.filter(({ tab }) => tab === id).map(({ subscriber }) => subscriber);
      if (mine.length) events.event(mine, frame.event);
    }
  }

  function follow({ from, term: of, ...now }: Extract<TabFrame, { do: "lead" }>): void {
    watchdog?.heard();
    status = now;
    if (standing !== "following" || from !== leader || of !== term) {
      if (standing === "following") events.unled();
      leader = from;
      term = of;
      stealing = false;
      become("following");
      events.led(false);
    }
    // The timers of a hidden page are slow, and there is somebody who waits here.
    if (status?.hidden && status.lost && !page.hidden()) steal();
  }

  /** Hear when a tab that is served has gone: its lock is free then. */
  function see(tab: string): void {
    if (watched.has(tab)) return;
    const gone = () => {
      watched.get(tab)?.();
      watched.delete(tab);
      events.gone(tab);
    };
    watched.set(tab, hold(`${group} ${tab}`, false, gone, () => watched.delete(tab)));
  }

  function forget(): void {
    for (const release of watched.values()) release();
    watched.clear();
    events.unled();
  }

  function leave(): void {
    cancelBack?.();
    cancelBack = undefined;
    if (standing === "out") return;
    const spoke = standing === "leading" || standing === "following";
    become("out");
    watchdog?.stop();
    stopListening?.();
    // First the connection: who leads next is not to be the second one.
    if (spoke) forget();
    releaseLead?.();
    channel?.close();
    releaseOwn?.();
    watchdog = channel = status = releaseLead = releaseOwn = undefined;
    leader = "";
    // Who leads after a clock was set back has a lower one.
    term = 0;
    stealing = false;
  }

  function stop(): void {
    leave();
    cancelBack = laterOrAwake(environment, BACK_MS, enter);
  }

  return {
    enter,
    leave,
    say: (frame) => post({ do: "to-leader", from: id, leader, frame }),
    tell: (to, event) => post({ do: "to-tabs", from: id, to, event }),
    announce,
    get status() {
      return status;
    },
  };
}
