/**
 * Explanations for the developer of a page that cannot connect.
 *
 * A browser says little: a refused origin, a dev server that answers in the server's place and a server
 * that is not there all look alike. So, in development only, the server's own script is fetched, which
 * any page may read. Rule: said within two seconds, once a server and trouble, and never in production.
 */

import type { Environment } from "./environment.js";
import type { TakoError } from "./errors.js";
import type { State } from "./message.js";
import { connectUrl } from "./topic.js";

/** Time for a channel to open before the server is probed. */
const OPEN_MS = 1_400;
/** Timeout of the probe. */
const PROBE_MS = 400;

/** Called with the states of a subscription, from its begin. */
export type Watcher = (state: State, error: TakoError | undefined) => void;

/** @returns makes the watcher of one subscription to `topic` of the server at `base` */
export function createDiagnosis(environment: Environment): (base: string, topic: string) => Watcher {
  const { explain, later } = environment;
  const reported = new Set<string>();
  const probed = new Set<string>();

  function once(key: string, text: string): void {
    if (!reported.has(key)) explain?.(`takotwist: ${text}`);
    reported.add(key);
  }

  async function probe(base: string): Promise<string> {
    const script = new URL(connectUrl(base).replace(/^ws/, "http").replace(/connect$/, "client.js"));
    const page = globalThis.location?.origin;
    const abort = new AbortController();
    const cancel = later(PROBE_MS, () => abort.abort());
    try {
      const response = await environment.fetch(script, { signal: abort.signal });
      if ((await response.text()).startsWith("/*! takotwist")) {
        return page && page !== script.origin
          ? `takotwist answers at ${script.origin}. Does its http.allowed_origins have ${page}?`
          : `takotwist answers at ${script.origin}: something between may cut off WebSockets.`;
      }
      const what = `${response.status} ${response.headers.get("content-type")}`;
      return `What answers at ${script.origin} is not takotwist (${what}): give \`url\`, or have the dev server pass /_tako on.`;
    } catch {
      return `Nothing that this page may read answers at ${script.origin}: is the server running there?`;
    } finally {
      cancel();
    }
  }

  return (base, topic) => {
    if (!explain) return () => {};
    let error: TakoError | undefined;
    let ended = false;
    const cancel = later(OPEN_MS, async () => {
      if (probed.has(base)) return;
      probed.add(base);
      const finding = await probe(base);
      // It opened or was left meanwhile: the next one that does not open asks again.
      if (ended) probed.delete(base);
      else once(base, `${topic} is not open yet (${error ? error.message : "no answer"}). ${finding}`);
    });
    return (state, why) => {
      error = why;
      if (state !== "open" && state !== "closed") return;
      ended = true;
      cancel();
      if (why) once(`${base} ${why.code}`, `${topic} is closed: ${why.code}: ${why.message}`);
    };
  };
}
