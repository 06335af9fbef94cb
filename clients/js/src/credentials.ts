/**
 * Credentials from the caller, within a timeout.
 *
 * Rule: nobody waits for ever on a function of the caller's: a `fetch` without a time limit may hang
 * after sleep, and the channel would be `connecting` without a word.
 */

import type { Environment } from "./environment.js";
import type { Credentials } from "./types.js";

/** Timeout of a function that gives credentials. */
const CREDENTIALS_MS = 15_000;

/**
 * The header's value; `undefined` for cookies alone.
 * @param until ends the waiting early
 * @throws where there are none in time, or they are no text
 */
export async function resolveCredentials(
  { later }: Environment,
  credentials: Credentials | undefined,
  refused: boolean,
  until: AbortSignal,
): Promise<string | undefined> {
  let stop = () => {};
  const late = new Promise<never>((_, reject) => {
    const stopTimer = later(CREDENTIALS_MS, reject);
    until.addEventListener("abort", reject);
    stop = () => {
      stopTimer();
      until.removeEventListener("abort", reject);
    };
  });
  try {
    const pending = typeof credentials === "function" ? credentials({ refused }) : credentials;
    const value: unknown = await Promise.race([pending, late]);
    if (value == null || typeof value === "string") return value ?? undefined;
    throw new TypeError("credentials are text");
  } finally {
    stop();
  }
}
