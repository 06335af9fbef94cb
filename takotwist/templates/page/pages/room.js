// A room on the page: it shows what is said, and sends what is typed.
import { channel } from "/_tako/client.js";

export const $ = (id) => document.getElementById(id);

// `compose` makes a message of a text.
export function enterRoom(roomId, compose) {
  $("enter").hidden = true;
  $("say").hidden = false;
  $("say").text.focus();

  // cursor "0": all that is still kept comes first. Left out, it begins with what is said from now on.
  const chat = channel("chat", { params: { roomId }, cursor: "0" });
  chat.on("msg", show);
  chat.on("tako.reset", () => notice("You were away for too long; some messages are not shown."));
  chat.onState((state) => {
    $("state").textContent = state;
    $("state").dataset.state = state;
  });

  $("say").onsubmit = async (event) => {
    event.preventDefault();
    const text = $("say").text.value;
    $("say").reset();
    try {
      await chat.publish("msg", compose(text)); // resolves when it is stored
      notice("");
    } catch (refused) {
      notice(refused.message);
    }
  };
}

export function notice(text) {
  $("notice").textContent = text;
}

function show({ author, text }) {
  const name = Object.assign(document.createElement("b"), { textContent: author });
  const line = document.createElement("li");
  line.append(name, text);
  $("messages").append(line);
  line.scrollIntoView();
}
