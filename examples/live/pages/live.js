/** The page's ends of the live objects in functions/. */

import { Abort, call, createLive } from "/_tako/live.js";

const part = (id) => {
  const section = document.getElementById(id);
  const find = (selector) => section.querySelector(selector);
  const say = (text) => {
    const line = document.createElement("li");
    line.textContent = text;
    find("ul").append(line);
    line.scrollIntoView({ block: "nearest" });
  };
  /** Call with the text of each submit. */
  const onText = (send) => {
    find("form").addEventListener("submit", (event) => {
      event.preventDefault();
      send(find("input").value);
      find("input").value = "";
    });
  };
  return { find, say, onText };
};

async function clock() {
  const { find } = part("clock");
  const { channel } = await call("onClock");
  channel.listen((time) => (find("output").value = new Date(time).toLocaleTimeString()));
  channel.onClose((error) => (find("button").textContent = error ? error.message : "Stopped"));
  find("button").addEventListener("click", () => channel.close());
}

async function echo() {
  const { say, onText } = part("echo");
  const { channel } = await call("onEcho");
  channel.listen(say);
  onText((text) => channel.send(text));
}

async function room() {
  const { say, onText } = part("room");
  const { channel } = await call("onJoinRoom");
  channel.listen(({ text }) => {
    say(text);
    return { delivered: true };
  });
  const send = async (message) => {
    const { accepted } = await channel.send(message);
    say(accepted ? "accepted" : "refused");
  };
  await send({ type: "join", roomId: "general" });
  onText((text) => send({ type: "chat", text }));
}

async function chat() {
  const { say, onText } = part("chat");
  const user = `guest ${Math.ceil(Math.random() * 999)}`;
  const broadcast = await call("onJoinChat", ["lobby", user]);
  broadcast.subscribe((message, { seq }) => say(`#${seq} ${message.user}: ${message.text}`));
  onText((text) => broadcast.publish({ user, text }));
}

async function notifications() {
  const { find, say } = part("notifications");
  // What logging in would do.
  document.cookie = "session=ann-session; path=/; SameSite=Lax";
  // Signed in, and so another session than that of the objects that anybody may have.
  const broadcast = await createLive().call("onListenNotifications");
  broadcast.subscribe(say);
  find("button").addEventListener("click", () => fetch("/orders", { method: "POST" }));
}

function progress() {
  const { find } = part("progress");
  const button = find("button");
  let running;
  button.addEventListener("click", async () => {
    if (running) return running.close();
    button.textContent = "Cancel";
    ({ progress: running } = await call("onExport", [10]));
    let cancelled = true;
    running.listen(({ done, of, file }) => {
      if (file) cancelled = false;
      else find("progress").value = done / of;
      find("output").value = file ?? `${done} of ${of}`;
    });
    running.onClose((error) => {
      if (cancelled) find("output").value = error?.message ?? "Cancelled.";
      button.textContent = "Begin";
      running = undefined;
    });
  });
}

const PIECE = 64 * 1024;

function upload() {
  const { find } = part("upload");
  find("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const [file] = find("input").files;
    const { channel } = await call("onUpload", [file.name]);
    try {
      for (let at = 0; at < file.size; at += PIECE) {
        await channel.sendBinary(await file.slice(at, at + PIECE).arrayBuffer());
        find("progress").value = Math.min(1, (at + PIECE) / file.size);
      }
      const { size, sha256 } = await channel.send("done", { ack: true });
      find("output").value = `${size} bytes, SHA-256 ${sha256}`;
      await channel.close();
    } catch (error) {
      find("output").value = error instanceof Abort ? `Refused: ${JSON.stringify(error.abortValue)}` : error.message;
    }
  });
}

progress();
upload();
await Promise.all([clock(), echo(), room(), chat(), notifications()]);
