// Answers of a model by resumable-stream over Redis, as its manual has it: the peer of
// benchmarks/answer.py.  PORT, REDIS_URL, TOKENS (a JSON file) and RATE come by the environment.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createClient } from "redis";
import { createResumableStreamContext } from "resumable-stream";

const { PORT, REDIS_URL, TOKENS, RATE } = process.env;
const tokens = JSON.parse(readFileSync(TOKENS, "utf8"));

const publisher = createClient({ url: REDIS_URL });
const subscriber = createClient({ url: REDIS_URL });
await Promise.all([publisher.connect(), subscriber.connect()]);
const context = createResumableStreamContext({ waitUntil: null, publisher, subscriber });

// The model: a token at a time, each as an event of an event stream.
function model() {
  return new ReadableStream({
    async start(controller) {
      const began = performance.now();
      for (let number = 0; number < tokens.length; number++) {
        controller.enqueue(`data: ${JSON.stringify(tokens[number])}\n\n`);
        const wait = began + ((number + 1) * 1000) / Number(RATE) - performance.now();
        if (wait > 0) await new Promise((soon) => setTimeout(soon, wait));
      }
      controller.enqueue("event: end\ndata: end\n\n");
      controller.close();
    },
  });
}

async function give(response, stream) {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  const reader = stream.getReader();
  response.on("close", () => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (!response.write(value)) await new Promise((soon) => response.once("drain", soon));
  }
  response.end();
}

createServer(async (request, response) => {
  const url = new URL(request.url, "http://localhost");
  try {
    if (request.method === "POST") {
      const stream = await context.createNewResumableStream("answer", model);
      response.end("begun");
      // Whoever asked for it reads it, as a page that waits for its own answer does.
      const reader = stream.getReader();
      while (!(await reader.read()).done);
      return;
    }
    const at = Number(url.searchParams.get("resumeAt") ?? "0");
    const stream = await context.resumeExistingStream("answer", at);
    if (stream) await give(response, stream);
    else response.writeHead(stream === null ? 410 : 404).end();
  } catch {
    if (!response.headersSent) response.writeHead(503);
    response.end();
  }
}).listen(Number(PORT), "127.0.0.1", () => console.log("ready"));
