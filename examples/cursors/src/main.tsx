import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Board } from "./board";

const board = new URLSearchParams(location.search).get("board") ?? "main";
const page = document.body.appendChild(document.createElement("div"));

createRoot(page).render(
  <StrictMode>
    <Board boardId={board} />
  </StrictMode>,
);
