// A model that is a script: 40 words, the second half of them once there is a file `go`.
import { appendFileSync, existsSync } from "node:fs";
import { MockLanguageModelV4 } from "ai/test";

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 40, text: 40, reasoning: 0 },
};

export const model = new MockLanguageModelV4({
  doStream: ({ abortSignal }) => ({
    stream: new ReadableStream({
      async start(controller) {
        controller.enqueue({ type: "stream-start", warnings: [] });
        controller.enqueue({ type: "text-start", id: "1" });
        for (let number = 0; number < 40 && !abortSignal?.aborted; number++) {
          controller.enqueue({ type: "text-delta", id: "1", delta: `wörd ${number}, ` });
          do await new Promise((wait) => setTimeout(wait, 20));
          while (number === 20 && !existsSync("go") && !abortSignal?.aborted);
        }
        if (abortSignal?.aborted) {
          appendFileSync("aborted", "aborted\n");
          return controller.error(abortSignal.reason);
        }
        controller.enqueue({ type: "text-end", id: "1" });
        controller.enqueue({ type: "finish", finishReason: { unified: "stop", raw: "stop" }, usage });
        controller.close();
      },
    }),
  }),
});
