/** What every client does, in any language: tests/vectors/client.json of the project. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Channel, ChannelGoneError, type ChannelOptions, createClient, TakoError } from "../src/index.js";
import { isEventStream, ofClose, ofCode, ofStatus, type Outcome, readRetryAfter, withCredentials } from "../src/outcome.js";
import { createRetries } from "../src/retries.js";
import { channelUrl } from "../src/topic.js";
import { World } from "./world.js";

interface Refusal {
  name: string;
  action: string;
  fixed?: string;
  none?: string;
  status: number;
  code: string | null;
  closeCode: number;
  reason: string;
  retryAfter?: string;
  retryAfterMs?: number;
  nowMs?: number;
  waitAtLeastMs?: number;
  contentType?: string;
}
type Output = Record<string, unknown>;
interface Step {
  do: Record<string, unknown>;
  expect: Output[];
  cursor?: string;
}
interface Session {
  name: string;
  transport: "sse" | "websocket" | "mux";
  cursor?: string;
  gone?: "reset" | "raise" | "ask";
  steps: Step[];
}
interface Vectors {
  version: number;
  http: Refusal[];
  close: Refusal[];
  topicErrors: Refusal[];
  sse: { name: string; bytes?: string; base64?: string; cursor?: string; steps: Output[] }[];
  backoff: {
    retryAfterCapMs: number;
    delays: { attempt: number; random: number; retryMs: number | null; retryAfterMs: number; delayMs: number }[];
    attempts: { name: string; events: string[]; attempt: number }[];
    now: { name: string; stable: boolean; action: "now" | "reauthenticate"; delay: "none" | "backoff" }[];
  };
  sessions: Session[];
  targets: { name: string; url: string; channel: string; params: Record<string, string>; gone?: string; sse: string }[];
}

const path = new URL("../../../tests/vectors/client.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8")) as Vectors;

function checkAction(row: Refusal, outcome: Outcome): void {
  expect(withCredentials(outcome, () => "new").action).toBe(row.action);
  expect(withCredentials(outcome, "fixed").action).toBe(row.fixed ?? row.action);
  expect(withCredentials(outcome, undefined).action).toBe(row.none ?? row.action);
}

test("the file is of the version that these tests know", () => expect(vectors.version).toBe(1));

describe("an HTTP answer", () => {
  test.each(vectors.http.map((row) => [row.name, row] as const))("%s", (_name, row) => {
    if (row.status === 200) {
      expect(isEventStream(row.contentType ?? null)).toBe(row.action === "open");
      if (row.action === "open") return;
    }
    const outcome = ofStatus(row.status, row.code, "", row.retryAfter, row.nowMs);
    checkAction(row, outcome);
    if (row.waitAtLeastMs !== undefined) expect(outcome.waitMs).toBe(row.waitAtLeastMs);
  });
});

describe("a close", () => {
  test.each(vectors.close.map((row) => [row.name, row] as const))("%s", (_name, row) =>
    checkAction(row, ofClose(row.closeCode, row.reason)),
  );
});

describe("an error that ends a topic", () => {
  test.each(vectors.topicErrors.map((row) => [row.name, row] as const))("%s", (_name, row) =>
    {
      const outcome = ofCode(row.code ?? undefined, undefined, row.retryAfterMs);
      checkAction(row, outcome);
      expect(outcome.waitMs).toBe(row.waitAtLeastMs);
    },
  );
});

describe("delays", () => {
  const passing: Outcome = { action: "backoff", code: "x" };
  const at = (random: number, time = { now: 0 }) =>
    createRetries({ ...new World().environment, now: () => time.now, random: () => random });

  test.each(vectors.backoff.delays)("$attempt, $random, $retryMs, $retryAfterMs", (row) => {
    const retries = at(row.random);
    if (row.retryMs !== null) retries.rebase(row.retryMs);
    for (let attempt = 0; attempt < row.attempt; attempt++) retries.delay(passing);
    expect(retries.delay({ ...passing, waitMs: row.retryAfterMs })).toBe(row.delayMs);
  });

  test.each(vectors.backoff.attempts)("$name", ({ events, attempt }) => {
    const time = { now: 0 };
    const retries = at(0.5, time);
    let delay = 0;
    for (const event of events) {
      if (event === "failed" || event === "lost") delay = retries.delay(passing);
      else if (event === "opened") retries.opened();
      else if (event === "message") retries.succeeded();
      else if (event === "stable") time.now += 5_000;
      else expect(event).toBe("cursor");
    }
    expect(delay).toBe(Math.min(15_000, 250 * 2 ** attempt));
  });

  test.each(vectors.backoff.now)("$name", ({ stable, action, delay }) => {
    const time = { now: 0 };
    const retries = at(0.5, time);
    if (action === "reauthenticate" && !stable) retries.delay({ action, code: "x" });
    retries.opened();
    if (stable) time.now += 5_000;
    const wait = retries.delay({ action, code: "x" });
    expect(wait > 0).toBe(delay === "backoff");
  });

  test("Retry-After has a cap", () =>
    expect(readRetryAfter("999999999", 0)).toBe(vectors.backoff.retryAfterCapMs));
});

describe("where channels are", () => {
  test.each(vectors.targets)("$name", ({ url, channel, params, gone, sse }) =>
    expect(channelUrl(url, channel, params, { stale: gone ? undefined : "reset" }).href).toBe(sse),
  );
});

/** One client, played by the steps of a session. */
class Player {
  readonly world = new World();
  readonly client = createClient({ ...this.world.environment, url: "https://x.example" });
  readonly channels = new Map<string, Channel>();
  readonly values = new Map<string, unknown>();
  publishes = 0;
  answerGone: (cursor: string | null) => void = () => {};

  open(topic: string | undefined, options: ChannelOptions): void {
    const channel = this.client.channel("chat", options);
    const { log } = this.world;
    const tag = topic === undefined ? {} : { topic };
    this.channels.set(topic ?? "", channel);
    channel.onState((state, error) => {
      if (error instanceof ChannelGoneError && state === "closed") log.push({ gone: { reason: error.code } });
      if (state === "closed") log.push({ stopped: { code: error?.code ?? null }, ...tag });
    });
    channel.subscribe((message) => {
      if (message.type !== "tako.reset") log.push({ deliver: message, ...tag });
      else {
        const { reason, cursor = null } = message.data as { reason: string; cursor?: string };
        log.push({ reset: { reason, cursor }, ...tag });
      }
    });
  }

  start(session: Session): void {
    this.open(undefined, {
      transport: "sse",
      stale: session.gone === "raise" ? "stop" : "reset",
      ...(session.cursor && { cursor: session.cursor }),
      ...(session.gone === "ask" && {
        onGone: ({ reason }) => {
          this.world.log.push({ gone: { reason } });
          return new Promise<string | void>((resolve) => (this.answerGone = (to) => resolve(to ?? undefined)));
        },
      }),
    });
  }

  act(session: Session, step: Record<string, unknown>): void | Promise<void> {
    const { world } = this;
    const [verb] = Object.keys(step) as [string];
    // Each verb has a shape of its own; the file is the authority on them.
    const what = step[verb] as any;
    switch (verb) {
      case "start":
        return this.start(session);
      case "subscribe": {
        const { topic, params, cursor, auth } = what;
        return this.open(topic, { transport: "websocket", params, ...(cursor && { cursor }), ...(auth && { credentials: auth }) });
      }
      case "unsubscribe":
        return this.channels.get(what)?.close();
      case "close":
        return this.channels.get("")?.close();
      case "response":
        if (what.status === 200) return world.request.stream(what.contentType);
        return world.request.answer(what.status, { code: what.code, error: "No." }, what.headers ?? {});
      case "bytes":
        return world.request.bytes(what);
      case "ended":
        return world.request.ended();
      case "failed":
        return world.request.failed();
      case "opened":
        return;
      case "frame":
        return world.socket.frame(this.fill(what));
      case "closed":
        return world.socket.lose(what.code, what.reason);
      case "advance":
        return world.advance(what);
      case "answerGone":
        return this.answerGone(what.cursor);
      case "publish": {
        const publish = this.publishes++;
        void this.channels.get(what.topic ?? "")?.publish(what.type, what.data).then(
          (id) => world.log.push({ published: { publish, id } }),
          (error: TakoError) => world.log.push({ failed: { publish, code: error.code } }),
        );
        return;
      }
      default:
        throw new Error(`a step that this player does not know: ${verb}`);
    }
  }

  /** Placeholders of a server's frame by their values. */
  fill(frame: unknown): unknown {
    return JSON.parse(JSON.stringify(frame), (_key, value: unknown) =>
      typeof value === "string" && value[0] === "$" ? this.values.get(value) : value,
    );
  }

  /** Take values for placeholders that are seen for the first time. */
  bind(expected: unknown, actual: unknown): void {
    if (typeof expected === "string" && expected[0] === "$") {
      if (!this.values.has(expected)) {
        expect([...this.values.values()]).not.toContain(actual);
        this.values.set(expected, actual);
      }
    } else if (expected && typeof expected === "object") {
      for (const [key, value] of Object.entries(expected)) this.bind(value, (actual as Output | undefined)?.[key]);
    }
  }

  async play(session: Session): Promise<void> {
    for (const [at, step] of session.steps.entries()) {
      this.world.log.length = 0;
      await this.act(session, step.do);
      // Twice: what a timer starts may need one more, all at the same instant.
      await this.world.advance(0);
      await this.world.advance(0);
      let log = [...this.world.log];
      let wanted = step.expect;
      // A shared connection that no topic is left on is closed, which the file leaves to each client.
      const alone = [...this.channels.values()].every(({ state }) => state === "closed");
      if (session.transport === "mux" && alone) log = log.filter((each) => !each.drop);
      // The order between the end that the caller made and its traces on the wire is nobody's business, nor
      // that between a promise, which takes a microtask, and the next publish, which its answer lets go.
      const has = (...kinds: string[]) => wanted.some((output) => kinds.some((kind) => kind in output));
      const letsGo = has("send") && has("published", "failed");
      if (step.do.unsubscribe || step.do.close || letsGo) {
        const order = (one: Output, other: Output) => Object.keys(one)[0]!.localeCompare(Object.keys(other)[0]!);
        log.sort(order);
        wanted = [...wanted].sort(order);
      }
      for (const [index, output] of wanted.entries()) this.bind(output, log[index]);
      expect(log, `step ${at} of "${session.name}"`).toEqual(this.fill(wanted));
      if (step.cursor !== undefined) expect(this.channels.get("")?.cursor).toBe(step.cursor);
    }
    for (const channel of this.channels.values()) channel.close();
    await this.world.settle();
    expect(this.world.timers.size).toBe(0);
    expect(this.world.sleepers.size).toBe(0);
  }
}

describe("sessions", () => {
  // The third transport is one topic on a WebSocket of its own, which this client never opens.
  const played = vectors.sessions.filter(({ transport }) => transport !== "websocket");
  test("there are some of each kind", () =>
    expect(new Set(played.map(({ transport }) => transport))).toEqual(new Set(["sse", "mux"])));
  test.each(played.map((session) => [session.name, session] as const))("%s", (_name, session) =>
    new Player().play(session),
  );
});

describe("an event stream", () => {
  const whole = (row: Vectors["sse"][number]) =>
    row.base64 ? Buffer.from(row.base64, "base64") : Buffer.from(row.bytes ?? "");

  async function read(row: Vectors["sse"][number], cuts: number[]): Promise<void> {
    const world = new World();
    const steps: Output[] = [];
    const channel = createClient({ ...world.environment, url: "https://x.example" }).channel("chat", {
      transport: "sse",
      ...(row.cursor && { cursor: row.cursor }),
    });
    channel.onState((state, error) => state === "closed" && error && steps.push({ broken: true, code: error.code }));
    channel.subscribe((message) =>
      steps.push(message.type === "tako.reset" ? { reset: message.data, cursor: channel.cursor } : { message, cursor: channel.cursor }),
    );
    await world.settle();
    world.request.stream();
    await world.settle();
    const bytes = whole(row);
    let from = 0;
    for (const to of [...cuts, bytes.length]) {
      world.request.bytes(bytes.subarray(from, to));
      from = to;
    }
    await world.settle();

    const told = row.steps.filter((step) => "message" in step || "reset" in step || "broken" in step);
    expect(steps).toEqual(told.map((step) => ("broken" in step ? { broken: true, code: "protocol-broken" } : step)));
    const cursors = row.steps.filter((step) => "cursor" in step);
    expect(channel.cursor).toBe(cursors.at(-1)?.cursor ?? row.cursor);
    const retry = row.steps.filter((step) => "retry" in step).at(-1)?.retry as number | undefined;
    if (retry !== undefined) {
      world.chance = 0.5;
      world.request.ended();
      await world.settle();
      expect([...world.timers].map(({ at }) => at - world.time)).toEqual([retry / 2]);
    }
    channel.close();
    await world.settle();
    expect(world.timers.size).toBe(0);
  }

  describe.each(vectors.sse.map((row) => [row.name, row] as const))("%s", (_name, row) => {
    const length = whole(row).length;
    test("whole", () => read(row, []));
    test("byte by byte", () => read(row, Array.from({ length: length - 1 }, (_, at) => at + 1)));
    test("cut in two", async () => {
      for (let at = 1; at < length; at += 3) await read(row, [at]);
    });
  });
});
