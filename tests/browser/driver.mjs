/**
 * Chromium for tests that are not written in JavaScript: a command a line on
 * standard input, an answer a line on standard output, both JSON.
 *
 * Rule: a test says what happens and what must be true; in here is only how
 * Chromium is told. Every command has an end, so no test hangs on it.
 */

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const { chromium } = createRequire(new URL("../../clients/js/package.json", import.meta.url))("playwright-core");

const SWITCHES = [
  "--headless=new",
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-dev-shm-usage",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
  "--remote-debugging-port=0",
  "about:blank",
];

/** A step of Chromium's own, such as to start or to load a page; long, as the machine may be busy. */
const STEP_MS = 90_000;

let child;
let browser;
let context;
const pages = [];

/** What `work` gives. @throws Error where that takes longer than `seconds`; says `more()` */
async function within(seconds, work, more = () => "") {
  let timer;
  const over = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${seconds} s${more()}`)), seconds * 1000);
  });
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** Chromium may fail to start for once, and it is no test's subject that it does. */
async function launch({ program, home }) {
  for (let tries = 3; ; tries--) {
    try {
      return await start(program, home, join(home, `profile-${tries}`));
    } catch (error) {
      await quit();
      if (tries === 1) throw error;
      console.error(`Chromium did not start, once more: ${error.message}`);
    }
  }
}

/**
 * Started here and not by Playwright, whose own browsers never hide a page: such a
 * page cannot be frozen.
 */
async function start(program, home, profile) {
  // Chromium looks in HOME for the certificates to trust.
  child = spawn(program, [`--user-data-dir=${profile}`, ...SWITCHES], {
    env: { ...process.env, HOME: home },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  const listening = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`Chromium ended: ${said}`)));
    child.stderr.on("data", (data) => {
      said = (said + data).slice(-4000);
      const found = /DevTools listening on (ws:\S+)/.exec(said);
      if (found) resolve(found[1]);
    });
  });
  const address = await within(STEP_MS / 1000, listening, () => `: ${said}`);
  browser = await chromium.connectOverCDP(address, { noDefaults: true, timeout: STEP_MS });
  [context] = browser.contexts();
  context.setDefaultTimeout(STEP_MS);
}

async function quit() {
  await browser?.close();
  browser = undefined;
  // Without a number it never ran.
  if (!child?.pid || child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGKILL");
  await gone;
}

/** A window of its own: of the tabs of one window all but one are hidden, and draw nothing. */
async function newWindow() {
  const session = await browser.newBrowserCDPSession();
  const [page] = await Promise.all([
    context.waitForEvent("page"),
    session.send("Target.createTarget", { url: "about:blank", newWindow: true }),
  ]);
  await session.detach();
  return page;
}

async function open({ url, viewport, apart }) {
  const page = apart ? await newWindow() : await context.newPage();
  await page.setViewportSize(viewport);
  const said = [];
  page.on("console", (message) => message.type() === "error" && said.push(message.text()));
  page.on("pageerror", (error) => said.push(`uncaught: ${error.stack ?? error}`));
  pages.push({ page, said });
  await page.goto(url);
  return pages.length - 1;
}

async function lifecycle({ page, state }) {
  const { page: tab } = pages[page];
  const session = await context.newCDPSession(tab);
  await session.send("Page.setWebLifecycleState", { state });
  await session.detach();
  // Frozen pages are hidden ones; what was thawed is what the user has come back to.
  if (state === "active") await tab.bringToFront();
}

/** The page's process dies, as of a lack of memory: nothing of it runs any more. */
async function crash({ page }) {
  const { page: tab } = pages[page];
  const session = await context.newCDPSession(tab);
  const crashed = tab.waitForEvent("crash");
  session.send("Page.crash").catch(() => {});
  await crashed;
}

/**
 * Asked from here again and again: a page that nobody sees has no animation frames and slow timers.
 * What an expression throws is no answer yet: the page may be just being loaded, without what it names.
 */
async function until({ page, script, seconds }) {
  const { page: tab } = pages[page];
  let thrown = "";
  let over = false;
  const asking = async () => {
    while (!over) {
      try {
        const value = await tab.evaluate(script);
        if (value) return value;
        thrown = "";
      } catch (error) {
        thrown = `: ${error.message ?? error}`;
      }
      await sleep(50);
    }
  };
  return within(seconds, asking(), () => thrown).finally(() => (over = true));
}

const COMMANDS = {
  launch,
  open,
  lifecycle,
  crash,
  run: ({ page, script, seconds }) => within(seconds, pages[page].page.evaluate(script)),
  until,
  go: async ({ page, url }) => void (await pages[page].page.goto(url)),
  // Only until it is shown: what comes out of the browser's cache loads nothing.
  back: async ({ page }) => void (await pages[page].page.goBack({ waitUntil: "commit" })),
  reload: async ({ page }) => void (await pages[page].page.reload()),
  move: ({ page, x, y }) => pages[page].page.mouse.move(x, y, { steps: 5 }),
  press: ({ page, x, y }) => pages[page].page.mouse.click(x, y),
  offline: ({ offline }) => context.setOffline(offline),
  said: ({ page }) => pages[page].said,
  picture: async ({ page, file }) => void (await pages[page].page.screenshot({ path: file })),
  close: ({ page }) => pages[page].page.close(),
};

async function answer({ command, ...given }) {
  try {
    return { value: (await COMMANDS[command](given)) ?? null };
  } catch (error) {
    return { error: `${command}: ${error.message ?? error}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
// Whoever told us is gone.
await quit();
