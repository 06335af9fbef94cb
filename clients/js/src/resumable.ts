/**
 * The calls of the package `resumable-stream`, over durable streams.
 *
 * There the text is in the memory of the process that writes it, and readers ask that process by
 * publish and subscribe. Here it is in the log: it outlives its writer, and a reader that is cut
 * goes on.
 */

import { createStream, deleteStream, readStream, streamState, type StreamWriter, type WriteOptions } from "./durable_stream.js";
import { TakoError } from "./errors.js";

export interface ResumableOptions extends Omit<WriteOptions, "expiresAt"> {
  /** Where streams are, such as `https://live.example.com/streams/answers`. */
  readonly url: string | URL;
  /** Keeps the process until a stream is written; `null` where it stays by itself. */
  readonly waitUntil: ((work: Promise<unknown>) => void) | null;
}

export interface ResumableStreamContext {
  /** Make the stream, or read along. `null` where it is done. */
  resumableStream(
    id: string,
    makeStream: () => ReadableStream<string>,
    skipCharacters?: number,
  ): Promise<ReadableStream<string> | null>;
  /** Make the stream, also where there was one of that id. */
  createNewResumableStream(id: string, makeStream: () => ReadableStream<string>): Promise<ReadableStream<string>>;
  /** Read along. `null` where it is done, `undefined` where there is none. */
  resumeExistingStream(id: string, skipCharacters?: number): Promise<ReadableStream<string> | null | undefined>;
  hasExistingStream(id: string): Promise<null | true | "DONE">;
}

const DAY = 24 * 60 * 60;

/**
 * A time that nobody else has: a stream that was made with it is one's own, also where the answer
 * to its making was lost and it was made again.
 */
function ownTime(seconds: number): string {
  const micro = String(Math.floor(Math.random() * 1e6)).padStart(6, "0");
  return new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+Z$/, `.${micro}Z`);
}

export function createResumableStreamContext({ url, waitUntil, ...given }: ResumableOptions): ResumableStreamContext {
  const options: WriteOptions = { contentType: "text/event-stream", ttl: DAY, ...given };
  const create = (id: string): Promise<StreamWriter> =>
    createStream(at(id), { ...options, expiresAt: ownTime(options.ttl ?? DAY) });
  const at = (id: string): string => `${String(url).replace(/\/$/, "")}/${encodeURIComponent(id)}`;

  function produce(id: string, out: StreamWriter, makeStream: () => ReadableStream<string>): ReadableStream<string> {
    const written = out.from(makeStream()).catch(async () => {
      // No end would have its readers wait, and an end would be a lie.
      await deleteStream(at(id), options).catch(() => {});
    });
    waitUntil?.(written);
    return read(id);
  }

  /** Nothing is asked for before it is read. */
  function read(id: string, skipCharacters = 0): ReadableStream<string> {
    const pages = readStream(at(id), options).getReader();
    // A character that was cut in two is put together before it is counted.
    const decoder = new TextDecoder();
    let skip = skipCharacters;
    return new ReadableStream(
      {
        async pull(controller) {
          for (let rest = ""; !rest; ) {
            const { done, value } = await pages.read();
            const text = decoder.decode(value, { stream: !done });
            rest = text.slice(skip);
            skip = Math.max(0, skip - text.length);
            if (rest) controller.enqueue(rest);
            if (done) return controller.close();
          }
        },
        cancel: (reason) => pages.cancel(reason),
      },
      { highWaterMark: 0 },
    );
  }

  async function existing(id: string, skipCharacters?: number): Promise<ReadableStream<string> | null | undefined> {
    const state = await streamState(at(id), options);
    if (state === "ended") return null;
    return state && read(id, skipCharacters);
  }

  return {
    async resumableStream(id, makeStream, skipCharacters) {
      try {
        return produce(id, await create(id), makeStream);
      } catch (error) {
        if (!(error instanceof TakoError && error.code === "stream-different")) throw error;
        return (await existing(id, skipCharacters)) ?? null;
      }
    },

    async createNewResumableStream(id, makeStream) {
      await deleteStream(at(id), options);
      return produce(id, await create(id), makeStream);
    },

    resumeExistingStream: existing,

    async hasExistingStream(id) {
      const state = await streamState(at(id), options);
      return state === "ended" ? "DONE" : state ? true : null;
    },
  };
}
