// The page.  The channel delivers; what is kept for good comes from /messages.
import { channel, typingIndicator } from "/_tako/client.js";

const ROOMS = ["lobby", "random"];
const MOST = 8; // avatars
const $ = (id) => document.getElementById(id);
const shown = new Map(); // message id -> its list item, so that nothing is shown twice
let room;

function avatar(name, hue) {
  const circle = document.createElement("i");
  circle.textContent = [...name][0];
  circle.title = name;
  circle.style.setProperty("--hue", hue);
  return circle;
}

function item({ id, author, hue, text, at }) {
  if (shown.has(id)) return;
  const li = document.createElement("li");
  const who = document.createElement("b");
  who.textContent = author;
  const time = document.createElement("time");
  time.textContent = new Date(at * 1000).toLocaleTimeString([], { timeStyle: "short" });
  const said = document.createElement("p");
  said.textContent = text;
  li.append(avatar(author, hue), who, time, said);
  li.style.setProperty("--hue", hue);
  Object.assign(li.dataset, { id, at, author });
  shown.set(id, li);
  const list = $("messages");
  // Nearly always the last; what was loaded may come after what was pushed.
  const next = [...list.children].findLast((one) => !(one.dataset.at > at));
  next ? next.after(li) : list.prepend(li);
  // What somebody says in one go stands under one name.
  for (const one of [li, li.nextElementSibling]) {
    const before = one?.previousElementSibling;
    one?.classList.toggle("more", before?.dataset.author === one.dataset.author);
  }
  list.scrollTop = list.scrollHeight;
}

function notice(text) {
  const li = document.createElement("li");
  li.className = "notice";
  li.textContent = text;
  $("messages").append(li);
}

async function load(name) {
  const kept = await (await fetch(`messages/${name}`)).json();
  if (room?.name === name) kept.forEach(item);
}

// Who is here, newest last, and who types.
function showPeople({ feed, indicator }) {
  const { members } = feed.presence;
  $("people").replaceChildren(
    ...members.slice(0, MOST).map(({ info, state }) => {
      const one = avatar(info.name, info.hue);
      one.classList.toggle("types", !!state?.typing);
      return one;
    }),
  );
  $("count").textContent = members.length === 1 ? "only you here" : `${members.length} people here`;
  const names = indicator.who().map(({ info }) => info.name);
  const verb = names.length > 1 ? "are" : "is";
  $("typing").textContent = names.length ? `${names.join(", ")} ${verb} typing…` : "\u00a0";
  $("typing").classList.toggle("on", names.length > 0);
}

function enter(name) {
  room?.indicator.close();
  room?.feed.close();
  shown.clear();
  $("messages").replaceChildren();
  for (const button of $("rooms").children)
    button.setAttribute("aria-current", String(button.textContent === name));
  const feed = channel("rooms", { params: { roomId: name } });
  const indicator = typingIndicator(feed.presence);
  const here = (room = { name, feed, indicator });
  feed.on("said", item);
  feed.presence.subscribe(() => room === here && showPeople(here));
  // Away for longer than the replay window: what was missed is in the app's own table.
  feed.on("tako.reset", () => {
    notice("You were away for long. What was said meanwhile has been loaded.");
    load(name);
  });
  feed.onState((state) => {
    $("state").textContent = state;
    $("state").dataset.state = state;
  });
  // Subscribed first and loaded second, so nothing falls in between.
  load(name);
}

function begin() {
  $("login").hidden = true;
  $("chat").hidden = false;
  $("rooms").replaceChildren(
    ...ROOMS.map((one) => {
      const button = document.createElement("button");
      button.textContent = one;
      button.onclick = () => enter(one);
      return button;
    }),
  );
  enter(ROOMS[0]);
}

$("login").onsubmit = async (event) => {
  event.preventDefault();
  const name = new FormData(event.target).get("name");
  const headers = { "content-type": "application/json" };
  const answer = await fetch("login", { method: "POST", headers, body: JSON.stringify({ name }) });
  if (answer.ok) begin();
};

$("say").onsubmit = async (event) => {
  event.preventDefault();
  const field = event.target.elements.text;
  const text = field.value;
  field.value = "";
  room.indicator.stopped();
  try {
    await room.feed.publish("said", { text });
  } catch (refused) {
    notice(`not sent: ${refused.message}`);
    field.value ||= text;
  }
};

$("say").oninput = () => room.indicator.typed();

const { name } = await (await fetch("me")).json();
name ? begin() : ($("login").hidden = false);
