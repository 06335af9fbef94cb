/**
 * One topic over SSE, read through `fetch` (protocol, section 4).
 *
 * `fetch` and not `EventSource`, because it can send headers, shows statuses and
 * lets keepalives be seen. Publishing is a POST, which needs a publish key.
 */

import type { Environment } from "./environment.js";
import { eventStream } from "./event_stream.js";
import { type Answer, type Draft, type Link, type LinkEvents, parse, type Request, readMessage } from "./link.js";
import { BROKEN, isEventStream, LOST, NO_CREDENTIALS, ofStatus, type Outcome, SILENT } from "./outcome.js";
import { channelUrl } from "./topic.js";
import { watch } from "./watchdog.js";

export interface StreamSettings {
  readonly environment: Environment;
  /** The server's origin, or the address of its channels. */
  readonly base: string;
  /** The name of the credentials' header. */
  readonly header: string;
  readonly keepaliveMs: number;
}

/** A request with cookies and credentials, never from a cache. */
export function ask(
  { environment, header }: StreamSettings,
  url: URL,
  auth: string | null | undefined,
  init: RequestInit = {},
): Promise<Response> {
  const headers = { ...init.headers, ...(auth && { [header]: auth }) };
  return environment.fetch(url, { cache: "no-store", credentials: "include", ...init, headers });
}

/** What an answer that is not the one hoped for means. */
export async function refusal(response: Response): Promise<Outcome> {
  const { code, error } = (parse(await response.text()) ?? {}) as { code?: string; error?: string };
  return ofStatus(response.status, code, error, response.headers.get("retry-after"), Date.now());
}

export function openStream(settings: StreamSettings, events: LinkEvents): Link {
  const { environment, base, keepaliveMs } = settings;
  const abort = new AbortController();
  const { signal } = abort;
  const watchdog = watch(environment, keepaliveMs, () => end(SILENT));

  function close(): void {
    watchdog.stop();
    abort.abort();
  }

  function end(outcome: Outcome): void {
    if (signal.aborted) return;
    close();
    events.ended(outcome);
  }

  async function read({ channel, params, cursor, auth, reset }: Request): Promise<Outcome> {
    const url = channelUrl(base, channel, params, { stale: reset ? "reset" : undefined });
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (cursor) headers["last-event-id"] = cursor;
    const response = await ask(settings, url, auth, { headers, signal });
    const { status, body } = response;
    watchdog.heard();
    if (status !== 200 || !body || !isEventStream(response.headers.get("content-type"))) return refusal(response);

    events.attached();
    let broken = false;
    const push = eventStream(({ event = "message", data, id }) => {
      if (broken || signal.aborted) return;
      if (data !== undefined && event === "message") {
        const message = readMessage(parse(data));
        if (message) events.message(message);
        else broken = true;
      } else if (event === "tako.reset") events.reset(parse(data) as object);
      else if (id) events.moved(id);
    }, events.retry);
    const decoder = new TextDecoder();
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return LOST;
      watchdog.heard();
      if (!push(decoder.decode(value, { stream: true })) || broken) return BROKEN;
    }
  }

  async function post({ type, data, key }: Draft): Promise<Answer> {
    const { channel, params, auth } = await events.request();
    const response = await ask(settings, channelUrl(base, channel, params), auth, {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key },
      body: JSON.stringify({ type, data }),
    });
    return response.ok ? ((await response.json()) as { id: string }).id : refusal(response);
  }

  events
    .request()
    .then((request) => (signal.aborted ? LOST : read(request).catch(() => LOST)), () => NO_CREDENTIALS)
    .then(end);

  return {
    serial: true,
    publish: (draft, answer) => void post(draft).then(answer, () => answer(LOST)),
    close,
  };
}
