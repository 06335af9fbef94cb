/** The calls of `resumable-stream`, with a network that is a script. */

import type { ResumableStreamContext as Original } from "resumable-stream/generic";
import { beforeEach, expect, test } from "vitest";
import { createResumableStreamContext, type ResumableStreamContext } from "../src/resumable.js";
import { page, refused, ScriptedFetch } from "./scripted_fetch.js";

let net: ScriptedFetch;
let work: Promise<unknown>[];
let streams: ResumableStreamContext;

beforeEach(() => {
  net = new ScriptedFetch();
  work = [];
  const waitUntil = (each: Promise<unknown>) => void work.push(each);
  streams = createResumableStreamContext({ url: "https://x.example/streams/", fetch: net.fetch, waitUntil, ttl: 60 });
});

const source = (...texts: string[]) => () =>
  new ReadableStream<string>({
    start(controller) {
      texts.forEach((text) => controller.enqueue(text));
      controller.close();
    },
  });

async function text(stream: ReadableStream<string> | null | undefined): Promise<string> {
  let all = "";
  for await (const piece of stream as unknown as AsyncIterable<string>) all += piece;
  return all;
}

const methods = () => net.asked.map(({ method }) => method).join(" ");

test("it is what the package's own type says", () => {
  const same: Original = streams;
  expect(same).toBe(streams);
});

test("the first one makes the stream, and reads it from the log", async () => {
  net.script = [page("", "0"), page("", "1"), page("", "1", true)];
  const stream = await streams.resumableStream("a b", source("one"));
  await Promise.all(work);
  net.script = [page("one", "1", true)];
  expect(await text(stream)).toBe("one");
  expect(methods()).toBe("PUT POST POST GET");
  expect(net.asked[0]?.url).toBe("https://x.example/streams/a%20b");
  const expires = Date.parse(net.asked[0]?.headers.get("stream-expires-at") ?? "");
  expect(Math.abs(expires - Date.now() - 60_000)).toBeLessThan(30_000);
});

test("the next one reads along, behind the characters that it has", async () => {
  const umlaut = new TextEncoder().encode("ä");
  const half = (bytes: Uint8Array, offset: string, closed = false) =>
    new Response(bytes.slice(), { headers: { "stream-next-offset": offset, ...(closed && { "stream-closed": "true" }) } });
  net.script = [
    refused(409, "stream-different"),
    page("", "3"),
    page("on", "1"),
    half(umlaut.subarray(0, 1), "2"),
    half(umlaut.subarray(1), "3"),
    page("e", "4", true),
  ];
  expect(await text(await streams.resumableStream("a", () => expect.fail("made twice"), 3))).toBe("e");
  expect(methods()).toBe("PUT HEAD GET GET GET GET");
});

test("what is done, and what is not there", async () => {
  const gone = () => new Response(null, { status: 404 });
  const done = () => page("", "1", true);
  net.script = [refused(409, "stream-different"), done(), done(), gone(), done(), gone(), page("", "1")];
  expect(await streams.resumableStream("a", () => expect.fail("made twice"))).toBe(null);
  expect(await streams.resumeExistingStream("a")).toBe(null);
  expect(await streams.resumeExistingStream("a")).toBe(undefined);
  expect(await streams.hasExistingStream("a")).toBe("DONE");
  expect(await streams.hasExistingStream("a")).toBe(null);
  expect(await streams.hasExistingStream("a")).toBe(true);
});

test("one that is made anew takes the place of the last", async () => {
  net.script = [new Response(null, { status: 204 }), page("", "0"), page("", "1", true)];
  await streams.createNewResumableStream("a", source());
  await Promise.all(work);
  expect(methods()).toBe("DELETE PUT POST");
});

test("a source that fails takes its stream with it", async () => {
  net.script = [page("", "0"), new Response(null, { status: 204 })];
  const failing = () => new ReadableStream<string>({ start: (controller) => controller.error(new Error("broke off")) });
  const stream = await streams.resumableStream("a", failing);
  await Promise.all(work);
  net.script = [refused(404, "not-found")];
  await expect(text(stream)).rejects.toMatchObject({ code: "not-found" });
  expect(methods()).toBe("PUT DELETE GET");
});
