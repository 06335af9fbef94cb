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

/** Timeout of one answer. */
const ANSWER_MS = 30_000;

export interface StreamSettings {
  readonly environment: Environment;
  /** The server's origin, or the address of its channels. */
  readonly base: string;
  /** The name of the credentials' header. */
  readonly header: string;
  readonly keepaliveMs: number;
}

/** A request with cookies and credentials, never from a cache. */
export function sendRequest(
  { environment, header }: StreamSettings,
  url: URL,
  auth: string | null | undefined,
  init: RequestInit = {},
): Promise<Response> {
  const headers = { ...init.headers, ...(auth && { [header]: auth }) };
  return environment.fetch(url, { cache: "no-store", credentials: "include", ...init, headers });
}

/** The outcome of an unexpected answer. Rejects where it is cut. */
export async function refusal(response: Response, text?: string): Promise<Outcome> {
  const { status, headers } = response;
  const { code, error } = (parse(text ?? (await response.text())) ?? {}) as { code?: unknown; error?: unknown };
  const ours = typeof code === "string" && typeof error === "string";
  const other = `HTTP ${status} (${headers.get("content-type")}), not from takotwist: something between answers, or the url is wrong.`;
  return ofStatus(status, ours ? code : undefined, ours ? error : other, headers.get("retry-after"), Date.now());
}

/**
 * A request that has one answer: its body where `read` takes it, else what it means. Never
 * rejects, and gives up in time.
 * @param until ends it early
 */
export async function exchange<Body>(
  settings: StreamSettings,
  url: URL,
  auth: string | null | undefined,
  read: (json: unknown) => Body | undefined,
  until: AbortSignal,
  init: RequestInit = {},
): Promise<{ readonly body: Body } | Outcome> {
  const abort = new AbortController();
  const { signal } = abort;
  const stop = () => abort.abort();
  const stopTimer = settings.environment.later(ANSWER_MS, stop);
  until.addEventListener("abort", stop, { signal });
  try {
    const response = await sendRequest(settings, url, auth, { ...init, signal });
    const text = await response.text();
    const body = response.ok ? read(parse(text)) : undefined;
    return body === undefined ? await refusal(response, text) : { body };
  } catch {
    return signal.aborted ? SILENT : LOST;
  } finally {
    stopTimer();
    stop();
  }
}

export function openStream(settings: StreamSettings, events: LinkEvents): Link {
  const { environment, base, keepaliveMs } = settings;
  const abort = new AbortController();
  const { signal } = abort;
  const watchdog = watch(environment, keepaliveMs, () => end(SILENT));
  /** The server's name for this stream. */
  let connection: string | undefined;
  let unsaid: { readonly state: unknown } | undefined;

  function close(): void {
    watchdog.stop();
    abort.abort();
  }

  function end(outcome: Outcome): void {
    if (signal.aborted) return;
    close();
    events.ended(outcome);
  }

  async function read({ channel, params, cursor, auth, reset, presence }: Request): Promise<Outcome> {
    const url = channelUrl(base, channel, params, { stale: reset ? "reset" : undefined });
    if (presence) url.pathname += "/presence";
    const headers: Record<string, string> = { accept: "text/event-stream" };
    if (cursor) headers["last-event-id"] = cursor;
    const response = await sendRequest(settings, url, auth, { headers, signal });
    const { status, body } = response;
    watchdog.heard();
    if (status !== 200 || !body || !isEventStream(response.headers.get("content-type"))) return refusal(response);

    events.attached();
    let broken = false;
    const push = eventStream(({ event = "message", data, id }) => {
      if (broken || signal.aborted) return;
      if (event === "tako.open" || event === "tako.reset") named(data);
      if (data !== undefined && event === "message") {
        const message = readMessage(parse(data));
        if (message) events.message(message);
        else broken = true;
      } else if (event === "tako.reset") events.reset((parse(data) ?? {}) as object);
      else {
        if (id) events.moved(id);
        if (event === "tako.synced") events.synced?.();
      }
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

  /** The first block names the connection, where one can speak of oneself. */
  function named(data: string | undefined): void {
    connection = connectionOf(data) ?? connection;
    const first = unsaid;
    unsaid = undefined;
    if (first) void say(first.state);
  }

  async function say(state: unknown): Promise<void> {
    if (!connection) return void (unsaid = { state });
    const { channel, params, auth } = await events.request();
    const url = channelUrl(base, channel, params);
    url.pathname += "/presence";
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify({ connection, state }) };
    await exchange(settings, url, auth, (json) => json, signal, init);
  }

  async function post({ type, data, key }: Draft): Promise<Answer> {
    const { channel, params, auth } = await events.request();
    const init = {
      method: "POST",
      headers: { "content-type": "application/json", "idempotency-key": key },
      body: JSON.stringify({ type, data }),
    };
    const answer = await exchange(settings, channelUrl(base, channel, params), auth, readMessage, signal, init);
    return "body" in answer ? answer.body.id : answer;
  }

  events
    .request()
    .then((request) => (signal.aborted ? LOST : read(request).catch(() => LOST)), () => NO_CREDENTIALS)
    .then(end);

  return {
    serial: true,
    publish: (draft, answer) => void post(draft).then(answer, () => answer(LOST)),
    say: (state) => void say(state).catch(() => {}),
    close,
  };
}

function connectionOf(data: string | undefined): string | undefined {
  const value = parse(data) as { connection?: unknown; data?: { connection?: unknown } } | undefined;
  const named = value?.data?.connection ?? value?.connection;
  return typeof named === "string" ? named : undefined;
}
