/**
 * Checks of what callers give, before it is sent.
 *
 * Rule: what JSON would change in silence is refused with its place. A `Date` and whatever else has a
 * `toJSON` is what that says, and a member that is `undefined` is left out, as everybody expects.
 */

import type { Params } from "./message.js";

/** Half of a surrogate pair, as a text box with `maxlength` cuts an emoji: no UTF-8 can carry it. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** @throws Error where `value` cannot be said in JSON as it is; names the place */
export function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: unknown, key: string, at: unknown): unknown {
    // The whole value is at "", and is something.
    const bad = LONE_SURROGATE.test(key) ? "half of a surrogate pair" : unsupported(at, !key || Array.isArray(this));
    if (bad) throw new Error(`JSON has no ${bad}${key && `, which is at '${key}'`}.`);
    return at;
  });
}

/** Name of the kind of value that JSON has no form for; `undefined` where it has one. */
function unsupported(value: unknown, required: boolean): string | undefined {
  const type = typeof value;
  if (type === "string") return LONE_SURROGATE.test(value as string) ? "half of a surrogate pair" : undefined;
  if (type === "number") return Number.isFinite(value) ? undefined : String(value);
  if (type === "undefined") return required ? type : undefined;
  // Maps, sets, bytes, files, promises: each has a name of its own, and would be `{}`.
  const name = Object.prototype.toString.call(value).slice(8, -1);
  if (type === "object") return /^(Null|Object|Array)$/.test(name) ? undefined : name;
  return type === "boolean" ? undefined : type;
}

/**
 * Params as they are sent: without those that are `undefined` or `null`, and whole numbers of any
 * size as text, which the server reads by its schema.
 * @throws Error for what is neither text, number, boolean nor an array of them
 */
export function checkedParams(params: Params): Params {
  const map = unsupported(params, true);
  if (map) throw new Error(`Params are an object, not a ${map}.`);
  const checked: Record<string, Params[string]> = {};
  for (const [name, value] of Object.entries(params)) {
    const one = (each: unknown) => {
      const bad = typeof each === "object" ? "object" : unsupported(each, true);
      if (bad && bad !== "bigint") throw new Error(`A param cannot be ${bad}, as '${name}' is.`);
      return bad ? String(each) : (each as string);
    };
    if (LONE_SURROGATE.test(name)) throw new Error("A param's name has half of a surrogate pair.");
    if (value != null) checked[name] = Array.isArray(value) ? value.map(one) : one(value);
  }
  return checked;
}
