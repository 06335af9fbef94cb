// @vitest-environment jsdom
/** The hooks, in React's own renderer. */

import { act, Activity, StrictMode, useState } from "react";
import { createRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Client, createClient } from "../src/index.js";
import { useChannel, useChannelEvent, type UseChannelOptions, type UseChannelResult } from "../src/react.js";
import { webTransport } from "../src/webtransport.js";
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

  test.each([
    ["enabled goes off and on", (on: boolean) => <Room cursor="1" enabled={on} />],
    ["an Activity hides it and shows it", (on: boolean) => <Activity mode={on ? "visible" : "hidden"}><Room cursor="1" /></Activity>],
    ["that happens in strict mode", (on: boolean) => <StrictMode><Room cursor="1" enabled={on} /></StrictMode>],
  ])("shows each message once when %s", async (_name, draw) => {
    await act(() => root.render(draw(true)));
    for (let run = 0; run < 3; run++) {
      await act(() => world.accept());
      await say("a", "2");
      await say("b", "3");
      expect(world.socket.last("subscribe").cursor).toBe("1");
      expect(last.messages.map(({ id }) => id)).toEqual(["2", "3"]);
      await act(() => root.render(draw(false)));
      await act(() => world.settle());
      await act(() => root.render(draw(true)));
      expect([last.status, last.messages]).toEqual(["connecting", []]);
    }
  });

  test("keeps what it shows while it is not enabled", async () => {
    await act(() => root.render(<Room cursor="1" />));
    await act(() => world.accept());
    await say("a", "2");
    await act(() => root.render(<Room cursor="1" enabled={false} />));
    expect(page.textContent).toBe("closed: a");
    await act(() => root.render(<Room cursor="1" enabled={false} params={{ roomId: "other" }} />));
    expect(page.textContent).toBe("closed: ");
  });

  test("with a limit of 0 keeps none, and a limit that changes opens nothing anew", async () => {
    await act(() => root.render(<Room limit={0} />));
    await act(() => world.accept());
    for (let at = 2; at < 7; at++) await say("a", `${at}`);
    expect(page.textContent).toBe("open: ");
    await act(() => root.render(<Room limit={2} />));
    for (const [at, text] of ["b", "c", "d"].entries()) await say(text, `${at + 7}`);
    expect(page.textContent).toBe("open: c d");
    await act(() => root.render(<Room limit={1} />));
    expect(page.textContent).toBe("open: d");
    expect(world.socket.count("subscribe")).toBe(1);
  });

  test("with options that are made while rendering opens once and renders for its messages only", async () => {
    const Inline = () => (
      <Room
        params={{ ids: [1, 2], big: 10n, room: "a" }}
        credentials={() => "Bearer abc"}
        onGone={() => {}}
        transport={webTransport()}
      />
    );
    await act(() => root.render(<Inline />));
    await act(() => world.settle());
    const before = renders;
    for (let turn = 0; turn < 3; turn++) await act(() => root.render(<Inline />));
    await act(() => world.settle());
    expect(renders - before).toBe(3);
    expect(last.error?.code).toBe("no-webtransport");
  });

  test("shows params that cannot be said as a refusal, and does not spin", async () => {
    const Wrong = () => <Room params={{ room: Number.NaN, at: new Date() as never }} />;
    await act(() => root.render(<Wrong />));
    await act(() => world.settle());
    const before = renders;
    await act(() => root.render(<Wrong />));
    expect([last.status, last.error?.code, renders - before]).toEqual(["closed", "params-invalid", 1]);
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
  test("gives resets, and the messages behind them once", async () => {
    const heard: unknown[] = [];
    function Ear() {
      useChannelEvent("chat", "tako.reset", (data) => heard.push(data), { client, cursor: "1" });
      useChannelEvent("chat", "msg", (_data, { id }) => heard.push(id), { client, cursor: "1" });
      return null;
    }
    await act(() => root.render(<Ear />));
    await act(() => world.settle());
    for (const socket of world.sockets) {
      await act(async () => {
        socket.open();
        await world.settle();
        const { ref } = socket.last("subscribe");
        socket.frame({ op: "ack", ref, cursor: "9", params: {} });
        socket.frame({ op: "reset", ref, channel: "chat", params: {}, reason: "replay-too-old", cursor: "9" });
        for (const id of ["10", "10", "11"]) socket.frame(message(id, {}));
      });
    }
    expect(heard).toEqual([{ reason: "replay-too-old", cursor: "9" }, "10", "11"]);
  });

  test("gives messages whose ids are lower since a reset", async () => {
    const heard: string[] = [];
    function Ear() {
      useChannelEvent<Chat, "msg">("chat", "msg", (_data, { id }) => heard.push(id), { client, onGone: () => undefined });
      return null;
    }
    await act(() => root.render(<Ear />));
    await act(() => world.accept("90"));
    await act(() => world.socket.frame(message("91", {})));
    await act(async () => {
      const { ref } = world.socket.last("subscribe");
      world.socket.frame({ op: "error", ref, code: "cursor-invalid", error: "" });
      await world.advance(1_000);
    });
    await act(async () => {
      world.socket.frame({ op: "ack", ref: world.socket.last("subscribe").ref, cursor: "9", params: {} });
      world.socket.frame(message("10", {}));
      await world.settle();
    });
    expect(heard).toEqual(["91", "10"]);
  });

  test("gives each message once, though the channel begins anew from its cursor", async () => {
    const heard: string[] = [];
    function Ear({ on, roomId = "a" }: { on: boolean; roomId?: string }) {
      useChannelEvent<Chat, "msg">("chat", "msg", (_data, { id }) => heard.push(id), {
        client,
        params: { roomId },
        cursor: "0",
        enabled: on,
      });
      return null;
    }
    for (const on of [true, false, true]) await act(() => root.render(<Ear on={on} />));
    for (const from of [2, 3]) {
      await act(() => world.accept("0"));
      for (const id of [2, 3, from + 1]) await say("a", `${id}`, { roomId: "a" });
      for (const on of [false, true]) await act(() => root.render(<Ear on={on} />));
    }
    expect(heard).toEqual(["2", "3", "4"]);
    await act(() => root.render(<Ear on roomId="b" />));
    await act(() => world.accept("0"));
    await say("b", "2", { roomId: "b" });
    expect(heard).toEqual(["2", "3", "4", "2"]);
  });

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
