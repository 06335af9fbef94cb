/**
 * Members of a topic: the public types of presence.
 *
 * Rule: this file imports nothing, as `message.ts`, for the same reason.
 */

/** One who is here. */
export interface Member<Info = unknown, State = unknown> {
  readonly subject: string;
  /** What the app says of them. */
  readonly info: Info | undefined;
  /** What they say of themselves. */
  readonly state: State | undefined;
  /** When they came, in unix milliseconds. */
  readonly since: number;
}

export type PresenceEvent = "join" | "leave" | "update";

/** Who is at a channel's topic. Followed while anybody listens. */
export interface Presence<Info = unknown, State = unknown> {
  /** In the order in which they came; the same array while nothing changes. */
  readonly members: readonly Member<Info, State>[];
  /** Oneself, where one is a member. */
  readonly me: Member<Info, State> | undefined;
  /** Connections that are no members. */
  readonly guests: number;
  /** The list is whole: all who were here at the beginning have been named. */
  readonly synced: boolean;
  /**
   * Say something of oneself; the newest counts. Said again after each reconnect, and kept until
   * the channel is closed. A function is given what was said last.
   */
  update(state: State | ((last: State | undefined) => State)): void;
  /** Called for each change of a member, from when the list is whole. Gives what ends that. */
  on(event: PresenceEvent, handler: (member: Member<Info, State>) => void): () => void;
  /** Called after each change of the list. */
  subscribe(listener: () => void): () => void;
}
