/** Calls at most twenty times a second, always with the last value, and never forgets the last. */

import { useRef } from "react";

const EVERY_MS = 50;

export function useSteadily<Value>(run: (value: Value) => void): (value: Value) => void {
  const latest = useRef(run);
  latest.current = run;
  const waiting = useRef<{ value: Value } | undefined>(undefined);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);

  function next(): void {
    timer.current = undefined;
    const held = waiting.current;
    if (!held) return;
    waiting.current = undefined;
    timer.current = setTimeout(next, EVERY_MS);
    latest.current(held.value);
  }

  return (value) => {
    waiting.current = { value };
    if (!timer.current) next();
  };
}
