/** What does not compile, each for its own reason. */

import { channel, createClient } from "takotwist";
import { channel as nodeChannel } from "takotwist/node";
import { useChannel, useChannelEvent } from "takotwist/react";

const params = { roomId: "a" };
const chat = channel("chat", { params });

// @ts-expect-error: no channel has this name
channel("chta", { params });
// @ts-expect-error: params are required
channel("chat");
// @ts-expect-error: one is missing
channel("chat", { params: {} });
// @ts-expect-error: it is text
channel("chat", { params: { roomId: 1 } });
// @ts-expect-error: a misspelt optional one
channel("chat", { params: { roomId: "a", paeg: 2 } });
// @ts-expect-error: this channel has none
channel("site-news", { params: { roomId: "a" } });
// @ts-expect-error: a misspelt option
channel("chat", { params, curser: "0" });
// @ts-expect-error: no channel has this name
nodeChannel("chta", { params });
// @ts-expect-error: no channel of that server has this name
createClient<{ bids: { params: {}; messages: {} } }>().channel("chat", { params });

// @ts-expect-error: no message has this type
void chat.publish("mgs", { text: "hi" });
// @ts-expect-error: it is text
void chat.publish("msg", { text: 1 });
// @ts-expect-error: a field is missing
void chat.publish("msg", {});
// @ts-expect-error: none of its values
void chat.publish("msg", { text: "hi", kind: "loud" });
// @ts-expect-error: a misspelt field
void chat.publish("msg", { text: "hi", kidn: "code" });
// @ts-expect-error: no message has this type
chat.on("mgs", () => {});
// @ts-expect-error: no such field
chat.on("msg", (data) => console.log(data.txt));

export function Wrong() {
  // @ts-expect-error: no channel has this name
  useChannel("chta", { params });
  // @ts-expect-error: params are required
  useChannel("chat", { limit: 1 });
  // @ts-expect-error: it is text
  useChannel("chat", { params: { roomId: 1 } });
  const { send, messages } = useChannel("chat", { params });
  // @ts-expect-error: it is text
  void send("msg", { text: 1 });
  // @ts-expect-error: not every message has it
  messages.map(({ data }) => data.text);
  // @ts-expect-error: no channel has this name
  useChannelEvent("chta", "msg", () => {}, { params });
  // @ts-expect-error: no message has this type
  useChannelEvent("chat", "mgs", () => {}, { params });
  // @ts-expect-error: params are required
  useChannelEvent("chat", "msg", () => {});
  // @ts-expect-error: no such field
  useChannelEvent("chat", "msg", (data) => console.log(data.txt), { params });
  return null;
}
