// A page with the AI SDK, driven by lines on the standard input: what the page of the documentation
// does, with the class that `useChat` is made of.
//
//   node page.mjs ORIGIN CHAT STREAMS      STREAMS: what stands in for the server of streams, or nothing
import { createInterface } from "node:readline";
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { streamFetch } from "takotwist/streams";

const [, , origin, id, streams] = process.argv;
const headers = () => ({ authorization: "Bearer ann" });
/** A network in which the server of streams is elsewhere. */
const elsewhere = (input, init) => fetch(streams ? String(input).replace(/^http:..127.0.0.1:\d+(?=.streams)/, streams) : input, init);
const transport = new DefaultChatTransport({ api: `${origin}/api/chat`, headers, fetch: streamFetch({ headers, fetch: elsewhere }) });
const chat = new Chat({ id, transport, messages: [{ id: "q", role: "user", parts: [{ type: "text", text: "Tell me." }] }] });

const text = () =>
  chat.messages
    .filter(({ role }) => role === "assistant")
    .map(({ parts }) => parts.map((part) => (part.type === "text" ? part.text : "")).join(""));

let shown = "";
setInterval(() => {
  const now = JSON.stringify({ status: chat.status, error: chat.error?.message, text: text() });
  if (now !== shown) console.log((shown = now));
}, 10);

createInterface({ input: process.stdin }).on("line", async (line) => {
  if (line === "ask") void chat.sendMessage();
  if (line === "resume") void chat.resumeStream();
  if (line === "cancel") {
    await fetch(`${origin}/api/chat/${id}/stream`, { method: "DELETE", headers: headers() });
    await chat.stop();
  }
});
