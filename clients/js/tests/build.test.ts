/** What the server serves is what the source says, and small. */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { BUDGET, bundle, gzipped, servedFiles } from "../build.mjs";

test("the core is within its budget", async () => expect(gzipped(await bundle())).toBeLessThan(BUDGET));

test("the committed files of the server equal a fresh build", async () => {
  for (const [name, contents] of Object.entries(await servedFiles())) {
    const path = new URL(`../../../takotwist/static/${name}`, import.meta.url);
    const same = readFileSync(path, "utf8") === contents;
    expect(same, `run "npm run build" and commit takotwist/static/${name}`).toBe(true);
  }
});

test("the served file is one module that needs no other", async () => {
  const { "client.js": code } = await servedFiles();
  const module = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as Record<string, unknown>;
  expect(Object.keys(module).sort()).toEqual([
    "ChannelClosedError",
    "ChannelGoneError",
    "ChannelOverflowError",
    "TakoError",
    "channel",
    "createClient",
    "typingIndicator",
  ]);
});

test("what is beside the core has a name each, and its errors are the core's", async () => {
  const files = await servedFiles();
  const namesOf = async (code: string) =>
    Object.keys((await import(`data:text/javascript,${encodeURIComponent(code)}`)) as object).sort();
  expect(await namesOf(files["tabs.js"])).toEqual(["sharedTabs"]);
  const core = `data:text/javascript,${encodeURIComponent(files["client.js"])}`;
  expect(await namesOf(files["offline.js"].replaceAll("./client.js", core))).toEqual(["offlineClient"]);
  expect(files["client.js"]).not.toContain("BroadcastChannel");
  expect(files["client.js"]).not.toContain("indexedDB");
});

test("live objects are beside the core and not in it", async () => {
  const files = await servedFiles();
  const { immutable } = JSON.parse(files["client.json"]) as { immutable: string };
  expect(files["live.js"]).toContain('from"./client.js"');
  expect(files["live.pinned.js"]).toContain(`from"./${immutable}"`);
  expect(files["live.pinned.js"].replaceAll(immutable, "client.js")).toBe(files["live.js"]);
  expect(files["client.js"]).not.toContain("live.attach");
});
