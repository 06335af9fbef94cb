/** Answers that are not the server's: never final, on every carrier. */

import { describe, expect, test } from "vitest";
import { eventSource } from "../src/eventsource.js";
import { type ChannelOptions, createClient } from "../src/index.js";
import { message, World } from "./world.js";

const PAGE = "<!doctype html><h1>Sign in to the network</h1>";
const HTML = { "content-type": "text/html" };

function setup(options: ChannelOptions = {}) {
  const world = new World();
  const channel = createClient({ ...world.environment, url: "https://x.example" }).channel("chat", options);
  const states: string[] = [];
  channel.onState((state, error) => states.push(`${state} ${error?.code ?? ""}`.trim()));
  return { world, channel, states };
}

describe("over SSE", () => {
  test.each([
    ["a page", 200, PAGE, HTML],
    ["a page that says it is JSON", 200, PAGE, { "content-type": "application/json" }],
    ["a redirect", 302, "", { location: "/" }],
    ["a page of a gateway", 401, PAGE, HTML],
    ["a page of a firewall", 403, PAGE, HTML],
    ["a page of a router", 404, PAGE, HTML],
    ["a page of a cache", 410, PAGE, HTML],
    ["JSON of somebody else", 403, { message: "Forbidden" }, {}],
    ["JSON with half of our shape", 404, { code: "NoSuchBucket" }, {}],
    ["a code that is no text", 404, { code: 7, error: "no" }, {}],
    ["a head that was cut within its content type", 200, "", { "content-type": "text/event-str" }],
    ["no content", 204, "", {}],
  ])("%s is waited out, and said in the state", async (_name, status, body, headers) => {
    const { world, channel, states } = setup({ transport: "sse" });
    channel.subscribe(() => {});
    await world.settle();
    world.request.stream();
    world.request.bytes("id: 5\n\n");
    await world.settle();
    world.request.ended();
    await world.advance(0);
    world.request.answer(status, body, headers);
    await world.advance(0);
    expect(states).toEqual(["open", "reconnecting connection-lost", `reconnecting http-${status}`]);
    expect(channel.error?.message).toContain("not from takotwist");
    world.request.stream();
    await world.settle();
    expect([channel.state, channel.error]).toEqual(["open", undefined]);
    expect(world.request.headers.get("last-event-id")).toBe("5");
    channel.close();
  });

  test("a refusal of the server's own is final", async () => {
    const { world, channel, states } = setup({ transport: "sse" });
    channel.subscribe(() => {});
    await world.settle();
    world.request.answer(404, { error: "No channel has this name.", code: "channel-unknown" });
    await world.settle();
    expect(states).toEqual(["closed channel-unknown"]);
  });

  test("a 401 of a gateway has the credentials made anew", async () => {
    const refused: boolean[] = [];
    const { world, channel } = setup({
      transport: "sse",
      credentials: (request) => {
        refused.push(request.refused);
        return "Bearer abc";
      },
    });
    channel.subscribe(() => {});
    await world.settle();
    world.request.answer(401, PAGE, HTML);
    await world.advance(0);
    expect(refused).toEqual([false, true]);
    channel.close();
  });
});

describe("a POST", () => {
  async function posting() {
    const { world, channel } = setup({ transport: "sse" });
    channel.subscribe(() => {});
    await world.settle();
    world.request.stream();
    await world.settle();
    const outcomes: unknown[] = [];
    const publish = (data: unknown) =>
      channel.publish("msg", data).then((id) => outcomes.push(id), ({ code }: { code: string }) => outcomes.push(code));
    return { world, channel, outcomes, publish };
  }

  test.each([
    [200, PAGE],
    [200, { id: "1" }],
    [302, ""],
    [401, PAGE],
    [403, PAGE],
    [404, PAGE],
  ])("that is answered %i by somebody else is sent again with its key", async (status, body) => {
    const { world, channel, outcomes, publish } = await posting();
    void publish("hi");
    await world.settle();
    const key = world.request.headers.get("idempotency-key");
    world.request.answer(status, body, HTML);
    await world.advance(0);
    expect(world.requests.filter(({ method }) => method === "POST").length).toBe(2);
    expect(world.request.headers.get("idempotency-key")).toBe(key);
    world.request.answer(200, message("7"));
    await world.settle();
    expect(outcomes).toEqual(["7"]);
    channel.close();
  });

  test("that a firewall refuses for a minute fails, and holds up no other", async () => {
    const { world, channel, outcomes, publish } = await posting();
    void publish("<script>");
    void publish("fine");
    await world.settle();
    for (let tries = 0; tries < 4; tries++) {
      world.request.answer(403, PAGE, HTML);
      await world.advance(0);
      await world.advance(25_000);
      world.requests[0]?.bytes(": keepalive\n\n");
      await world.settle();
    }
    expect(outcomes).toEqual(["http-403"]);
    world.request.answer(200, message("7"));
    await world.settle();
    expect(outcomes).toEqual(["http-403", "7"]);
    channel.close();
  });

  test("that nobody answers is given up after half a minute, and sent again", async () => {
    const { world, channel, outcomes, publish } = await posting();
    void publish("hi");
    await world.settle();
    world.requests[0]?.bytes(": keepalive\n\n");
    await world.advance(30_000);
    expect(world.requests.filter(({ method }) => method === "POST").length).toBe(2);
    world.request.answer(200, message("7"));
    await world.settle();
    expect(outcomes).toEqual(["7"]);
    channel.close();
    await world.settle();
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });
});

describe("history", () => {
  test.each([
    [200, PAGE],
    [200, {}],
    [403, PAGE],
    [502, PAGE],
  ])("that is answered %i by somebody else fails with that, as a TakoError", async (status, body) => {
    const { world, channel } = setup();
    const page = channel.history();
    await world.settle();
    world.request.answer(status, body, HTML);
    await expect(page).rejects.toMatchObject({ name: "TakoError", code: `http-${status}` });
  });

  test("without an answer fails with what is known", async () => {
    const { world, channel } = setup();
    const cut = expect(channel.history()).rejects.toMatchObject({ code: "connection-lost" });
    await world.settle();
    world.request.failed();
    await cut;
    const silent = expect(channel.history()).rejects.toMatchObject({ code: "connection-silent" });
    await world.advance(30_000);
    await silent;
    expect(world.timers.size).toBe(0);
  });

  test("ends with its channel", async () => {
    const { world, channel } = setup();
    const page = expect(channel.history()).rejects.toMatchObject({ code: "channel-closed" });
    await world.settle();
    channel.close();
    await page;
    await world.settle();
    expect(world.timers.size).toBe(0);
    await expect(channel.history()).rejects.toMatchObject({ code: "channel-closed" });
  });
});

describe("over the shared WebSocket", () => {
  test("closes of somebody else are waited out", async () => {
    const { world, channel, states } = setup({ transport: "websocket" });
    channel.subscribe(() => {});
    await world.accept();
    for (const [code, reason] of [[1002, ""], [1008, "Policy: blocked"], [1009, ""], [1003, ""]] as const) {
      world.socket.lose(code, reason);
      await world.advance(0);
      expect(channel.error?.code).toBe(`close-${code}`);
    }
    await world.accept();
    expect(states.at(-1)).toBe("open");
    channel.close();
  });

  test("what is said before the server's first frame is somebody else's", async () => {
    const { world, channel } = setup({ transport: "websocket" });
    channel.subscribe(() => {});
    await world.settle();
    world.socket.text("welcome to the echo server");
    await world.advance(0);
    await world.accept();
    expect(channel.state).toBe("open");
    world.socket.text("no message");
    expect([channel.state, channel.error?.code]).toEqual(["closed", "protocol-broken"]);
  });

  test("a message too large fails alone: every topic goes on", async () => {
    const { world, channel } = setup({ transport: "websocket" });
    channel.subscribe(() => {});
    await world.accept();
    const small = channel.publish("msg", "hi");
    const large = expect(channel.publish("msg", "x".repeat(1000))).rejects.toMatchObject({ code: "message-too-large" });
    world.socket.lose(1009, "message-too-large");
    await large;
    expect(channel.state).toBe("reconnecting");
    await world.advance(0);
    await world.accept();
    expect(world.socket.count("publish")).toBe(1);
    world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "8" });
    expect(await small).toBe("8");
    channel.close();
  });
});

test("an EventSource, which hides every status, goes on", async () => {
  const { world, channel } = setup({ transport: eventSource });
  channel.subscribe(() => {});
  await world.settle();
  const [first] = world.sources;
  if (!first) throw new Error("no EventSource was made");
  first.readyState = 2;
  (first.onerror as () => void)();
  await world.advance(0);
  expect([channel.state, channel.error?.code, world.sources.length]).toEqual(["connecting", "connection-lost", 2]);
  channel.close();
});
