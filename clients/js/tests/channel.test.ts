/** What a caller of `channel()` sees. */

import { describe, expect, test, vi } from "vitest";
import { eventSource } from "../src/eventsource.js";
import {
  ChannelClosedError,
  ChannelGoneError,
  type ChannelOptions,
  ChannelOverflowError,
  createClient,
  type CredentialsRequest,
} from "../src/index.js";
import { message, World } from "./world.js";

type Chat = { msg: { text: string }; typing: { userId: string } };

async function setup(options: ChannelOptions = {}) {
  const world = new World();
  const client = createClient({ ...world.environment, url: "https://x.example" });
  const channel = client.channel<Chat>("chat", options);
  return { world, client, channel };
}

function settled(publish: Promise<string | null>): unknown[] {
  const outcome: unknown[] = [];
  publish.then((id) => outcome.push(id), (error: unknown) => outcome.push(error));
  return outcome;
}

describe("handlers", () => {
  test("get all messages, or those of one type, until they are removed", async () => {
    const { world, channel } = await setup();
    const seen: string[] = [];
    const remove = channel.subscribe((got) => seen.push(`all ${got.id}`));
    channel.on("msg", (data, got) => seen.push(`msg ${got.id} ${data.text}`));
    channel.on("typing", (data) => seen.push(`typing ${data.userId}`));
    await world.accept();
    world.socket.frame(message("2", {}));
    remove();
    world.socket.frame(message("3", {}, "typing", { userId: "u" }));
    expect(seen).toEqual(["all 2", "msg 2 a", "typing u"]);
  });

  test("that throw are reported and stop nobody else", async () => {
    const { world, channel } = await setup();
    const report = vi.spyOn(console, "error").mockImplementation(() => {});
    const seen: unknown[] = [];
    channel.subscribe(() => {
      throw new Error("mine");
    });
    channel.subscribe(({ id }) => seen.push(id));
    await world.accept();
    world.socket.frame(message("2", {}));
    expect(seen).toEqual(["2"]);
    expect(report).toHaveBeenCalledWith(new Error("mine"));
    report.mockRestore();
  });
});

test("a channel that joins while the topic is cut off knows why", async () => {
  const { world, client, channel } = await setup();
  channel.subscribe(() => {});
  await world.accept();
  world.socket.lose();
  const joined = client.channel<Chat>("chat");
  joined.subscribe(() => {});
  expect([joined.state, joined.error?.code]).toEqual(["reconnecting", "connection-lost"]);
  await world.advance(1_000);
  await world.accept();
  expect([joined.state, joined.error]).toEqual(["open", undefined]);
});

describe("iterating", () => {
  test("gives messages in order, and is done when the channel is closed", async () => {
    const { world, channel } = await setup();
    const seen: unknown[] = [];
    const done = (async () => {
      for await (const { id } of channel) seen.push(id);
    })();
    await world.accept();
    ["2", "3", "4"].forEach((id) => world.socket.frame(message(id, {})));
    await world.settle();
    channel.close();
    await done;
    expect(seen).toEqual(["2", "3", "4"]);
  });

  test("fails with the reason when the server refuses", async () => {
    const { world, channel } = await setup();
    const next = channel[Symbol.asyncIterator]().next().catch((error: unknown) => error);
    await world.settle();
    world.socket.open();
    await world.settle();
    world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code: "verify-rejected", error: "No." });
    expect(await next).toMatchObject({ code: "verify-rejected", message: "No." });
  });

  test("keeps a bounded number of messages and says when that was too few", async () => {
    const { world, channel } = await setup({ bufferSize: 2 });
    const iterator = channel[Symbol.asyncIterator]();
    const first = iterator.next();
    await world.accept();
    ["2", "3", "4", "5", "6"].forEach((id) => world.socket.frame(message(id, {})));
    expect((await first).value?.id).toBe("2");
    // What comes while there is room again is behind the hole, and is not given before it is said.
    world.socket.frame(message("7", {}));
    expect((await iterator.next()).value?.id).toBe("3");
    await expect(iterator.next()).rejects.toBeInstanceOf(ChannelOverflowError);
  });

  test("that is broken off ends alone: the channel stays open for the others", async () => {
    const { world, channel } = await setup({ bufferSize: 1 });
    const seen: unknown[] = [];
    channel.subscribe(({ id }) => seen.push(id));
    const broken = (async () => {
      for await (const { id } of channel) return id;
    })();
    await world.accept();
    world.socket.frame(message("2", {}));
    expect(await broken).toBe("2");
    ["3", "4", "5"].forEach((id) => world.socket.frame(message(id, {})));
    expect([channel.state, seen]).toEqual(["open", ["2", "3", "4", "5"]]);
  });
});

describe("credentials", () => {
  test("are asked for before every connect, and told when the last ones were refused", async () => {
    const asked: CredentialsRequest[] = [];
    const { world, channel } = await setup({
      credentials: async (request) => {
        asked.push(request);
        return `Bearer ${asked.length}`;
      },
    });
    channel.subscribe(() => {});
    await world.accept();
    expect(world.socket.last("subscribe").auth).toBe("Bearer 1");
    world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code: "credentials-expired", error: "" });
    await world.advance(0);
    expect(world.sockets.length).toBe(1);
    expect(world.socket.last("subscribe")).toMatchObject({ auth: "Bearer 2", cursor: "1" });
    world.socket.frame({ op: "ack", ref: world.socket.last("subscribe").ref, cursor: "1", params: {} });
    world.socket.lose();
    await world.advance(0);
    await world.accept();
    expect(world.socket.last("subscribe").auth).toBe("Bearer 3");
    expect(asked.map(({ refused }) => refused)).toEqual([false, true, false]);
  });

  test("that cannot be had are asked for again later", async () => {
    let calls = 0;
    const { world, channel } = await setup({
      credentials: () => {
        if (calls++) return "Bearer late";
        throw new Error("offline");
      },
    });
    channel.subscribe(() => {});
    await world.settle();
    world.socket.open();
    await world.settle();
    expect(channel.error?.code).toBe("credentials-failed");
    await world.advance(0);
    expect(world.socket.last("subscribe").auth).toBe("Bearer late");
  });

  test("of nobody, cookies alone, leave out the field", async () => {
    const { world, channel } = await setup({ credentials: () => null });
    channel.subscribe(() => {});
    await world.accept();
    expect(world.socket.last("subscribe")).not.toHaveProperty("auth");
  });
});

describe("publishing", () => {
  test("waits for the topic, gives the id, and null where the handler dropped it", async () => {
    const { world, channel } = await setup();
    const first = settled(channel.publish("msg", { text: "hi" }));
    await world.settle();
    world.socket.open();
    await world.settle();
    expect(world.socket.count("publish")).toBe(0);
    world.socket.frame({ op: "ack", ref: world.socket.last("subscribe").ref, cursor: "1", params: {} });
    expect(world.socket.last("publish")).toMatchObject({ channel: "chat", params: {}, type: "msg", data: { text: "hi" } });
    world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "42" });
    const second = settled(channel.publish("msg", { text: "no" }));
    world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: null });
    await world.settle();
    expect([first, second]).toEqual([["42"], [null]]);
  });

  test("keeps what has no answer and sends it once more with the same key, in order", async () => {
    const { world, channel } = await setup();
    channel.subscribe(() => {});
    await world.accept();
    const outcomes = ["a", "b"].map((text) => settled(channel.publish("msg", { text })));
    const keys = world.socket.sent.filter(({ op }) => op === "publish").map(({ idempotencyKey }) => idempotencyKey);
    expect(new Set(keys).size).toBe(2);
    world.socket.lose();
    outcomes.push(settled(channel.publish("msg", { text: "c" })));
    await world.advance(0);
    await world.accept();
    const again = world.socket.sent.filter(({ op }) => op === "publish");
    expect(again.map(({ data }) => (data as Chat["msg"]).text)).toEqual(["a", "b", "c"]);
    expect(again.slice(0, 2).map(({ idempotencyKey }) => idempotencyKey)).toEqual(keys);
    again.forEach(({ ref }, at) => world.socket.frame({ op: "ack", ref, id: `${at}` }));
    await world.settle();
    expect(outcomes).toEqual([["0"], ["1"], ["2"]]);
    world.socket.lose();
    await world.advance(0);
    await world.accept();
    expect(world.socket.count("publish")).toBe(0);
  });

  test("is bounded by count and by bytes", async () => {
    const { channel } = await setup({ maxPublishes: 2, maxPublishBytes: 30 });
    void channel.publish("msg", { text: "a" }).catch(() => {});
    await expect(channel.publish("msg", { text: "x".repeat(20) })).rejects.toBeInstanceOf(ChannelOverflowError);
    void channel.publish("msg", { text: "b" }).catch(() => {});
    await expect(channel.publish("msg", { text: "" })).rejects.toBeInstanceOf(ChannelOverflowError);
    channel.close();
  });

  test("has room again for what was answered, and stores what was meant when it was called", async () => {
    const { world, channel } = await setup({ maxPublishBytes: 14 });
    channel.subscribe(() => {});
    await world.settle();
    for (let turn = 0; turn < 3; turn++) {
      const data = { text: "a" };
      const outcome = settled(channel.publish("msg", data));
      data.text = "changed";
      await expect(channel.publish("msg", { text: "b" })).rejects.toBeInstanceOf(ChannelOverflowError);
      if (!turn) await world.accept();
      expect(world.socket.last("publish").data).toEqual({ text: "a" });
      world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "9" });
      await world.settle();
      expect(outcome).toEqual(["9"]);
    }
  });

  test("fails alone with the server's word", async () => {
    const { world, channel } = await setup();
    channel.subscribe(() => {});
    await world.accept();
    const outcome = settled(channel.publish("msg", { text: "" }));
    world.socket.frame({ op: "error", ref: world.socket.last("publish").ref, code: "body-invalid", error: "text: empty" });
    await world.settle();
    expect(outcome).toMatchObject([{ code: "body-invalid", message: "text: empty" }]);
    expect(channel.state).toBe("open");
  });

  test("refused because the server stops is kept for the next connection", async () => {
    const { world, channel } = await setup();
    channel.subscribe(() => {});
    await world.accept();
    const outcome = settled(channel.publish("msg", { text: "a" }));
    world.socket.frame({ op: "error", ref: world.socket.last("publish").ref, code: "shutting-down", error: "" });
    world.socket.lose(1001, "shutting-down");
    await world.advance(0);
    await world.accept();
    world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "9" });
    await world.settle();
    expect(outcome).toEqual(["9"]);
  });

  test("fails when the channel is closed, and when it is refused", async () => {
    const { world, channel, client } = await setup();
    const outcome = settled(channel.publish("msg", { text: "a" }));
    channel.close();
    await expect(channel.publish("msg", { text: "b" })).rejects.toBeInstanceOf(ChannelClosedError);
    await world.settle();
    expect(outcome).toMatchObject([{ code: "channel-closed" }]);

    const refused = settled(client.channel("chat").publish("msg", 1));
    await world.settle();
    world.socket.open();
    await world.settle();
    world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code: "channel-unknown", error: "" });
    await world.settle();
    expect(refused).toMatchObject([{ code: "channel-unknown" }]);
  });

  test("over SSE is a POST, one at a time, tried again with the same key", async () => {
    const { world, channel } = await setup({ transport: "sse", credentials: "Bearer key" });
    channel.subscribe(() => {});
    await world.settle();
    world.request.stream();
    await world.settle();
    const outcomes = ["a", "b"].map((text) => settled(channel.publish("msg", { text })));
    await world.settle();
    const posts = () => world.requests.filter(({ method }) => method === "POST");
    expect(posts().length).toBe(1);
    expect(posts()[0]?.headers.get("authorization")).toBe("Bearer key");
    posts()[0]?.answer(503, { code: "overloaded" }, { "retry-after": "2" });
    await world.advance(1_999);
    expect(posts().length).toBe(1);
    await world.advance(1);
    expect(posts()[1]?.headers.get("idempotency-key")).toBe(posts()[0]?.headers.get("idempotency-key"));
    posts()[1]?.answer(200, { ...message("5"), type: "msg" });
    await world.settle();
    posts()[2]?.answer(403, { code: "verify-rejected", error: "Not you." });
    await world.settle();
    expect(posts().map(({ body }) => (JSON.parse(body) as { data: unknown }).data)).toEqual([
      { text: "a" },
      { text: "a" },
      { text: "b" },
    ]);
    expect(outcomes).toMatchObject([["5"], [{ code: "verify-rejected" }]]);
    channel.close();
    await world.settle();
    expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
  });
});

describe("a cursor outside the window", () => {
  const tooOld = (world: World) =>
    world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code: "replay-too-old", error: "" });

  test("calls onGone and goes on from the cursor that it gives", async () => {
    const onGone = vi.fn(async () => "85");
    const { world, channel } = await setup({ cursor: "5", onGone });
    const seen: unknown[] = [];
    channel.subscribe((got) => seen.push(got));
    await world.settle();
    world.socket.open();
    await world.settle();
    expect(world.socket.last("subscribe")).not.toHaveProperty("stale");
    tooOld(world);
    await world.advance(0);
    expect(onGone).toHaveBeenCalledWith({ reason: "replay-too-old" });
    expect(world.socket.last("subscribe").cursor).toBe("85");
    expect(seen).toEqual([]);
  });

  test("closes where onGone fails", async () => {
    const { world, channel } = await setup({ cursor: "5", onGone: () => Promise.reject(new Error("no state")) });
    channel.subscribe(() => {});
    await world.settle();
    world.socket.open();
    await world.settle();
    tooOld(world);
    await world.advance(0);
    expect([channel.state, channel.error?.code]).toEqual(["closed", "gone-failed"]);
  });

  test("without onGone is one tako.reset among the messages, then live", async () => {
    const { world, channel } = await setup({ cursor: "5" });
    const seen: unknown[] = [];
    channel.subscribe((got) => seen.push(got.id ?? got.type));
    channel.on("tako.reset", (gone) => seen.push(gone));
    await world.settle();
    world.socket.open();
    await world.settle();
    const { ref } = world.socket.last("subscribe");
    world.socket.frame({ op: "ack", ref, cursor: "77", params: {} });
    world.socket.frame({ op: "reset", ref, channel: "chat", params: {}, reason: "replay-too-old", cursor: "77" });
    world.socket.frame(message("78", {}));
    expect(seen).toEqual(["tako.reset", { reason: "replay-too-old", cursor: "77" }, "78"]);
  });

  test("closes the channel where that was asked for", async () => {
    const { world, channel } = await setup({ cursor: "5", stale: "stop" });
    const next = channel[Symbol.asyncIterator]().next().catch((error: unknown) => error);
    await world.settle();
    world.socket.open();
    await world.settle();
    tooOld(world);
    expect(await next).toBeInstanceOf(ChannelGoneError);
    expect(channel.state).toBe("closed");
  });
});

describe("the latest state", () => {
  test("is asked for once: later connections go on from what was seen", async () => {
    const { world, channel } = await setup({ cursor: "newest" });
    const seen: unknown[] = [];
    channel.subscribe(({ id }) => seen.push(id));
    await world.settle();
    world.socket.open();
    await world.settle();
    const { cursor, ref } = world.socket.last("subscribe");
    expect(cursor).toBe("newest");
    world.socket.frame({ op: "ack", ref, channel: "chat", params: {}, cursor: "0" });
    world.socket.frame(message("40", {}));
    world.socket.frame({ op: "synced", ref, channel: "chat", params: {}, cursor: "55" });
    expect([seen, channel.cursor]).toEqual([["40"], "55"]);
    world.socket.lose();
    await world.advance(60_000);
    world.socket.open();
    await world.settle();
    expect(world.socket.last("subscribe").cursor).toBe("55");
  });

  test("of which nothing came is asked for again", async () => {
    const { world, channel } = await setup({ cursor: "newest" });
    channel.subscribe(() => {});
    await world.settle();
    world.socket.open();
    world.socket.lose();
    await world.advance(60_000);
    world.socket.open();
    await world.settle();
    expect(world.socket.last("subscribe").cursor).toBe("newest");
  });
});

describe("history", () => {
  test("is a page of the window", async () => {
    const { world, channel } = await setup({ params: { roomId: "a" }, credentials: () => "Bearer x" });
    const page = channel.history({ after: "5", limit: 10 });
    await world.settle();
    expect(world.request.url.href).toBe("https://x.example/_tako/channels/chat/history?roomId=a&after=5&limit=10");
    expect(world.request.headers.get("authorization")).toBe("Bearer x");
    world.request.answer(200, { messages: [message("6")], cursor: "6", more: false });
    expect((await page).messages[0]?.id).toBe("6");
    expect(world.sockets.length).toBe(0);
  });

  test("fails with the server's word", async () => {
    const { world, channel } = await setup();
    const page = channel.history();
    await world.settle();
    world.request.answer(410, { code: "replay-too-old", error: "Too old." });
    await expect(page).rejects.toBeInstanceOf(ChannelGoneError);
  });
});

describe("the browser's own EventSource", () => {
  test("is used when asked for, with the cursor and the token in the query", async () => {
    const { world, channel } = await setup({ transport: eventSource, cursor: "5", credentials: "abc" });
    const seen: unknown[] = [];
    channel.subscribe((got) => seen.push(got.id ?? got.data));
    await world.settle();
    const [source] = world.sources;
    expect(source?.url).toBe(
      "https://x.example/_tako/channels/chat?access_token=abc&last_event_id=5&stale=reset",
    );
    (source?.onopen as () => void)();
    expect(channel.state).toBe("open");
    (source?.onmessage as (event: unknown) => void)({ data: JSON.stringify(message("6")) });
    source?.listeners.get("tako.reset")?.({ data: '{"reason":"replay-too-old","cursor":"9"}' });
    expect(seen).toEqual(["6", { reason: "replay-too-old", cursor: "9" }]);
    channel.close();
    await world.settle();
    expect(source?.readyState).toBe(2);
  });

  test("that gave up before its first message goes on where the server said it began", async () => {
    const { world, channel } = await setup({ transport: eventSource });
    const seen: unknown[] = [];
    channel.subscribe((got) => seen.push(got.id ?? got.data));
    await world.settle();
    const [source] = world.sources;
    (source?.onopen as () => void)();
    source?.listeners.get("tako.open")?.({ data: JSON.stringify({ ...message("7"), type: "tako.open" }) });
    if (source) source.readyState = 2;
    (source?.onerror as () => void)();
    await world.advance(0);
    expect(new URL(world.sources[1]?.url ?? "").searchParams.get("last_event_id")).toBe("7");
    expect(seen).toEqual([]);
  });

  test("that gave up is made anew, and a cursor that nobody saw is no silent gap", async () => {
    const { world, channel } = await setup({ transport: eventSource });
    const seen: unknown[] = [];
    channel.subscribe((got) => seen.push(got.id ?? got.data));
    await world.settle();
    const fail = (source = world.sources.at(-1)) => {
      if (source) source.readyState = 2;
      (source?.onerror as () => void)();
    };
    (world.sources[0]?.onopen as () => void)();
    fail();
    await world.advance(0);
    expect(world.sources.length).toBe(2);
    (world.sources[1]?.onopen as () => void)();
    (world.sources[1]?.onmessage as (event: unknown) => void)({ data: JSON.stringify(message("6")) });
    expect(seen).toEqual([{ reason: "no-cursor" }, "6"]);
  });
});

test("nothing is delivered after close, not even what is on its way", async () => {
  const { world, channel, client } = await setup();
  const seen: unknown[] = [];
  channel.subscribe(({ id }) => seen.push(id));
  client.channel("chat").subscribe(({ id }) => id === "2" && channel.close());
  await world.accept();
  world.socket.frame(message("2", {}));
  world.socket.frame(message("3", {}));
  expect(seen).toEqual(["2"]);
});

test("closing twice, or before anything was opened, does nothing", async () => {
  const { world, channel } = await setup();
  channel.close();
  channel.close();
  channel.subscribe(() => {});
  await world.settle();
  expect([channel.state, world.sockets.length]).toEqual(["closed", 0]);
});

test("a page without an address needs one", () => {
  expect(() => createClient(new World().environment).channel("chat")).toThrow(TypeError);
});
