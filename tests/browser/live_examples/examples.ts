/**
 * What a page does with live objects, as its author writes it: typed by what `tako types` wrote.
 *
 * Each function gives what it saw. Rule: no type is written here that the server has said already.
 */

import { call, createLive, type Info } from "takotwist/live";

const until = async (holds: () => boolean) => {
  for (let tries = 0; !holds(); tries++) {
    if (tries === 500) throw new Error(`not within 10 s: ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

export async function clock() {
  const { channel } = await call("onClock");
  const times: number[] = [];
  channel.listen((time) => void times.push(time));
  await until(() => times.length === 3);
  const code = await channel.close();
  return { times, code, closed: channel.isClosed };
}

export async function echo() {
  const { channel } = await call("onEcho");
  const heard: string[] = [];
  channel.listen((text) => void heard.push(text));
  void channel.send("Hello!");
  await until(() => heard.length === 1);
  return heard;
}

export async function room() {
  const { channel } = await call("onJoinRoom");
  const texts: string[] = [];
  const unlisten = channel.listen((message) => {
    texts.push(`${message.type}: ${message.text}`);
    return { delivered: true };
  });
  const ack = await channel.send({ type: "join", roomId: "general" });
  await channel.send({ type: "chat", text: "hi" });
  await until(() => texts.length === 2);
  unlisten();
  await channel.send({ type: "chat", text: "nobody listens" });
  return { accepted: ack.accepted, texts };
}

export async function status(name: "onStatus" | "onStatusOnce") {
  const { channel } = await call(name);
  const texts: string[] = [];
  channel.listen((message) => {
    if (message) texts.push(message.text);
    return { seen: true };
  });
  channel.listenBinary((data) => ({ seen: data.byteLength === 5 }));
  await until(() => texts.length === (name === "onStatus" ? 3 : 2));
  return texts;
}

export async function binary() {
  const { channel } = await call("onBinary");
  const sizes: number[] = [];
  channel.listenBinary((data) => void sizes.push(data.byteLength));
  await until(() => sizes.length === 1);
  const frame = new Uint8Array([7, 8, 9, 10]);
  const ack = await channel.sendBinary(frame, { ack: true });
  const nobody = await channel.sendBinary(frame, { ack: true }).catch((error: Error) => error.message);
  await channel.sendBinary(frame.buffer);
  return { sizes, ack, nobody };
}

/** Awaited, a loop goes no faster than its receiver; the window is 1 MiB, and each frame is a tenth of it. */
export async function backpressure() {
  const { channel } = await call("onFrames");
  const frames = Array.from({ length: 40 }, () => new Uint8Array(104_858));
  for (const frame of frames) await channel.sendBinary(frame);
  const taken = await channel.send("how many?", { ack: true });
  void channel.send({ type: "ping" });
  return { sent: frames.length, taken };
}

/** The other way round: the server's loop waits for this listener. */
export async function slowly() {
  const { channel } = await call("onStream", [60]);
  const numbers: number[] = [];
  let pinged = false;
  channel.listenBinary(async (data) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    numbers.push(new DataView(data.buffer).getUint32(0));
  });
  channel.listen(() => void (pinged = true));
  await until(() => pinged && numbers.length === 60);
  return numbers;
}

export async function bus() {
  const lobby = await call("onLobby");
  const heard: [text: string, seq: number][] = [];
  lobby.subscribe(({ text }, info) => void heard.push([text, info.seq]));
  await new Promise<void>((resolve) => void lobby.onOpen(resolve));
  // What is awaited here makes sure that the server knows of the subscription.
  const first: Info = await lobby.publish({ text: "from the page" });
  const receipt = await call("onAnnounce", { text: "Hello!" });
  await until(() => heard.length === 2);
  return { heard, receipt, first: first.seq, server: await call("onHeard") };
}

export async function chat(user: string) {
  const chat = await call("onJoinChat", ["lobby", user]);
  const lines: string[] = [];
  const binary: number[] = [];
  // Everything that is published to the room, also by this page.
  chat.subscribe((message, info) => void lines.push(`#${info.seq} ${message.user}: ${message.text}`));
  chat.subscribeBinary((data) => void binary.push(...data));
  return { lines, binary, say: (text: string) => chat.publish({ user, text }), draw: (data: Uint8Array) => chat.publishBinary(data), leave: () => chat.close() };
}

export async function toasts() {
  // Signed in: another session than that of the objects that anybody may have.
  document.cookie = "session=ann-session; path=/";
  const broadcast = await createLive().call("onListenToasts");
  const shown: string[] = [];
  broadcast.subscribe((toast) => void shown.push(toast));
  return shown;
}

export async function abort() {
  const { channel } = await call("onEcho");
  const ended = new Promise<unknown>((resolve) => channel.onClose((error) => resolve(error?.code)));
  channel.abort("enough");
  const late = await channel.send("late").catch((error: { code: string }) => error.code);
  return [await ended, late];
}
