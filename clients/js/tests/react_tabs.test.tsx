// @vitest-environment jsdom
/** The hooks with a client that shares its connection, and keeps publishes: nothing of a component changes. */

import { act, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { expect, test } from "vitest";
import { offlineClient } from "../src/offline.js";
import { useChannel, usePresence } from "../src/react.js";
import { FakeBrowser } from "./tabs_world.js";

type Chat = { msg: { text: string } };

test("what a component sends offline is sent by that of the next page", async () => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  const browser = new FakeBrowser();
  const settle = async () => {
    for (let turn = 0; turn < 8; turn++) await browser.world.settle();
  };
  const mount = async () => {
    const tab = browser.tab();
    const { environment, page } = tab;
    const options = { identity: "u1", onReturned: () => {} };
    const client = await offlineClient(tab.client(), options, { environment, page, indexedDB: browser.indexedDB });
    let send = (_text: string): void => {};
    function Room() {
      const room = useChannel<Chat>("chat", { client, params: { roomId: "a" } });
      send = (text) => void room.send("msg", { text });
      return <p>{room.messages.map(({ data }) => data.text).join(" ")}</p>;
    }
    const element = document.createElement("div");
    const root = createRoot(element);
    await act(async () => {
      root.render(<StrictMode><Room /></StrictMode>);
      await settle();
    });
    return { tab, client, root, element, send: (text: string) => send(text) };
  };
  browser.server.up = false;
  const before = await mount();
  before.send("one");
  await act(settle);
  before.tab.kill();
  const after = await mount();
  browser.server.up = true;
  await act(async () => {
    await browser.world.advance(60_000);
    await settle();
  });
  expect(browser.server.log.map(({ data }) => data)).toEqual([{ text: "one" }]);
  expect([browser.server.most, after.element.textContent]).toEqual([1, "one"]);
  await act(async () => {
    before.root.unmount();
    after.root.unmount();
    after.client.close();
    await settle();
  });
});

test("a component in each of two tabs shows all, once, over one connection, also when the leader goes", async () => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  const browser = new FakeBrowser();
  const mount = async () => {
    const tab = browser.tab();
    const client = tab.client();
    function Room() {
      const { messages, status, send } = useChannel<Chat>("chat", { client, params: { roomId: "a" } });
      usePresence("chat", { client, params: { roomId: "a" } });
      return <p onClick={() => void send("msg", { text: "from here" })}>{`${status}: ${messages.map(({ data }) => data.text).join(" ")}`}</p>;
    }
    const page = document.createElement("div");
    const root = createRoot(page);
    await act(async () => {
      root.render(<StrictMode><Room /></StrictMode>);
      await browser.world.settle();
    });
    return { tab, page, root };
  };
  const say = (text: string) =>
    act(async () => {
      browser.server.publish("chat", { roomId: "a" }, "msg", { text });
      await browser.world.settle();
    });
  const first = await mount();
  const second = await mount();
  await say("one");
  expect([first.page.textContent, second.page.textContent]).toEqual(["open: one", "open: one"]);
  expect([browser.server.open, browser.server.most]).toEqual([1, 1]);
  await act(async () => {
    document.body.append(second.page);
    (second.page.firstChild as HTMLElement).click();
    await browser.world.settle();
  });
  expect(first.page.textContent).toBe("open: one from here");
  await act(() => first.root.unmount());
  await say("two");
  await act(() => browser.world.advance(1_000));
  expect(second.page.textContent).toBe("open: one from here two");
  expect(browser.server.open).toBe(1);
  await act(async () => {
    second.root.unmount();
    await browser.world.settle();
  });
  expect([browser.server.open, browser.channels.size, browser.world.timers.size]).toEqual([0, 0, 0]);
});
