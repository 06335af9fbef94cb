/** Everybody else's pointer: the last place of each, drawn once a frame however many moves come. */

import { useEffect, useRef, useState } from "react";

export interface Pointer {
  who: string;
  name: string;
  /** Shares of the board, from 0 to 1. */
  x: number;
  y: number;
}

/** Who has not moved for so long is not shown. */
const STILL_MS = 10_000;
const MOST = 200;

export function usePointers() {
  const places = useRef(new Map<string, { at: Pointer; since: number }>());
  const frame = useRef(0);
  const [pointers, setPointers] = useState<Pointer[]>([]);

  function draw(): void {
    frame.current ||= requestAnimationFrame(() => {
      frame.current = 0;
      setPointers([...places.current.values()].map(({ at }) => at));
    });
  }

  useEffect(() => {
    const tidy = setInterval(() => {
      const oldest = performance.now() - STILL_MS;
      for (const [who, { since }] of places.current) if (since < oldest) places.current.delete(who);
      draw();
    }, 1000);
    return () => {
      clearInterval(tidy);
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, []);

  return {
    pointers,
    moved(at: Pointer) {
      if (places.current.size >= MOST && !places.current.has(at.who)) return;
      places.current.set(at.who, { at, since: performance.now() });
      draw();
    },
  };
}
