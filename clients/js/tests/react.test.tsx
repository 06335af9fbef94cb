// @vitest-environment jsdom
/** The hooks, in React's own renderer. */

import { act, StrictMode, useState } from "react";
import { createRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Client, createClient } from "../src/index.js";
import { useChannel, useChannelEvent, type UseChannelOptions, type UseChannelResult } from "../src/react.js";
import { message, World } from "./world.js";

type Chat = { msg: { text: string } };

let world: World;
let client: Client;
let root: Root;
let page: HTMLElement;

beforeEach(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  world = new World();
  client = createClient({ ...world.environment, url: "https://x.example" });
  page = document.createElement("div");
  root = createRoot(page);
});

afterEach(async () => {
  await act(() => root.unmount());
  await world.settle();
  expect([world.timers.size, world.sleepers.size]).toEqual([0, 0]);
});

let last: UseChannelResult<Chat>;
let renders = 0;

function Room(options: UseChannelOptions) {
  last = useChannel<Chat>("chat", { client, ...options });
  renders++;
  return <p>{`${last.status}: ${last.messages.map(({ data }) => data.text).join(" ")}`}</p>;
}

async function say(text: string, id: string, params: object = {}): Promise<void> {
  await act(() => world.socket.frame(message(id, params, "msg", { text })));
}

describe("useChannel", () => {
  test("shows messages as they come, and closes when the component goes", async () => {
    await act(() => root.render(<Room />));
    expect(page.textContent).toBe("connecting: ");
    await act(() => world.accept());
    await say("hello", "2");
    await say("world", "3");
    expect(page.textContent).toBe("open: hello world");
    await act(() => root.render(null));
    await world.settle();
    expect(world.socket.closed).toBe(true);
  });

  test("in strict mode opens one connection and subscribes once", async () => {
    await act(() => root.render(<StrictMode><Room /></StrictMode>));
    await act(() => world.accept());
    await say("once", "2");
    expect(page.textContent).toBe("open: once");
    expect([world.sockets.length, world.socket.count("subscribe")]).toEqual([1, 1]);
  });

  test("of two components that name one topic share the subscription", async () => {
    await act(() =>
      root.render(
        <>
          <Room params={{ roomId: "a" }} credentials={() => "Bearer 1"} />
          <Room params={{ roomId: "a" }} credentials={() => "Bearer 2"} />
        </>,
      ),
    );
    await act(() => world.accept());
    await say("hi", "2", { roomId: "a" });
    expect(page.textContent).toBe("open: hiopen: hi");
    expect([world.sockets.length, world.socket.count("subscribe")]).toEqual([1, 1]);
  });

  test("compares params by value and functions not at all", async () => {
    const draw = (roomId: string) =>
      act(() => root.render(<Room params={{ roomId, tags: ["x"] }} credentials={() => "Bearer abc"} />));
    await draw("a");
    await act(() => world.accept());
    await draw("a");
    await say("a", "2", { roomId: "a", tags: ["x"] });
    expect(world.socket.count("subscribe")).toBe(1);
    await draw("b");
    expect(page.textContent).toBe("connecting: ");
    await act(() => world.settle());
    expect(world.socket.count("subscribe")).toBe(2);
    expect(world.socket.count("unsubscribe")).toBe(1);
    expect(world.sockets.length).toBe(1);
  });

  test("asks the latest function for credentials", async () => {
    await act(() => root.render(<Room credentials={() => "Bearer old"} />));
    await act(() => world.accept());
    await act(() => root.render(<Room credentials={() => "Bearer new"} />));
    await act(async () => {
      world.socket.lose();
      await world.advance(0);
      await world.accept();
    });
    expect(world.socket.last("subscribe").auth).toBe("Bearer new");
  });

  test("keeps the newest messages only", async () => {
    await act(() => root.render(<Room limit={2} />));
    await act(() => world.accept());
    for (const [at, text] of ["a", "b", "c"].entries()) await say(text, `${at + 2}`);
    expect(page.textContent).toBe("open: b c");
    await act(() => last.clear());
    expect(page.textContent).toBe("open: ");
  });

  test("says that messages were missed until it is cleared", async () => {
    await act(() => root.render(<Room cursor="1" />));
    await act(() => world.accept());
    const { ref } = world.socket.last("subscribe");
    await act(() => world.socket.frame({ op: "reset", ref, reason: "replay-too-old", cursor: "9" }));
    expect(last.error?.code).toBe("replay-too-old");
    expect(last.status).toBe("open");
    await act(() => last.clear());
    expect(last.error).toBeUndefined();
  });

  test("calls the latest onGone", async () => {
    const called: string[] = [];
    const draw = (name: string) => act(() => root.render(<Room cursor="1" onGone={() => void called.push(name)} />));
    await draw("old");
    await draw("new");
    await act(async () => {
      await world.settle();
      world.socket.open();
      await world.settle();
      world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code: "replay-too-old", error: "" });
      await world.advance(0);
    });
    expect(called).toEqual(["new"]);
    expect(world.socket.count("subscribe")).toBe(2);
  });

  test("sends", async () => {
    await act(() => root.render(<Room />));
    await act(() => world.accept());
    const sent = last.send("msg", { text: "hi" });
    world.socket.frame({ op: "ack", ref: world.socket.last("publish").ref, id: "7" });
    expect(await sent).toBe("7");
    const { send } = last;
    await act(() => root.render(null));
    await expect(send("msg", { text: "late" })).rejects.toMatchObject({ code: "channel-closed" });
  });

  test("shows why it was refused", async () => {
    await act(() => root.render(<Room />));
    await act(async () => {
      await world.settle();
      world.socket.open();
      await world.settle();
      world.socket.frame({ op: "error", ref: world.socket.last("subscribe").ref, code: "verify-rejected", error: "No." });
    });
    expect([last.status, last.error?.code]).toEqual(["closed", "verify-rejected"]);
  });

  test("is closed while it is not enabled", async () => {
    await act(() => root.render(<Room enabled={false} />));
    await world.settle();
    expect([page.textContent, world.sockets.length]).toEqual(["closed: ", 0]);
    await act(() => root.render(<Room enabled />));
    await act(() => world.accept());
    expect(page.textContent).toBe("open: ");
  });

  test("renders on a server, where nothing connects", async () => {
    expect(renderToString(<Room client={createClient()} params={{ roomId: "a" }} />)).toBe("<p>connecting: </p>");
    await world.settle();
    expect(world.sockets.length).toBe(0);
  });

  test("joins a topic that is open already", async () => {
    await act(() => root.render(<Room key="1" />));
    await act(() => world.accept());
    await act(() =>
      root.render(
        <>
          <Room key="1" />
          <Room key="2" />
        </>,
      ),
    );
    expect(page.textContent).toBe("open: open: ");
  });
});

describe("useChannelEvent", () => {
  test("calls the latest handler for its type and renders nothing", async () => {
    const heard: string[] = [];
    let setPrefix: (prefix: string) => void = () => {};
    function Ear() {
      const [prefix, set] = useState("a");
      setPrefix = set;
      renders++;
      useChannelEvent<Chat, "msg">("chat", "msg", (data) => heard.push(prefix + data.text), { client });
      return null;
    }
    await act(() => root.render(<StrictMode><Ear /></StrictMode>));
    await act(() => world.accept());
    await say("1", "2");
    await act(() => setPrefix("b"));
    const before = renders;
    await say("2", "3");
    await act(() => world.socket.frame(message("4", {}, "other")));
    expect(heard).toEqual(["a1", "b2"]);
    expect(renders).toBe(before);
    expect(world.socket.count("subscribe")).toBe(1);
  });
});
