// Everybody may come in under any name. With a login instead: see README.md.
import { $, enterRoom } from "./room.js";

$("enter").hidden = false;
$("enter").onsubmit = (event) => {
  event.preventDefault();
  const author = new FormData($("enter")).get("name");
  enterRoom("lobby", (text) => ({ author, text }));
};
