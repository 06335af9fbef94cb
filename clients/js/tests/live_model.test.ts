/** Whatever is sent, cut and attached in whatever order: whole and in order, or over on both sides. */

import { describe, expect, test } from "vitest";
import { draft, type Frame, isMessage, type Position } from "../src/live_frames.js";
import { Machine, type Overflow } from "../src/live_machine.js";
import { numbers } from "./numbers.js";

const BOUNDS = {
  connectTtlMs: null,
  reconnectTimeoutMs: 60_000,
  replayBytes: 1_600,
  replayBytesBinary: 2_000,
  bufferBytes: 3_200,
  bufferBytesBinary: 4_000,
  windowBytes: 300,
  windowMessages: 5,
};

class End {
  readonly machine = new Machine<number>(BOUNDS, 0);
  readonly sent: string[] = [];
  readonly heard: string[] = [];
  readonly unsettled: Frame[] = [];
  readonly results = new Map<number, string[]>();
  readonly ended: (string | undefined)[] = [];
  /** What is on its way to the other end. */
  wire: Frame[] = [];

  constructor(overflow: Overflow) {
    this.machine.overflow = overflow;
  }

  act(input: (machine: Machine<number>) => void): void {
    input(this.machine);
    for (const output of this.machine.take()) {
      if ("frame" in output) this.wire.push(output.frame);
      else if ("deliver" in output) {
        this.heard.push(textOf(output.deliver));
        this.unsettled.push(output.deliver);
      } else if ("sent" in output) this.note(output.sent, "sent");
      else if ("answered" in output) this.note(output.answered, "sent");
      else if ("failed" in output) this.note(output.failed, output.error.code);
      else if ("ended" in output) this.ended.push(output.ended?.code);
      else if ("broken" in output) throw new Error(output.broken);
    }
  }

  note(handle: number, what: string): void {
    this.results.set(handle, [...(this.results.get(handle) ?? []), what]);
  }

  send(size: number, binary: boolean, ack: boolean): void {
    const handle = this.sent.length;
    const text = `${handle}:${"x".repeat(size)}`;
    this.sent.push(text);
    const data = binary ? new TextEncoder().encode(text) : JSON.stringify(text);
    this.act((machine) => machine.send(draft("send", data, { ack }), handle, 0));
  }

  settle(): void {
    const frame = this.unsettled.shift();
    if (!frame) return;
    const seq = frame.seq as number;
    if (frame.ack) this.act((machine) => machine.answer(seq, draft("ack", "1"), 0));
    else this.act((machine) => machine.consumed(seq, 0));
  }
}

function textOf({ data }: Frame): string {
  return typeof data === "string" ? (JSON.parse(data) as string) : new TextDecoder().decode(data);
}

class Pair {
  readonly ends: [End, End];

  constructor(overflow: Overflow) {
    this.ends = [new End(overflow), new End(overflow)];
  }

  cut(): void {
    for (const end of this.ends) {
      end.wire = [];
      end.act((machine) => machine.detach(0));
    }
  }

  connect(): void {
    this.cut();
    const [one, other] = this.ends;
    const positions = this.ends.map(({ machine }) => machine.position());
    for (const [end, from, position] of [
      [one, other, positions[1]],
      [other, one, positions[0]],
    ] as [End, End, Position][]) {
      const { phase, outcome } = from.machine;
      if (phase === "over" || phase === "forgotten") {
        const error = outcome ?? { code: "network" };
        end.act((machine) => machine.receive({ do: "end", size: 0, error }, 0));
      } else end.act((machine) => machine.attach(position, 0));
    }
  }

  /** Deliver the next frame to an end. */
  step(which: number): boolean {
    const [from, to] = which ? [this.ends[0], this.ends[1]] : [this.ends[1], this.ends[0]];
    const frame = from.wire.shift();
    if (frame) to.act((machine) => machine.receive(frame, 0));
    return frame !== undefined;
  }

  /** A good wire, and listeners that settle, until nothing moves. */
  bringOver(): void {
    this.connect();
    for (let round = 0; round < 60; round++) {
      while (this.step(0) || this.step(1));
      for (const end of this.ends) {
        while (end.unsettled.length) end.settle();
        end.act((machine) => machine.report());
      }
    }
  }
}

function play(seed: number, overflow: Overflow): Pair {
  const next = numbers(seed);
  const pair = new Pair(overflow);
  const moves = 20 + next(100);
  for (let move = 0; move < moves; move++) {
    const end = pair.ends[next(2)] as End;
    const kind = next(12);
    if (kind < 4) end.send(next(350), next(2) === 1, next(4) === 0);
    else if (kind < 8) for (let steps = next(4); steps >= 0; steps--) pair.step(next(2));
    else if (kind < 10) end.settle();
    else if (kind === 10) pair.connect();
    else if (next(3) === 0) pair.cut();
  }
  pair.bringOver();
  return pair;
}

const SEEDS = Array.from({ length: 400 }, (_, index) => index + 1);

describe("sends that nobody awaits", () => {
  test("arrive whole and in order, or both sides end with overflow", () => {
    let over = 0;
    for (const seed of SEEDS) {
      const { ends } = play(seed, "end");
      const codes = ends.map(({ ended }) => ended);
      const ended = codes.some((code) => code.length);
      expect(codes, `seed ${seed}`).toEqual(ended ? [["overflow"], ["overflow"]] : [[], []]);
      for (const [from, to] of [ends, [...ends].reverse()] as [End, End][]) {
        expect(to.heard, `seed ${seed}`).toEqual(ended ? from.sent.slice(0, to.heard.length) : from.sent);
        for (const [handle] of from.sent.entries()) {
          const results = from.results.get(handle);
          expect(results?.length, `seed ${seed}, send ${handle}`).toBe(1);
          if (!ended) expect(results).toEqual(["sent"]);
        }
      }
      over += ended ? 1 : 0;
    }
    // Both must have been tried, or the test says nothing.
    expect(Math.min(over, SEEDS.length - over)).toBeGreaterThan(20);
  });

  test("arrive but for those that were told to be dropped, where that was asked for", () => {
    let dropped = 0;
    for (const seed of SEEDS) {
      const { ends } = play(seed, "drop-oldest");
      for (const [from, to] of [ends, [...ends].reverse()] as [End, End][]) {
        expect(from.ended, `seed ${seed}`).toEqual([]);
        const arrived = from.sent.filter((_, handle) => from.results.get(handle)?.[0] === "sent");
        expect(to.heard, `seed ${seed}`).toEqual(arrived);
        dropped += from.sent.length - arrived.length;
      }
    }
    expect(dropped).toBeGreaterThan(20);
  });

  test("count for their data and 400 bytes more, as messages alone do", () => {
    const end = new End("end");
    for (const [handle, size] of [1, 1].entries()) {
      end.act((machine) => machine.send(draft("send", JSON.stringify("x".repeat(size))), handle, 0));
    }
    expect(isMessage(draft("subscribe", ""))).toBe(false);
    for (let count = 0; count < 100; count++) end.act((machine) => machine.send({ do: "subscribe", size: 0, kind: "text" }, undefined, 0));
    expect(end.ended).toEqual([]);
    end.act((machine) => machine.send(draft("send", JSON.stringify("x".repeat(3_200 - 2 * 403 - 402 + 1))), 2, 0));
    expect(end.ended).toEqual(["overflow"]);
  });
});
