/**
 * Who is here: the members of a topic, kept up to date from its roster.
 *
 * Rule: a member is one object until something of it changes, and the list is one array until
 * something of it does, so that who compares identities renders what changed and nothing else.
 */

import type { Environment } from "./environment.js";
import type { Member, Presence, PresenceEvent } from "./member.js";
import type { Listener, Subscription } from "./subscription.js";
import type { Credentials, Message } from "./types.js";

/** What a message of a roster says. */
interface Said {
  readonly subject?: string;
  readonly on?: string;
  readonly since: number;
  readonly info?: unknown;
  readonly state?: unknown;
  readonly count?: number;
}

/** With the ids of the messages that said info and state first: its own where they are new. */
interface Entry extends Said {
  readonly infoId: string;
  readonly stateId: string;
}

/** States that are said in a burst are one, ten times a second: the server stores no more. */
const UPDATE_MS = 100;

/** Who is here by what a roster has said; pure. */
export interface RosterView {
  readonly members: readonly Member[];
  readonly guests: number;
  /** Take the next message; what it changes for who looks at members. */
  apply(message: Message): { readonly event: PresenceEvent; readonly member: Member } | undefined;
  /** Begin anew. */
  clear(): void;
}

export function createRosterView(): RosterView {
  /** Subject -> node -> its newest entry: a member is here while any node says so. */
  const entries = new Map<string, Map<string, Entry>>();
  const counts = new Map<string, number>();
  const members = new Map<string, Member>();
  let list: readonly Member[] = [];

  function refresh(): void {
    list = [...members.values()].sort((one, other) => one.since - other.since || (one.subject < other.subject ? -1 : 1));
  }

  /** The same object where nothing of it has changed. */
  function newest(subject: string, nodes: Map<string, Entry>): Member {
    const said = [...nodes.values()];
    const since = Math.min(...said.map((each) => each.since));
    // Of each the newest that was said: a tab on another node has said nothing yet, or repeats.
    const last = (name: "info" | "state") =>
      said.sort((one, other) => +other[`${name}Id`] - +one[`${name}Id`]).find((each) => name in each)?.[name];
    const before = members.get(subject);
    const now = { subject, info: last("info"), state: last("state"), since };
    return before && JSON.stringify(before) === JSON.stringify(now) ? before : now;
  }

  return {
    get members() {
      return list;
    },
    get guests() {
      return [...counts.values()].reduce((sum, count) => sum + count, 0);
    },
    apply({ id, type, data }) {
      const said = data as Said;
      const { subject, on = "" } = said;
      if (said.count !== undefined) {
        counts.set(on, said.count);
        return undefined;
      }
      if (subject === undefined) return undefined;
      const nodes = entries.get(subject) ?? new Map<string, Entry>();
      const before = members.get(subject);
      if (type === "tako.leave") nodes.delete(on);
      else nodes.set(on, { infoId: id, stateId: id, ...said });
      if (!nodes.size) {
        entries.delete(subject);
        if (!before) return undefined;
        members.delete(subject);
        refresh();
        return { event: "leave", member: before };
      }
      entries.set(subject, nodes);
      const member = newest(subject, nodes);
      if (member === before) return undefined;
      members.set(subject, member);
      refresh();
      return { event: before ? "update" : "join", member };
    },
    clear() {
      entries.clear();
      counts.clear();
      members.clear();
      list = [];
    },
  };
}

/**
 * @param roster subscribes to the roster
 * @param room the subscription of the topic itself, which makes one a member
 */
export function createPresence(
  environment: Environment,
  credentials: Credentials | undefined,
  roster: () => Subscription,
  room: () => Subscription | undefined,
  until: AbortSignal,
): Presence {
  const view = createRosterView();
  const handlers = new Map<PresenceEvent, Set<(member: Member) => void>>();
  const listeners = new Set<() => void>();
  let synced = false;
  let subscription: Subscription | undefined;
  let said: unknown;
  let cancelUpdate: (() => void) | undefined;
  let waiting = false;

  const listener: Listener = {
    credentials,
    message(message) {
      const change = view.apply(message);
      if (change && synced) for (const handler of [...(handlers.get(change.event) ?? [])]) report(handler, change.member);
      if (synced) changed();
    },
    synced() {
      if (synced) return;
      synced = true;
      changed();
    },
    reset() {
      // What comes now is the list from its beginning.
      view.clear();
      synced = false;
    },
    ask: () => undefined,
    state() {},
  };

  function changed(): void {
    for (const each of [...listeners]) report(each);
  }

  function follow(): () => void {
    if (until.aborted) return () => {};
    if (!subscription) {
      room();
      subscription = roster();
      subscription.attach(listener);
    }
    return () => {
      // A turn later: who changes a handler takes one off and puts another on.
      queueMicrotask(() => {
        if (listeners.size || [...handlers.values()].some((set) => set.size)) return;
        unfollow();
      });
    };
  }

  function unfollow(): void {
    subscription?.detach(listener);
    subscription = undefined;
    view.clear();
    synced = false;
  }

  function say(): void {
    waiting = false;
    room()?.say(said);
    cancelUpdate = environment.later(UPDATE_MS, () => {
      cancelUpdate = undefined;
      if (waiting) say();
    });
  }

  until.addEventListener("abort", () => {
    cancelUpdate?.();
    unfollow();
    listeners.clear();
    handlers.clear();
  });

  return {
    get members() {
      return view.members;
    },
    get me() {
      const subject = subscription?.subject() ?? room()?.subject();
      return view.members.find((member) => member.subject === subject);
    },
    get guests() {
      return view.guests;
    },
    get synced() {
      return synced;
    },
    update(state) {
      if (until.aborted) return;
      said = typeof state === "function" ? (state as (last: unknown) => unknown)(said) : state;
      waiting = true;
      if (!cancelUpdate) say();
    },
    on(event, handler) {
      const set = handlers.get(event) ?? new Set();
      handlers.set(event, set.add(handler));
      const release = follow();
      return () => {
        set.delete(handler);
        release();
      };
    },
    subscribe(each) {
      listeners.add(each);
      const release = follow();
      return () => {
        listeners.delete(each);
        release();
      };
    },
  };
}

/** Run a caller's code; what it throws is reported like that of any event listener. */
function report<Values extends unknown[]>(run: (...values: Values) => void, ...values: Values): void {
  try {
    run(...values);
  } catch (error) {
    (globalThis.reportError ?? console.error)(error);
  }
}

/** Part of a state by which typing is told: above 0 while somebody does, and rising while they go on. */
export interface Typing {
  readonly typing?: number;
}

export interface TypingIndicator {
  /** To be called at each key: says it once, and takes it back after a while without another. */
  typed(): void;
  /** The message was sent, or the field was left. */
  stopped(): void;
  /** Others who are typing now. */
  who(): readonly Member[];
  /** Nothing is said any more. */
  close(): void;
}

/**
 * "Ada is typing", which ends by itself: also where Ada's page was closed in the middle of it.
 * @param ms after the last key
 */
export function typingIndicator<State extends Typing>(
  presence: Presence<never, State> | Presence<unknown, State>,
  ms = 3_000,
): TypingIndicator {
  const seen = new Map<string, { readonly state: unknown; readonly at: number }>();
  let typing = 0;
  let saidAt = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function say(now: number): void {
    if (typing === now) return;
    typing = now;
    saidAt = Date.now();
    presence.update((last: State | undefined) => ({ ...last, typing: now }) as State);
  }

  function stopped(): void {
    clearTimeout(timer);
    say(0);
  }

  return {
    typed() {
      clearTimeout(timer);
      timer = setTimeout(stopped, ms);
      if (!typing || Date.now() - saidAt >= 3 * ms) say(typing + 1);
    },
    stopped,
    who() {
      const now = Date.now();
      const me = presence.me?.subject;
      return (presence.members as readonly Member[]).filter((member) => {
        const { subject } = member;
        const state = member.state as Typing | undefined;
        let last = seen.get(subject);
        if (!state?.typing || subject === me) {
          seen.delete(subject);
          return false;
        }
        if (last?.state !== state) seen.set(subject, (last = { state, at: now }));
        // Who types on says so again; a page that was closed or reloaded does not.
        return now - last.at < 5 * ms;
      });
    },
    close: stopped,
  };
}
