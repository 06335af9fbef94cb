import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Chat } from "./chat";
import "./style.css";

createRoot(document.getElementById("page")!).render(
  <StrictMode>
    <Chat roomId="lobby" />
  </StrictMode>,
);

// While you develop: what is wrong with the server's side is in the console too.
const dev = "/_tako/dev.js";
if (import.meta.env.DEV) void import(/* @vite-ignore */ dev).catch(() => undefined);
