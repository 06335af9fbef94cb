/** Durable streams, read and written, with a network that is a script. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createStream, deleteStream, readStream, streamFetch, streamState } from "../src/durable_stream.js";
import { cut, held, page, refused, ScriptedFetch } from "./scripted_fetch.js";

const URL_OF = "https://x.example/streams/a";

let net: ScriptedFetch;
const network: typeof fetch = (input, init) => net.fetch(input, init);

beforeEach(() => {
  net = new ScriptedFetch();
  vi.spyOn(Math, "random").mockReturnValue(0);
});

afterEach(() => void vi.restoreAllMocks());

async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  return new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).text();
}

const offsets = () => net.said("offset");

describe("readStream", () => {
  test("goes on at its offset through cuts and bad answers, and ends where the stream does", async () => {
    const seen: string[] = [];
    net.script = [
      page("one ", "1"),
      cut(),
      new Response("<html>a router's page</html>", { status: 502 }),
      new Response("<html>a login page</html>"),
      page("", "1"),
      page("two ", "2"),
      page("three", "3", true),
    ];
    expect(await text(readStream(URL_OF, { fetch: network, onOffset: (offset) => seen.push(offset) }))).toBe("one two three");
    expect(offsets()).toEqual(["-1", "1", "1", "1", "1", "1", "2"]);
    expect(seen).toEqual(["1", "1", "2", "3"]);
  });

  test("begins where it is told, and ends at once where nothing is left", async () => {
    net.script = [page("", "7", true)];
    expect(await text(readStream(URL_OF, { fetch: network, offset: "7" }))).toBe("");
    expect(offsets()).toEqual(["7"]);
  });

  describe("somebody else's 200", () => {
    const html = () => new Response("<html>a page</html>", { headers: { "content-type": "text/html" } });
    const wrong = { code: "http-200", message: expect.stringContaining("HTTP 200 (text/html), not from takotwist") as string };

    beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
    afterEach(() => void vi.useRealTimers());

    /** Whether it ends within two minutes, all of whose answers are these, and then the last. */
    async function reading(...answers: (() => Response | Error)[]): Promise<unknown> {
      let next = 0;
      const always: typeof fetch = async () => {
        const answer = (answers[next++] ?? answers.at(-1)!)();
        if (answer instanceof Error) throw answer;
        return answer;
      };
      const end = text(readStream(URL_OF, { fetch: always })).catch((error: unknown) => error);
      await vi.advanceTimersByTimeAsync(120_000);
      asked = next;
      return Promise.race([end, Promise.resolve("reads on")]);
    }
    let asked = 0;

    test("for half a minute ends it, and says what came", async () => {
      expect(await reading(html)).toMatchObject(wrong);
      expect(asked).toBeLessThan(20);
      expect(await reading(() => page("one ", "1"), html)).toMatchObject(wrong);
    });

    test.each([
      ["JSON", () => new Response('{"ok":true}', { headers: { "content-type": "application/json" } }), "http-200"],
      ["nothing", () => new Response(null, { status: 204 }), "http-204"],
    ])("also %s, asked for with pauses", async (_, answer, code) => {
      expect(await reading(answer)).toMatchObject({ code });
      expect(asked).toBeLessThan(20);
    });

    test("a moment of it, or a server that is away for long, is waited out", async () => {
      const away = () => new Response("<html>bad gateway</html>", { status: 502 });
      expect(await reading(away)).toBe("reads on");
      expect(await reading(cut)).toBe("reads on");
      expect(await reading(...Array.from({ length: 9 }, () => [html, html, cut]).flat(), () => page("all", "1", true))).toBe("all");
    });
  });

  test.each([
    [404, "not-found"],
    [410, "replay-too-old"],
    [403, "verify-rejected"],
  ])("says the server's no: %s", async (status, code) => {
    net.script = [page("one ", "1"), refused(status, code)];
    await expect(text(readStream(URL_OF, { fetch: network }))).rejects.toMatchObject({ code, message: "because" });
    expect(net.asked.length).toBe(2);
  });

  test("asks for its headers each time", async () => {
    let count = 0;
    net.script = [page("one ", "1"), page("two", "2", true)];
    await text(readStream(URL_OF, { fetch: network, headers: () => ({ authorization: `Bearer ${++count}` }) }));
    expect(net.asked.map(({ headers }) => headers.get("authorization"))).toEqual(["Bearer 1", "Bearer 2"]);
  });

  test("asks for no more than is read, and stops when it is cancelled", async () => {
    const never = held();
    net.script = [page("one ", "1"), never.answer];
    const reader = readStream(URL_OF, { fetch: network }).getReader();
    expect(net.asked.length).toBe(0);
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("one ");
    expect(net.asked.length).toBe(1);
    const more = reader.read();
    await vi.waitFor(() => expect(net.asked.length).toBe(2), 20_000);
    await reader.cancel();
    expect((await more).done).toBe(true);
    expect(never.aborted()).toBe(true);
  });

  test("stops by a signal of its caller", async () => {
    const stop = new AbortController();
    net.script = [page("one ", "1"), () => (stop.abort(new Error("enough")), Promise.reject(new TypeError("aborted")))];
    await expect(text(readStream(URL_OF, { fetch: network, signal: stop.signal }))).rejects.toThrow("enough");
    expect(net.asked.length).toBe(2);
  });
});

describe("StreamWriter", () => {
  const options = { fetch: network, headers: { authorization: "Bearer k" }, contentType: "text/event-stream", ttl: 60 };

  test("sends what gathered together, numbered, and a lost request again", async () => {
    net.script = [page("", "0"), page("", "1"), cut(), page("", "2"), page("", "2", true)];
    const out = await createStream(URL_OF, options);
    await out.write("a");
    await out.write("b");
    await out.write(new TextEncoder().encode("ü"));
    await out.end();
    expect(net.asked.map(({ method }) => method)).toEqual(["PUT", "POST", "POST", "POST", "POST"]);
    expect(net.bodies).toEqual(["", "a", "bü", "bü", ""]);
    expect(net.asked.map(({ headers }) => headers.get("producer-seq"))).toEqual([null, "0", "1", "1", "2"]);
    expect(new Set(net.asked.slice(1).map(({ headers }) => headers.get("producer-id"))).size).toBe(1);
    expect(net.asked.map(({ headers }) => headers.get("stream-closed"))).toEqual([null, null, null, null, "true"]);
    expect(net.asked[0]?.headers.get("stream-ttl")).toBe("60");
    expect(net.asked.every(({ headers }) => headers.get("content-type") === "text/event-stream")).toBe(true);
    expect(net.asked.every(({ headers }) => headers.get("authorization") === "Bearer k")).toBe(true);
  });

  test("fails where the stream was deleted, which ends its source", async () => {
    net.script = [page("", "0"), refused(404, "not-found")];
    const out = await createStream(URL_OF, options);
    let ended = false;
    async function* source() {
      try {
        for (;;) {
          yield "token";
          await new Promise((wait) => setTimeout(wait, 1));
        }
      } finally {
        ended = true;
      }
    }
    await expect(out.from(source())).rejects.toMatchObject({ code: "not-found" });
    expect(ended).toBe(true);
    expect(net.asked.length).toBe(2);
  });

  test("leaves no end where its source fails", async () => {
    net.script = [page("", "0"), page("", "1")];
    const out = await createStream(URL_OF, options);
    const source = (async function* () {
      yield "token";
      throw new Error("the model broke off");
    })();
    await expect(out.from(source)).rejects.toThrow("the model broke off");
    await out.flush();
    expect(net.asked.map(({ headers }) => headers.get("stream-closed"))).toEqual([null, null]);
  });

  test("gives up after its patience", async () => {
    net.script = [cut(), cut()];
    await expect(createStream(URL_OF, { ...options, patience: 0 })).rejects.toMatchObject({ code: "connection-lost" });
    expect(net.asked.length).toBe(1);
  });
});

test("the state of a stream, and its deletion", async () => {
  net.script = [page("", "1"), page("", "1", true), new Response(null, { status: 404 })];
  const states = [1, 2, 3].map(() => streamState(URL_OF, { fetch: network }));
  expect(await Promise.all(states)).toEqual(["open", "ended", undefined]);
  net.script = [new Response(null, { status: 204 }), refused(404, "not-found"), refused(403, "verify-rejected")];
  await deleteStream(URL_OF, { fetch: network });
  await deleteStream(URL_OF, { fetch: network });
  await expect(deleteStream(URL_OF, { fetch: network })).rejects.toMatchObject({ code: "verify-rejected" });
});

test("a 404 of somebody else says what came", async () => {
  net.script = [new Response("<html>no such page</html>", { status: 404, headers: { "content-type": "text/html" } })];
  const message = expect.stringContaining("HTTP 404 (text/html), not from takotwist") as string;
  await expect(text(readStream(URL_OF, { fetch: network }))).rejects.toMatchObject({ code: "not-found", message });
});

describe("streamFetch", () => {
  function answer(url: string, init: ResponseInit, body: string | null = null): Response {
    return Object.defineProperty(new Response(body, init), "url", { value: url });
  }

  test("reads from the stream that a response names, relative to where it came from", async () => {
    net.script = [answer("https://x.example/api/chat", { status: 201, headers: { location: "/streams/a" } }), page("all", "1", true)];
    const response = await streamFetch({ fetch: network, headers: { authorization: "Bearer r" } })("https://x.example/api", { method: "POST" });
    expect([response.status, await response.text()]).toEqual([200, "all"]);
    expect([net.asked[1]?.url.split("?")[0], net.asked[1]?.headers.get("authorization")]).toEqual([URL_OF, "Bearer r"]);
    expect(net.asked[0]?.headers.get("authorization")).toBe(null);
  });

  test("returns every other response as it is", async () => {
    net.script = [new Response(null, { status: 204 }), new Response("no", { status: 400, headers: { location: "/streams/a" } })];
    expect((await streamFetch({ fetch: network })("https://x.example")).status).toBe(204);
    expect(await (await streamFetch({ fetch: network })("https://x.example")).text()).toBe("no");
  });
});
