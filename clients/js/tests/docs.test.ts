/** The TypeScript and React examples of the documentation compile against the built package. */

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const DOCS = join(HERE, "..", "..", "docs");
// Below node_modules, so that react and its types are found.
const FOLDER = join(HERE, "node_modules", ".cache", "docs");

afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

function examples(): { name: string; text: string }[] {
  return readdirSync(DOCS, { recursive: true, encoding: "utf8" })
    .filter((page) => page.endsWith(".md"))
    .flatMap((page) =>
      [...readFileSync(join(DOCS, page), "utf8").matchAll(/^```(tsx?)\n([\s\S]*?)^```$/gm)].map(
        ([, extension, text], index) => ({
          name: `${page.replace(/\W/g, "_")}_${index}.${extension}`,
          text: text ?? "",
        }),
      ),
    );
}

test("every example compiles", { timeout: 180_000 }, () => {
  const all = examples();
  expect(all.length).toBeGreaterThan(4);
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  for (const { name, text } of all) writeFileSync(join(FOLDER, name), text);
  const dist = (name: string) => [join(HERE, "dist", `${name}.d.ts`)];
  writeFileSync(
    join(FOLDER, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "ES2022",
        module: "ESNext",
        moduleResolution: "Bundler",
        lib: ["ES2023", "DOM", "DOM.Iterable"],
        jsx: "react-jsx",
        strict: true,
        skipLibCheck: true,
        noEmit: true,
        types: [],
        paths: {
          takotwist: dist("index"),
          "takotwist/react": dist("react"),
          "takotwist/node": dist("node"),
          "takotwist/tabs": dist("tabs"),
          "takotwist/offline": dist("offline"),
        },
      },
      include: ["*.ts", "*.tsx"],
    }),
  );
  const tsc = join(HERE, "node_modules", ".bin", "tsc");
  let said = "";
  try {
    execFileSync(tsc, ["-p", FOLDER], { encoding: "utf8" });
  } catch (failure) {
    said = (failure as { stdout: string }).stdout;
  }
  expect(said).toBe("");
});
