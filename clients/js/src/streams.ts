/** Durable streams, and streamed messages of a topic. Beside the core, and without it. */

export {
  createStream,
  deleteStream,
  type ReadOptions,
  readStream,
  streamFetch,
  streamState,
  StreamWriter,
  type WriteOptions,
} from "./durable_stream.js";
export { TakoError } from "./errors.js";
export type { StreamOptions } from "./stream_request.js";
export {
  cancelMessage,
  type MessageOptions,
  openMessages,
  type OpenMessage,
  readMessage,
  type ReadMessageOptions,
  type StreamedData,
  streamedIn,
  type StreamEnd,
} from "./streamed_message.js";
