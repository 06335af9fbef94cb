/**
 * The browser's own `EventSource` as a transport: `channel(name, { transport: eventSource })`.
 *
 * For pages that want the browser's tools to show the stream. It can send no
 * headers, so credentials go as `access_token`, which the channel must allow; it
 * shows no statuses, so a refusal looks like a server that is away; it hides
 * keepalives, so there is no watchdog; and it cannot publish.
 */

import type { EventSourceLike } from "./environment.js";
import { parse, readMessage } from "./link.js";
import { BROKEN, LOST, NO_CREDENTIALS, ofCode, type Outcome } from "./outcome.js";
import { channelUrl } from "./topic.js";
import type { TransportFactory } from "./types.js";

const CLOSED = 2;

export const eventSource: TransportFactory = ({ environment, base }, events) => {
  let source: EventSourceLike | undefined;
  let over = false;

  function close(): void {
    over = true;
    source?.close();
  }

  function end(outcome: Outcome): void {
    if (over) return;
    close();
    events.ended(outcome);
  }

  events.request().then(
    ({ channel, params, cursor, auth, presence }) => {
      if (over) return;
      const EventSource = environment.EventSource ?? globalThis.EventSource;
      if (!EventSource) return end({ action: "stop", code: "no-eventsource", message: "There is no EventSource here." });
      const extra = { access_token: auth, last_event_id: cursor, stale: "reset" };
      const url = channelUrl(base, channel, params, extra);
      if (presence) url.pathname += "/presence";
      const opened = new EventSource(url.href, { withCredentials: true });
      source = opened;
      opened.onopen = () => events.attached();
      opened.onmessage = (event: { data: string }) => {
        const message = readMessage(parse(event.data));
        if (message) events.message(message);
        else end(BROKEN);
      };
      // Where the browser tries again by itself it keeps its cursor too.
      opened.onerror = () => (opened.readyState === CLOSED ? end(LOST) : events.lost(LOST));
      // `onmessage` does not see it; an older server sends none, and its cursor stays hidden until the first message.
      opened.addEventListener("tako.open", ({ data }) => {
        const message = readMessage(parse(data));
        if (message) events.moved(message.id);
      });
      opened.addEventListener("tako.synced", () => events.synced?.());
      opened.addEventListener("tako.reset", (event) => events.reset((parse(event.data) ?? {}) as object));
    },
    () => end(NO_CREDENTIALS),
  );

  return {
    serial: true,
    publish: (_draft, answer) => answer(ofCode("transport-not-enabled", "An EventSource cannot publish.")),
    close,
  };
};
