/**
 * What tabs say to each other: plain data, as a BroadcastChannel copies it.
 *
 * Rule: a frame is for the leader, or for the subscribers that it names; whoever else hears it does
 * not listen. Builds that speak otherwise have another `VERSION`, and so another leader.
 */

import type { Answer, Draft, Request } from "./link.js";
import type { Message } from "./message.js";
import type { Outcome } from "./outcome.js";

export const VERSION = 1;

/** The leader's condition. */
export interface Status {
  /** Its page is hidden: its timers are slow. */
  readonly hidden: boolean;
  /** Its connection is lost, and is being made anew. */
  readonly lost: boolean;
  /** Its WebSocket seems to be blocked. */
  readonly blocked: boolean;
}

/** Of one subscription of a tab, by its number there. */
export type ToLeader = { readonly subscriber: number } & (
  | { readonly do: "join"; readonly name: string }
  /** The answer to `ask` of that `round`. */
  | { readonly do: "request"; readonly round: number; readonly request: Request }
  | { readonly do: "publish"; readonly ref: number; readonly draft: Draft }
  /** `state` in JSON, left out where it is nothing; when it was said by the wall clock. */
  | { readonly do: "say"; readonly state: string | undefined; readonly at: number }
  | { readonly do: "leave" }
);

/** What happens at a topic, as in `LinkEvents`. */
export type TopicEvent =
  /** The connection is there: what is to be subscribed? */
  | { readonly do: "ask"; readonly round: number }
  | { readonly do: "attached"; readonly subject: string | undefined }
  | { readonly do: "moved"; readonly cursor: string }
  | { readonly do: "message"; readonly message: Message }
  | { readonly do: "reset"; readonly reset: { readonly reason?: string; readonly cursor?: string } }
  | { readonly do: "synced" }
  | { readonly do: "lost"; readonly outcome: Outcome }
  | { readonly do: "ended"; readonly outcome: Outcome }
  | { readonly do: "answer"; readonly ref: number; readonly answer: Answer };

/** One subscription of one tab. */
export interface Address {
  readonly tab: string;
  readonly subscriber: number;
}

/** All that goes over the channel. */
export type TabFrame = { readonly from: string } & (
  /** Who leads? Answered by `lead`; so is being asked whether one is alive. */
  | { readonly do: "hello" }
  /** I do. A higher `term` is a later leader. */
  | ({ readonly do: "lead"; readonly term: number } & Status)
  | { readonly do: "to-leader"; readonly leader: string; readonly frame: ToLeader }
  | { readonly do: "to-tabs"; readonly to: readonly Address[]; readonly event: TopicEvent }
);
