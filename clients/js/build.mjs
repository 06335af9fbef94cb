/**
 * Builds the package (`dist/`) and the one file that the server serves (`takotwist/static/`).
 *
 * `node build.mjs`            everything
 * `node build.mjs --check`    nothing is written; fails where the committed file differs from a fresh build
 *
 * Prints the size of the core and fails when it is over its budget.
 */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { execFileSync } from "node:child_process";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** Of which presence has one thousand: it is a part of each channel, and so it is in here. */
export const BUDGET = 9500;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const served = here("../../takotwist/static/");
const { version } = JSON.parse(readFileSync(here("package.json"), "utf8"));

/**
 * The whole client as one minified ES module.
 * @param core a file to import the core from, which is then not in the bundle
 */
export async function bundle(entry = "src/index.ts", core = undefined) {
  const elsewhere = {
    name: "core",
    setup: (plugins) => plugins.onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: core, external: true })),
  };
  const { outputFiles } = await build({
    absWorkingDir: here("."),
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    // What is served is no bundle of an application: where the page is says whether it is developed.
    define: { "process.env.NODE_ENV": '""' },
    write: false,
    logLevel: "warning",
    plugins: core ? [elsewhere] : [],
  });
  return outputFiles[0].contents;
}

/** The size that the budget is about, in bytes. */
export function gzipped(contents) {
  return gzipSync(contents, { level: 9 }).length;
}

/** What is served: the name that stays, the name of exactly this build, and what it is known by. */
function manifestOf(name, code) {
  const sha256 = createHash("sha256").update(code).digest("hex");
  const integrity = `sha384-${createHash("sha384").update(code).digest("base64")}`;
  return { version, file: `${name}.js`, immutable: `${name}.${sha256.slice(0, 16)}.js`, sha256, integrity };
}

/** What belongs into `takotwist/static/`: file name -> contents. */
export async function servedFiles() {
  const banner = `/*! takotwist ${version} | MIT */\n`;
  const code = banner + new TextDecoder().decode(await bundle());
  const manifest = manifestOf("client", code);
  // Beside the core and not with it, because both use one connection. Exactly one build of this
  // goes with exactly one build of that.
  const live = async (core) => banner + new TextDecoder().decode(await bundle("src/live.ts", core));
  const pinned = await live(`./${manifest.immutable}`);
  const liveManifest = { ...manifestOf("live", pinned), pinned: "live.pinned.js" };
  // Whole, with what they share with the core: a page may load them beside any build of that.
  const whole = async (name) => banner + new TextDecoder().decode(await bundle(`src/${name}.ts`));
  return {
    "client.js": code,
    "client.json": `${JSON.stringify(manifest, null, 2)}\n`,
    "live.js": await live("./client.js"),
    "live.pinned.js": pinned,
    "live.json": `${JSON.stringify(liveManifest, null, 2)}\n`,
    "webtransport.js": await whole("webtransport"),
    "tabs.js": await whole("tabs"),
    // Its errors are those of the core's.
    "offline.js": banner + new TextDecoder().decode(await bundle("src/offline.ts", "./client.js")),
  };
}

async function main() {
  const size = gzipped(await bundle());
  console.log(`core: ${size} bytes gzipped, budget ${BUDGET}`);
  if (size >= BUDGET) throw new Error("the core is over its budget");

  const files = await servedFiles();
  if (process.argv.includes("--check")) {
    for (const [name, contents] of Object.entries(files)) {
      if (readFileSync(served + name, "utf8") !== contents) throw new Error(`takotwist/static/${name} is stale`);
    }
    return;
  }
  mkdirSync(served, { recursive: true });
  for (const [name, contents] of Object.entries(files)) writeFileSync(served + name, contents);
  rmSync(here("dist"), { recursive: true, force: true });
  execFileSync(process.execPath, [here("node_modules/typescript/bin/tsc"), "-p", here("tsconfig.build.json")], { stdio: "inherit" });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
