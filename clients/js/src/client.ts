/**
 * The parts put together: one client has one pool of connections.
 *
 * Rule: handles of one topic share a subscription and subscriptions of one server
 * share a connection, unless what they ask for cannot be shared.
 */

import { resolveCredentials } from "./credentials.js";
import { createDiagnosis } from "./diagnosis.js";
import { ambient, type Environment } from "./environment.js";
import { createHandle } from "./handle.js";
import { createMux, type Mux, type MuxFactory } from "./mux.js";
import { errorOf, NO_CREDENTIALS, type Outcome } from "./outcome.js";
import { createPresence } from "./presence.js";
import { exchange } from "./stream.js";
import { createSubscription, type Subscription } from "./subscription.js";
import { channelUrl, connectUrl, topicName } from "./topic.js";
import type {
  Channel,
  ChannelName,
  ChannelOf,
  ChannelOptions,
  HistoryOptions,
  HistoryPage,
  NameFor,
  OptionsOf,
  Registered,
  TransportFactory,
} from "./types.js";
import { checkedParams, toJson } from "./values.js";

/** Defaults for every channel, and what to use in place of the globals. */
export interface ClientOptions extends Omit<ChannelOptions, "params" | "cursor">, Partial<Environment> {
  /** Who makes the connection that channels share: `sharedTabs()` of `takotwist/tabs`, for all tabs. Default: this page alone. */
  readonly tabs?: MuxFactory;
}

/** Arguments of a client of named channels; without names there is no such client. */
export type DefaultsFor<Channels extends object> = [Channels] extends [never] ? [never] : [defaults?: ClientOptions];

/** @typeParam Channels its server's, where it is not the page's own: the `Channels` that `tako types` writes. */
export interface Client<Channels extends object = Registered> {
  /** A channel of any name, with these messages. */
  channel<Messages extends object = never>(name: NameFor<Messages>, options?: ChannelOptions): Channel<Messages>;
  /**
   * A channel by name.
   *
   * Nothing connects before the first handler, iteration or publish.
   * @throws TypeError for a `url` that is none, or without one where there is no page
   */
  channel<Name extends ChannelName<Channels>>(
    name: Name,
    ...options: OptionsOf<Name, Channels>
  ): ChannelOf<Name, Channels>;
}

/** A client with connections of its own; `createClient<Channels>()` where its server is not the page's own. */
export function createClient<Channels extends object = never>(...defaults: DefaultsFor<Channels>): Client<Channels>;
export function createClient(defaults?: ClientOptions): Client;
export function createClient(defaults: ClientOptions = {}): Client {
  const environment: Environment = { ...ambient(), ...defaults };
  const subscriptions = new Map<string, Subscription>();
  const connections = new Map<Mux, string>();
  const diagnose = createDiagnosis(environment);

  /** The connection to a server; a second one where the topic is on the first already. */
  function join(url: string, topic: string, auth: string | undefined): Mux {
    for (const [mux, to] of connections) if (to === url && !mux.has(topic, auth)) return mux;
    const mux = (defaults.tabs ?? createMux)(environment, url, () => connections.delete(mux), auth);
    connections.set(mux, url);
    return mux;
  }

  function channel(name: string, options: ChannelOptions = {}): Channel {
    const all: ChannelOptions = { ...defaults, ...options };
    const { credentials, onGone } = all;
    let { params = {}, transport = "auto" } = all;
    let invalid: Outcome | undefined;
    try {
      toJson(name);
      params = checkedParams(params);
    } catch (cause) {
      invalid = { action: "stop", code: "params-invalid", message: (cause as Error).message };
      params = {};
      transport = refusingTransport(invalid);
    }
    const cursor = all.cursor && String(all.cursor);
    const { url: base = globalThis.location?.origin, header = "authorization", keepaliveMs = 25_000 } = all;
    const gone = onGone ? "ask" : (all.stale ?? "reset");
    const settings = { environment, base, header, keepaliveMs };
    const url = connectUrl(base);
    const topic = topicName(name, params);
    // Functions count as the same: the newest listener's is asked.
    const auth = typeof credentials === "function" ? "" : credentials;
    const shared = [base, topic, transport, gone, header, auth, invalid?.message].join();

    function subscription(presence = false): Subscription {
      // A cursor of its own is no place that others can join.
      const from = presence ? undefined : cursor;
      const name_ = presence ? `~${topic}` : topic;
      const key = presence ? `~${shared}` : shared;
      const known = from ? undefined : subscriptions.get(key);
      if (known) return known;
      const made = createSubscription({
        ...settings,
        channel: name,
        params,
        name: name_,
        transport,
        cursor: from,
        gone: presence ? "reset" : gone,
        mux: environment.WebSocket && (() => join(url, name_, auth)),
        watcher: diagnose(base as string, topic),
        presence,
        onEnd() {
          if (subscriptions.get(key) === made) subscriptions.delete(key);
        },
      });
      if (!from) subscriptions.set(key, made);
      return made;
    }

    async function history(until: AbortSignal, options?: HistoryOptions): Promise<HistoryPage> {
      if (invalid) throw errorOf(invalid);
      const token = await resolveCredentials(environment, credentials, false, until).catch(() => {
        throw errorOf(NO_CREDENTIALS);
      });
      const address = channelUrl(base, name, params, { ...options });
      address.pathname += "/history";
      const answer = await exchange(settings, address, token, readHistory, until);
      if ("body" in answer) return answer.body;
      throw errorOf(answer);
    }

    return createHandle(name, all, subscription, history, (room, until) =>
      createPresence(environment, credentials, () => subscription(true), room, until),
    );
  }

  // The map of types is the caller's word; at run time every message is the same.
  return { channel: channel as Client["channel"] };
}

/** A transport that ends as if the server had refused, so that a invalid argument is shown like a refusal. */
function refusingTransport(outcome: Outcome): TransportFactory {
  return (_settings, events) => {
    // A turn later: a link cannot end before the caller has it.
    queueMicrotask(() => events.ended(outcome));
    return { publish() {}, close() {} };
  };
}

function readHistory(value: unknown): HistoryPage | undefined {
  return Array.isArray((value as Partial<HistoryPage> | undefined)?.messages) ? (value as HistoryPage) : undefined;
}
