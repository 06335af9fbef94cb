/** The package as its users get it: packed, installed, type-checked, built. */

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const here = new URL("..", import.meta.url).pathname;
const MINUTES = 60_000;

function run(cwd: string, command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${command} ${args.join(" ")} failed:\n${stdout}\n${stderr}`, { cause: error });
  }
}

const APP = `
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { channel, type Message } from "takotwist";
import { useChannel, useChannelEvent } from "takotwist/react";

interface Chat {
  msg: { text: string };
  typing: { userId: string };
}

async function log(): Promise<void> {
  for await (const message of channel<Chat>("chat", { params: { roomId: "a" } })) {
    if (message.type === "msg") console.log(message.data.text.toUpperCase());
    else if (message.type === "tako.reset") console.log(message.data.reason);
  }
}

// What \`tako types\` writes names no channel but its own.
channel("news", { params: { topic: "a" } }).on("flash", ({ at }) => console.log(at.toFixed()));
// @ts-expect-error: no channel has this name
void (() => channel("nwes", { params: { topic: "a" } }));
// @ts-expect-error: a param is missing
void (() => channel("news"));
// @ts-expect-error: at is a number
void (() => channel("news", { params: { topic: "a" } }).publish("flash", { at: "now" }));
// @ts-expect-error: no message has this type
void (() => useChannelEvent("news", "flsah", () => {}, { params: { topic: "a" } }));

// @ts-expect-error: text is a string
void (() => channel<Chat>("chat").publish("msg", { text: 1 }));
// @ts-expect-error: there is no such type
void (() => channel<Chat>("chat").on("nope", () => {}));
// @ts-expect-error: nothing in the public types is any
void (() => channel<Chat>("chat").on("msg", (data) => data.nothing));
// @ts-expect-error: an unknown channel's data is unknown
void (() => channel<Record<string, unknown>>("chat").subscribe((message: Message) => message.data.text));

function Room() {
  const { messages, status, error, send, clear } = useChannel<Chat>("chat", { params: { roomId: "a" }, limit: 50 });
  useChannelEvent<Chat, "typing">("chat", "typing", ({ userId }) => console.log(userId), { params: { roomId: "a" } });
  return (
    <main onClick={clear}>
      {status} {error?.code}
      {messages.map((message) => (message.type === "msg" ? <p key={message.id}>{message.data.text}</p> : null))}
      <button onClick={() => void send("msg", { text: "hi" })}>send</button>
    </main>
  );
}

void log();
createRoot(document.body).render(<StrictMode><Room /></StrictMode>);
`;

/** In the form of `tako types`. */
const TYPES = `
export type NewsParams = { readonly topic: string };
export type NewsMessages = { flash: { readonly at: number } };
export type Channels = {
  news: { params: NewsParams; messages: NewsMessages };
};

declare module "takotwist" {
  interface RegisteredChannels extends Channels {}
}
`;

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string }[];
}

/** The package as a file in a folder. */
function packInto(folder: string): Packed {
  const [packed] = JSON.parse(run(here, "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", folder)) as [Packed];
  return packed;
}

/** Install what the folder's package.json names; a registry may fail to answer for once. */
function install(folder: string, tries = 3): void {
  try {
    run(folder, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--ignore-scripts");
  } catch (error) {
    if (tries === 1) throw error;
    install(folder, tries - 1);
  }
}

/** An application that takes every entry of the package. */
const ENTRIES = `
import { channel } from "takotwist";
import { eventSource } from "takotwist/eventsource";
import { call } from "takotwist/live";
import { createClient } from "takotwist/node";
import { offlineClient } from "takotwist/offline";
import { useChannel } from "takotwist/react";
import { useStream } from "takotwist/react-streams";
import { createResumableStreamContext } from "takotwist/resumable";
import { readStream } from "takotwist/streams";
import { sharedTabs } from "takotwist/tabs";
import { webTransport } from "takotwist/webtransport";

const shared = createClient({ tabs: sharedTabs({ identity: "u1" }) });
void offlineClient(shared, { identity: "u1", onReturned: (publish, { code }) => console.log(publish.data, code) }).then((client) =>
  // @ts-expect-error: at is a number
  client.channel("news", { params: { topic: "a" } }).publish("flash", { at: "now" }),
);
channel("news", { params: { topic: "a" }, transport: eventSource }).on("flash", ({ at }) => console.log(at.toFixed()));
createClient().channel("news", { params: { topic: "a" }, transport: webTransport() });
export const useNews = () => useChannel("news", { params: { topic: "a" } }).messages.map(({ data }) => data.at);
// @ts-expect-error: a param is missing, which each entry knows
createClient().channel("news");
void call;
void [readStream, createResumableStreamContext];
export const useAnswer = () => useStream("news").text;
`;

describe("the packed package", () => {
  const folder = mkdtempSync(join(tmpdir(), "takotwist-resolution-"));
  let tarball: string;

  beforeAll(() => {
    const { filename } = packInto(folder);
    tarball = join(folder, filename);
    const { devDependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as {
      devDependencies: Record<string, string>;
    };
    const manifest = {
      name: "resolution",
      private: true,
      dependencies: { takotwist: `file:${filename}`, ws: devDependencies.ws, "@types/react": devDependencies["@types/react"] },
      devDependencies: { typescript: "~5.9.0" },
    };
    writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
    for (const name of ["app.ts", "app.mts", "app.cts"]) writeFileSync(join(folder, name), ENTRIES);
    for (const name of ["takotwist.d.ts", "takotwist.d.mts"]) writeFileSync(join(folder, name), TYPES);
    install(folder);
  }, 5 * MINUTES);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("has nothing that publint finds", () => {
    expect(run(here, "npx", "publint", "run", tarball, "--strict")).toContain("All good!");
  }, MINUTES);

  test("has types for every entry under every resolution, said to be ES modules", () => {
    // That a `require` gets an ES module is so, and works in Node; the page says where TypeScript minds.
    run(here, "npx", "attw", tarball, "--no-color", "--ignore-rules", "cjs-resolves-to-esm");
  }, MINUTES);

  test.each([
    ["node10", "app.ts", { module: "commonjs", moduleResolution: "node10" }, ""],
    ["node16, of an ES module", "app.mts", { module: "node16" }, ""],
    ["node16, of CommonJS: what the page says does not", "app.cts", { module: "node16" }, "TS1479"],
    ["nodenext, of CommonJS", "app.cts", { module: "nodenext" }, ""],
    ["nodenext, of an ES module", "app.mts", { module: "nodenext" }, ""],
    ["bundler", "app.ts", { module: "esnext", moduleResolution: "bundler" }, ""],
  ])("is read by TypeScript 5 under %s", (_name, file, how, refused) => {
    // Of the same kind of module as the application, which here is no `"type": "module"`.
    const types = file.endsWith(".mts") ? "takotwist.d.mts" : "takotwist.d.ts";
    const compilerOptions = {
      ...how,
      target: "ES2022",
      lib: ["ES2022", "DOM", "DOM.Iterable"],
      types: [],
      strict: true,
      noEmit: true,
      skipLibCheck: false,
    };
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: [file, types] }));
    const compile = () => run(folder, "npx", "tsc", "-p", ".");
    if (refused) expect(compile).toThrow(refused);
    else expect(compile()).toBe("");
  }, MINUTES);

  test.each(["takotwist", "takotwist/node", "takotwist/eventsource", "takotwist/webtransport", "takotwist/live", "takotwist/streams", "takotwist/tabs", "takotwist/offline"])(
    "can be required: %s",
    (name) => {
      const names = run(folder, "node", "--no-warnings", "-e", `console.log(typeof require("${name}"))`);
      expect(names).toBe("object\n");
    },
  );

  test("is one module, however it is taken", () => {
    const script = `
      import { createRequire } from "node:module";
      import * as imported from "takotwist/node";
      const required = createRequire(import.meta.url)("takotwist/node");
      console.log(imported.createClient === required.createClient);
    `;
    expect(run(folder, "node", "--no-warnings", "--input-type=module", "-e", script)).toBe("true\n");
  });
});

describe("the packed package in an empty Vite project", () => {
  const project = mkdtempSync(join(tmpdir(), "takotwist-vite-"));

  beforeAll(() => {
    const packed = packInto(project);
    const paths = packed.files.map(({ path }) => path);
    expect(paths).toContain("dist/index.d.ts");
    expect(paths).toContain("README.md");
    expect(paths.every((path) => /^(dist\/|README\.md$|LICENSE$|package\.json$)/.test(path))).toBe(true);
    const { devDependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8")) as {
      devDependencies: Record<string, string>;
    };
    const use = (...names: string[]) => Object.fromEntries(names.map((name) => [name, devDependencies[name]]));
    const compilerOptions = {
      target: "ES2022",
      module: "ESNext",
      moduleResolution: "bundler",
      lib: ["ES2022", "DOM", "DOM.Iterable"],
      jsx: "react-jsx",
      types: [],
      strict: true,
      noEmit: true,
      // Our own declarations are to be checked too.
      skipLibCheck: false,
    };
    const files = {
      "package.json": {
        name: "empty",
        private: true,
        type: "module",
        dependencies: { takotwist: `file:${packed.filename}`, ...use("react", "react-dom") },
        devDependencies: use("vite", "typescript", "@types/react", "@types/react-dom"),
      },
      "tsconfig.json": { compilerOptions, include: ["src"] },
    };
    for (const [name, value] of Object.entries(files)) writeFileSync(join(project, name), JSON.stringify(value, null, 2));
    writeFileSync(join(project, "index.html"), '<!doctype html><script type="module" src="/src/main.tsx"></script>');
    mkdirSync(join(project, "src"));
    writeFileSync(join(project, "src/main.tsx"), APP);
    writeFileSync(join(project, "src/takotwist.d.ts"), TYPES);
    install(project);
  }, 5 * MINUTES);

  afterAll(() => rmSync(project, { recursive: true, force: true }));

  test("brings no dependency along", () => {
    const { packages } = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")) as {
      packages: Record<string, { dependencies?: object }>;
    };
    expect(packages["node_modules/takotwist"]).toBeDefined();
    expect(packages["node_modules/takotwist"]?.dependencies).toBeUndefined();
    expect(readdirSync(join(project, "node_modules"))).not.toContain("ws");
  });

  test("type-checks", () => expect(run(project, "npx", "tsc")).toBe(""), MINUTES);

  test("builds", () => {
    run(project, "npx", "vite", "build", "--logLevel", "warn");
    const [built] = readdirSync(join(project, "dist/assets"));
    expect(readFileSync(join(project, "dist/assets", built as string), "utf8")).toContain("/_tako/connect".slice(1));
  }, MINUTES);

  test("runs in Node without the optional package ws", () => {
    const script = 'import { createClient } from "takotwist/node"; console.log(typeof createClient({ url: "http://x" }).channel)';
    expect(run(project, "node", "--input-type=module", "-e", script)).toBe("function\n");
  });
});
