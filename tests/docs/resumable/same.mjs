// The same calls on the package `resumable-stream` and on ours: what each answers, one JSON text.
//
//   node same.mjs URL KEY
import { createResumableStreamContext as theirs } from "resumable-stream/generic";
import { createResumableStreamContext as ours } from "takotwist/resumable";

/** Publish and subscribe, and keys, in this process. */
function memory() {
  const listeners = new Map();
  const values = new Map();
  return {
    subscriber: {
      connect: async () => {},
      subscribe: async (channel, listener) => void listeners.set(channel, listener),
      unsubscribe: async (channel) => void listeners.delete(channel),
    },
    publisher: {
      connect: async () => {},
      publish: async (channel, message) => void setTimeout(() => listeners.get(channel)?.(message)),
      set: async (key, value) => void values.set(key, value),
      get: async (key) => values.get(key) ?? null,
      incr: async (key) => {
        const next = Number(values.get(key) ?? 0) + 1;
        if (Number.isNaN(next)) throw new Error("ERR value is not an integer or out of range");
        values.set(key, next);
        return next;
      },
    },
  };
}

async function text(stream) {
  if (!stream) return stream === null ? "null" : "undefined";
  let all = "";
  for await (const piece of stream) all += piece;
  return all;
}

/** A source that goes on when it is told to. */
function source() {
  let go;
  let made = 0;
  const told = new Promise((resolve) => (go = resolve));
  const make = () => {
    made++;
    return new ReadableStream({
      async start(controller) {
        controller.enqueue("one zwö ");
        await told;
        controller.enqueue("three");
        controller.close();
      },
    });
  };
  return { make, go, made: () => made };
}

async function scenario(streams) {
  const said = {};
  said.none = [await streams.hasExistingStream("a"), await text(await streams.resumeExistingStream("a"))];
  const first = source();
  const reading = [
    await streams.resumableStream("a", first.make),
    await streams.resumableStream("a", first.make),
    await streams.resumableStream("a", first.make, 4),
    await streams.resumeExistingStream("a", 7),
  ].map(text);
  said.during = await streams.hasExistingStream("a");
  first.go();
  said.read = await Promise.all(reading);
  said.made = first.made();
  while ((await streams.hasExistingStream("a")) !== "DONE") await new Promise((wait) => setTimeout(wait, 10));
  said.done = [
    await text(await streams.resumableStream("a", first.make)),
    await text(await streams.resumeExistingStream("a")),
    await streams.hasExistingStream("a"),
  ];
  const second = source();
  second.go();
  said.anew = await text(await streams.createNewResumableStream("a", second.make));
  return said;
}

const [, , url, key] = process.argv;
const headers = { authorization: `Bearer ${key}` };
console.log(
  JSON.stringify([
    await scenario(theirs({ waitUntil: () => {}, ...memory() })),
    await scenario(ours({ waitUntil: null, url, headers })),
  ]),
);
process.exit();
