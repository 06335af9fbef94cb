// Reads one streamed message with the client, and prints what comes, one JSON text a line.
//
//   node reader.mjs URL ID OFFSET [cancel KEY]
import { cancelMessage, openMessages, readMessage } from "takotwist/streams";

const [, , url, id, offset, cancel, key] = process.argv;
const options = { url, params: { roomId: "a" } };
const say = (what) => console.log(JSON.stringify(what));

if (cancel) await cancelMessage("chat", id, { ...options, credentials: `Bearer ${key}` });
else {
  say({ open: (await openMessages("chat", options)).map((one) => one.id) });
  const values = readMessage("chat", id, { ...options, offset, onOffset: (at) => say({ offset: at }) });
  for (;;) {
    const { done, value } = await values.next();
    if (done) {
      say({ end: value });
      break;
    }
    say({ value });
  }
}
