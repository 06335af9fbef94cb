/** No file of the client imports itself by way of others, not even for a type: each can be read after what it names. */

import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

/** File -> the files of the same folder that it imports, re-exports or names in a type. */
type Imports = ReadonlyMap<string, readonly string[]>;

function importsOf(text: string): string[] {
  return [...text.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"\.\/([^"]+)\.js"/g)].map(([, name]) => name as string);
}

/** The way round from the first circle back to where it begins; empty where there is none. */
function circle(imports: Imports): string[] {
  const done = new Set<string>();
  const path: string[] = [];
  function visit(file: string): string[] {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return [];
    path.push(file);
    for (const next of imports.get(file) ?? []) {
      const found = visit(next);
      if (found.length) return found;
    }
    path.pop();
    done.add(file);
    return [];
  }
  for (const file of imports.keys()) {
    const found = visit(file);
    if (found.length) return found;
  }
  return [];
}

test("the sources have no import circle", () => {
  const folder = new URL("../src/", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
  const imports = new Map(files.map((name) => [name.slice(0, -3), importsOf(readFileSync(new URL(name, folder), "utf8"))]));
  expect([...imports.values()].flat().filter((name) => !imports.has(name))).toEqual([]);
  expect(imports.get("index")).toContain("client");
  expect(circle(imports)).toEqual([]);
});

test.each([
  ['import { a } from "./one.js";', ["one"]],
  ['import type { A } from "./one.js";', ["one"]],
  ['import {\n  a,\n  type B,\n} from "./one.js";', ["one"]],
  ['export type * from "./one.js";', ["one"]],
  ['import "./one.js";', ["one"]],
  ['const a = await import("./one.js");', ["one"]],
  ['let a: import("./one.js").A;', ["one"]],
  ['import { useRef } from "react";', []],
])("an import is seen in %j", (text, names) => expect(importsOf(text)).toEqual(names));

test.each<[string, Record<string, string[]>, string[]]>([
  ["none", { a: ["b", "c"], b: ["c"], c: [] }, []],
  ["of two", { a: ["b"], b: ["c"], c: ["b"] }, ["b", "c", "b"]],
  ["of itself", { a: ["a"] }, ["a", "a"]],
  ["behind what was seen already", { a: [], b: ["a", "c"], c: ["d"], d: ["b"] }, ["b", "c", "d", "b"]],
])("a circle is found: %s", (_name, imports, found) => expect(circle(new Map(Object.entries(imports)))).toEqual(found));
