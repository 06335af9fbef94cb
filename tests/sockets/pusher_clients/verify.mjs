// Reads requests of a webhook, one a line, and says of each whether the library of npm takes it.
//
//   node verify.mjs SECRET

import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.argv[2]);

createInterface({ input: process.stdin }).on("line", (line) => {
  const { body, headers } = JSON.parse(line);
  try {
    webhook.verify(body, headers);
    process.stdout.write("good\n");
  } catch (error) {
    process.stdout.write(`${error}\n`);
  }
});
