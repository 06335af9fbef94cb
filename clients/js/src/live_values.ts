/**
 * Dates and bytes, which JSON has no form for, beside the JSON that carries them (protocol, live
 * objects, section 2).
 *
 * Rule: what JSON would change unseen is refused with its place, where the caller still is.
 */

import { fromBase64, toBase64 } from "./base64.js";
import { type Do, draft, type Frame, type Mark } from "./live_frames.js";

/** A value on its way: JSON text, and its marks likewise where there are any. */
export interface Encoded {
  readonly data: string;
  readonly values?: string;
}

/** The first and the last moment that Python's dates have. */
const FIRST = Date.parse("0001-01-01T00:00:00Z");
const LAST = Date.parse("9999-12-31T23:59:59.999Z");

/** Advice for a class of the platform, which JSON would make an empty object of. */
const ADVICE: Readonly<Record<string, string>> = {
  Blob: "await its arrayBuffer() and send a Uint8Array of that",
  File: "await its arrayBuffer() and send a Uint8Array of that",
  Map: "send Object.fromEntries(it), or [...it]",
  Set: "send [...it]",
};

function describePath(what: string, path: Mark["path"]): string {
  return what + path.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
}

/**
 * @param what it is called in errors
 * @throws TypeError where JSON has no form for something in it, or would change it; names the place
 */
export function encode(value: unknown, what: string): Encoded {
  const marks: Mark[] = [];
  const within = new Set<object>();

  function refuse(path: Mark["path"], why: string): never {
    throw new TypeError(`${describePath(what, path)}: ${why}`);
  }

  function text(item: string, path: Mark["path"]): string {
    return /\p{Surrogate}/u.test(item) ? refuse(path, "half of a surrogate pair is no text") : item;
  }

  function object(item: object, path: Mark["path"]): unknown {
    // By its tag and not its class, which is another one in another frame or test environment.
    const tag = Object.prototype.toString.call(item).slice(8, -1);
    if (tag === "Date") {
      const time = (item as Date).getTime();
      if (!(time >= FIRST && time <= LAST)) refuse(path, "a Date that is no moment of the years 1 to 9999");
      marks.push({ path, kind: "date" });
      return (item as Date).toISOString();
    }
    if (tag === "ArrayBuffer" || tag === "Uint8Array") {
      marks.push({ path, kind: "bytes" });
      return toBase64(tag === "Uint8Array" ? (item as Uint8Array) : new Uint8Array(item as ArrayBuffer));
    }
    if (within.has(item)) refuse(path, "it contains itself");
    within.add(item);
    try {
      const { toJSON } = item as { toJSON?: unknown };
      if (typeof toJSON === "function") return walk(toJSON.call(item, ""), path);
      // Fields of a class of the page's own are carried; classes of the platform have none.
      if (Symbol.toStringTag in item || tag === "RegExp" || tag === "Error") {
        const name = item.constructor?.name || "an object";
        refuse(path, `JSON has no form for ${name}${ADVICE[name] ? `; ${ADVICE[name]}` : ""}`);
      }
      if (Array.isArray(item)) return Array.from(item, (inner, index) => walk(inner, [...path, index]));
      const members = Object.entries(item).filter(([, inner]) => inner !== undefined);
      return Object.fromEntries(members.map(([key, inner]) => [text(key, path), walk(inner, [...path, key])]));
    } finally {
      within.delete(item);
    }
  }

  function walk(item: unknown, path: Mark["path"]): unknown {
    switch (typeof item) {
      case "string":
        return text(item, path);
      case "boolean":
        return item;
      case "number":
        return Number.isFinite(item) ? item : refuse(path, `${item} has no JSON form`);
      case "object":
        return item === null ? null : object(item, path);
      case "undefined":
        return refuse(path, "undefined has no JSON form; send null, or leave it out");
      case "bigint":
        return refuse(path, "a BigInt has no JSON form; send it as text");
      default:
        return refuse(path, `a ${typeof item} has no JSON form`);
    }
  }

  const data = JSON.stringify(walk(value, []));
  return marks.length ? { data, values: JSON.stringify(marks) } : { data };
}

/** A message, or an answer, without a number. @throws as `encode` says */
export function message(what: Do, value: unknown, more?: Partial<Frame>): Frame {
  const { data, values } = encode(value, what === "ack" ? "answer" : "data");
  return draft(what, data, values === undefined ? more : { ...more, values });
}

const READ: Readonly<Record<string, (text: string) => unknown>> = {
  // Some engines read no more than three digits of a second's fraction.
  date: (text) => new Date(text.replace(/(\.\d{3})\d+/, "$1")),
  bytes: fromBase64,
};

/** The parsed JSON, with dates and bytes where the marks say. */
export function putBack(plain: unknown, marks: readonly Mark[] = []): unknown {
  const root: any = { plain };
  for (const { path, kind } of marks) {
    const keys = ["plain", ...path];
    const last = keys.pop() as string;
    const parent = keys.reduce((value: any, key) => (Object.hasOwn(Object(value) as object, key) ? value[key] : undefined), root);
    const item: unknown = parent && Object.hasOwn(Object(parent) as object, last) ? parent[last] : undefined;
    // Of a newer server, or a mark that is nothing of the data: it stays what JSON made of it.
    if (typeof item === "string" && Object.hasOwn(READ, kind)) parent[last] = READ[kind]?.(item);
  }
  return root.plain as unknown;
}

/** Each call reads it anew, so that what one listener changes the others do not see. */
export function decode({ data, values }: Pick<Frame, "data" | "values">): unknown {
  return putBack(JSON.parse(data as string), values === undefined ? [] : (JSON.parse(values) as Mark[]));
}
