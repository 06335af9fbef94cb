/** Both ends of a live object follow the same steps: tests/vectors/live.json of the project. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Do, draft, type Frame, type Mark, readBinary, readText, write } from "../src/live_frames.js";
import { Machine, type Overflow } from "../src/live_machine.js";
import type { Bounds, Output } from "../src/live_sender.js";
import { decode, encode } from "../src/live_values.js";

type Said = Record<string, any>;
interface Step {
  atMs?: number;
  in: Said;
  out: Said[];
  position?: Said;
  deadlineMs?: number | null;
}
interface Cases {
  machine: { name: string; bounds?: Partial<Bounds>; overflow?: Overflow; steps: Step[] }[];
  binary: { id: string; hex: string; frame: Said; info?: Said }[];
  text: { text: string; id: string; dataBytes: number }[];
  unreadable: { text?: string; hex?: string }[];
}
interface Vectors extends Cases {
  values: { name: string; data: unknown; values: Mark[]; means: unknown }[];
  version: number;
  bounds: Bounds;
  durable: Cases;
}

const path = new URL("../../../tests/vectors/live.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8")) as Vectors;
const all = <Kind extends keyof Cases>(kind: Kind) => [...vectors[kind], ...vectors.durable[kind]] as Cases[Kind];

const bytes = (text: string, encoding: "hex" | "base64") => Uint8Array.from(Buffer.from(text, encoding));
const parse = (text: string) => readText(text, JSON.parse(text) as Said);

/** A frame as the vectors spell it: as on the wire without op and id. */
function frameOf(said: Said): Frame {
  const what = said.do as string;
  if (!what.endsWith("Binary")) return parse(JSON.stringify({ op: "live", id: "x", ...said }))[1];
  const frame = draft(what.slice(0, -6) as Do, bytes(said.data, "base64"), { seq: said.seq, ack: said.ack });
  return readBinary(write("x", frame) as Uint8Array<ArrayBuffer>)[1];
}

function frameJson(frame: Frame): Said {
  if (frame.data instanceof Uint8Array) {
    const data = Buffer.from(frame.data).toString("base64");
    return { do: `${frame.do}Binary`, seq: frame.seq, ...(frame.ack && { ack: true }), data };
  }
  const { op: _op, id: _id, ...said } = JSON.parse(write("x", frame) as string) as Said;
  return said;
}

function outputJson(output: Output<number>): Said {
  if ("frame" in output) return { frame: frameJson(output.frame) };
  if ("deliver" in output) return { deliver: frameJson(output.deliver) };
  if ("answered" in output) return { answered: output.answered, data: JSON.parse(output.data) as unknown };
  if ("broken" in output) return { broken: true };
  return output;
}

function play(machine: Machine<number>, step: Step): void {
  const now = step.atMs ?? 0;
  const [[name, said]] = Object.entries(step.in) as [[string, any]];
  switch (name) {
    case "send":
    case "sendBinary":
    case "publish":
    case "publishBinary": {
      const binary = name.endsWith("Binary");
      const data = binary ? bytes(said.data, "base64") : JSON.stringify(said.data);
      return machine.send(draft(name.replace("Binary", "") as Do, data, { ack: said.ack }), said.handle, now);
    }
    case "answer": {
      const data = JSON.stringify(said.data);
      return machine.answer(said.of, said.error ? { error: said.error, size: 0 } : draft("ack", data), now);
    }
    case "attach":
      return machine.attach(said, now);
    case "frame":
      return machine.receive(frameOf(said), now);
    case "consumed":
      return machine.consumed(said, now);
    case "close":
      return machine.close(said.timeoutMs, now, said.excused);
    case "end":
      return machine.end(said, now);
    case "detach":
      return machine.detach(now);
    case "block":
      return machine.block(said, now);
    case "report":
      return machine.report();
    case "tick":
      return machine.tick(now);
    default:
      throw new Error(`a step that this player does not know: ${name}`);
  }
}

test("the file is of the version that these tests know", () => expect(vectors.version).toBe(1));

describe("a machine", () => {
  test.each(all("machine").map((row) => [row.name, row] as const))("%s", (_name, { bounds, overflow = "end", steps }) => {
    const machine = new Machine<number>({ ...vectors.bounds, ...bounds }, 0);
    machine.overflow = overflow;
    for (const [at, step] of steps.entries()) {
      play(machine, step);
      expect(machine.take().map(outputJson), `step ${at}`).toEqual(step.out);
      if (step.position) expect(machine.position(), `step ${at}`).toEqual(step.position);
      if (step.deadlineMs !== undefined) {
        expect(machine.deadline, `step ${at}`).toBe(step.deadlineMs ?? Infinity);
      }
    }
  });
});

describe("frames on the wire", () => {
  test.each(all("binary"))("$hex", ({ id, hex, frame, info }) => {
    const [name, read] = readBinary(bytes(hex, "hex"));
    expect(name).toBe(id);
    expect(frameJson(read)).toEqual(frame);
    expect(read.info).toEqual(info);
    expect(Buffer.from(write(id, read) as Uint8Array).toString("hex")).toBe(hex);
  });
  test.each(all("text"))("$text", ({ text, id, dataBytes }) => {
    const [name, frame] = parse(text);
    expect([name, frame.size]).toEqual([id, dataBytes]);
    expect(write(id, frame)).toBe(text);
  });
  test.each(all("unreadable"))("unreadable: $text$hex", ({ text, hex }) => {
    expect(() => (hex === undefined ? parse(text as string) : readBinary(bytes(hex, "hex")))).toThrow();
  });
});

/** As the vectors spell dates and bytes. */
function meant(said: any): unknown {
  if (Array.isArray(said)) return said.map(meant);
  if (typeof said !== "object" || said === null) return said;
  if ("$date" in said) return new Date(said.$date as string);
  if ("$bytes" in said) return bytes(said.$bytes as string, "base64");
  return Object.fromEntries(Object.entries(said as object).map(([key, one]) => [key, meant(one)]));
}

describe("dates and bytes", () => {
  test.each(vectors.values)("$name", ({ data, values, means }) => {
    const value = meant(means);
    expect(decode({ data: JSON.stringify(data), values: JSON.stringify(values) })).toEqual(value);
    const said = encode(value, "data");
    expect(JSON.parse(said.values ?? "")).toEqual(values);
    expect(decode(said)).toEqual(value);
  });
});
