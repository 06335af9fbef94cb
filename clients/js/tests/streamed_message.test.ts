/** Streamed messages of a topic, with a network that is a script. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cancelMessage, openMessages, readMessage, streamedIn, type ReadMessageOptions, type StreamEnd } from "../src/streams.js";
import { cut, page, refused, ScriptedFetch } from "./scripted_fetch.js";

let net: ScriptedFetch;
let options: ReadMessageOptions;

beforeEach(() => {
  net = new ScriptedFetch();
  options = { url: "https://x.example", params: { roomId: "a" }, fetch: net.fetch };
  vi.spyOn(Math, "random").mockReturnValue(0);
});

afterEach(() => void vi.restoreAllMocks());

async function read(more: ReadMessageOptions = {}): Promise<[values: unknown[], end: StreamEnd]> {
  const reading = readMessage("chat", "b7c1", { ...options, ...more });
  const values: unknown[] = [];
  for (;;) {
    const { done, value } = await reading.next();
    if (done) return [values, value as StreamEnd];
    values.push(value);
  }
}

test("each value comes once, in order, through cuts, and the end says how", async () => {
  net.script = [
    page('["Hel","lo"]', "1"),
    cut(),
    refused(503, "overloaded"),
    page('[", Ada."]', "2"),
    page("", "3", true, { "stream-end": "failed", "stream-end-reason": "writer-gone" }),
  ];
  expect(await read()).toEqual([["Hel", "lo", ", Ada."], { state: "failed", reason: "writer-gone" }]);
  expect(net.said("offset")).toEqual(["-1", "1", "1", "1", "2"]);
  const { pathname, searchParams } = new URL(net.asked[0]?.url ?? "");
  expect(pathname).toBe("/_tako/channels/chat/streams/b7c1");
  expect([searchParams.get("roomId"), searchParams.get("live")]).toEqual(["a", "long-poll"]);
});

test("it goes on at an offset, and tells each", async () => {
  const offsets: string[] = [];
  net.script = [page("[1]", "8"), page("", "9", true, { "stream-end": "ended" })];
  expect(await read({ offset: "7", onOffset: (offset) => offsets.push(offset) })).toEqual([[1], { state: "ended" }]);
  expect(offsets).toEqual(["8", "9"]);
  expect(net.said("offset")).toEqual(["7", "8"]);
});

test("credentials that were refused are asked for once more, at the same offset", async () => {
  const credentials = vi.fn(({ refused }: { refused: boolean }) => (refused ? "Bearer new" : "Bearer old"));
  net.script = [page("[1]", "1"), refused(401, "credentials-expired"), page("[2]", "2", true, { "stream-end": "ended" })];
  expect((await read({ credentials, header: "x-token" }))[0]).toEqual([1, 2]);
  expect(net.asked.map(({ headers }) => headers.get("x-token"))).toEqual(["Bearer old", "Bearer old", "Bearer new"]);
  expect(net.said("offset")).toEqual(["-1", "1", "1"]);
  net.script = [refused(403, "verify-rejected"), refused(403, "verify-rejected")];
  await expect(read({ credentials })).rejects.toMatchObject({ code: "verify-rejected" });
});

test.each([
  [404, "not-found"],
  [410, "replay-too-old"],
])("the server's no is final: %s", async (status, code) => {
  net.script = [refused(status, code)];
  await expect(read({ credentials: () => "Bearer a" })).rejects.toMatchObject({ code });
  expect(net.asked.length).toBe(1);
});

test("what is open, and its end for everybody", async () => {
  const streams = [{ id: "b7c1", type: "answer", opened: "1", meta: { question: 7 } }];
  const json = (value: object) => new Response(JSON.stringify(value), { headers: { "content-type": "application/json" } });
  net.script = [json({ streams }), page("", "4", true)];
  expect(await openMessages("chat", options)).toEqual(streams);
  await cancelMessage("chat", "b/1", options);
  expect(net.asked.map(({ method, url }) => `${method} ${url}`)).toEqual([
    "GET https://x.example/_tako/channels/chat/streams?roomId=a",
    "DELETE https://x.example/_tako/channels/chat/streams/b%2F1?roomId=a",
  ]);
});

test("what a streamed message is", () => {
  const data = { stream: { id: "a", state: "open" }, text: "" };
  expect(streamedIn(data)).toBe(data);
  for (const other of [null, undefined, 1, "a", {}, { stream: 1 }, { stream: { id: 1 } }]) expect(streamedIn(other)).toBe(undefined);
});

test("a wrong address is said, with what came from it", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  try {
    for (const [body, type] of [["<html>a page</html>", "text/html"], ['{"ok":true}', "application/json"]] as const) {
      const fetch = async () => new Response(body, { headers: { "content-type": type } });
      const message = expect.stringContaining(`HTTP 200 (${type}), not from takotwist`) as string;
      for (const ask of [() => openMessages("chat", { ...options, fetch }), () => read({ fetch })]) {
        const said = expect(ask()).rejects.toMatchObject({ code: "http-200", message });
        await vi.advanceTimersByTimeAsync(40_000);
        await said;
      }
    }
  } finally {
    vi.useRealTimers();
  }
});

test("a stream that is none of values is no message", async () => {
  net.script = [page("some text", "1")];
  await expect(read()).rejects.toMatchObject({ code: "protocol-broken" });
});
