// Whoever is logged in goes straight into the room; the server knows the name by its cookie.
import { $, enterRoom, notice } from "./room.js";

const { name } = await (await fetch("me")).json();
if (name) enterRoom("lobby", (text) => ({ text }));
else $("enter").hidden = false;

$("enter").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await fetch("login", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name: new FormData($("enter")).get("name") }),
  });
  if (answer.ok) enterRoom("lobby", (text) => ({ text }));
  else notice("That name cannot be used.");
};
