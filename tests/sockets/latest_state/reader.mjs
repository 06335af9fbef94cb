// Follows one channel from its latest state with the client, and prints what comes, a JSON text a line.
//
//   node reader.mjs URL CHANNEL
import { WebSocket } from "ws";
import { createClient } from "./client.mjs";

const [, , url, name] = process.argv;
const client = createClient({ url, WebSocket, transport: "websocket" });
const channel = client.channel(name, { cursor: "newest" });
channel.onState((state) => console.log(JSON.stringify({ state })));
channel.subscribe(({ type, data }) => console.log(JSON.stringify({ type, data })));
