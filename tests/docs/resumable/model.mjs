// A source that is a script: 40 words, the second half of them once there is a file `go`. The
// file `made` counts how often it was made.
import { appendFileSync, existsSync } from "node:fs";

export function story() {
  appendFileSync("made", "made\n");
  return new ReadableStream({
    async start(controller) {
      for (let number = 0; number < 40; number++) {
        controller.enqueue(`wörd ${number}, `);
        do await new Promise((wait) => setTimeout(wait, 10));
        while (number === 20 && !existsSync("go"));
      }
      controller.close();
    },
  });
}
