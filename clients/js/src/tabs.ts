/**
 * One connection for all tabs: `createClient({ tabs: sharedTabs({ identity: user.id }) })`.
 *
 * Tabs of one origin and one identity elect a leader by a Web Lock; its connection carries the topics
 * of all, over a BroadcastChannel. Each subscription keeps its own cursor, so whoever leads next goes on
 * from there. Rule: where a browser lacks one of the two, or refuses it, each tab has its own connection.
 */

import { createMux, type MuxFactory } from "./mux.js";
import { createTabMux } from "./tabs_mux.js";
import { pageOfTab } from "./tabs_page.js";

export interface SharedTabsOptions {
  /**
   * Whose tabs share: the id of the user who is signed in, or of the session; any constant where nobody is.
   * What the server lets one tab see and do it lets all of them, so tabs of two users must differ in it.
   */
  readonly identity: string;
}

/**
 * For the option `tabs` of a client.
 * @throws TypeError where there is no identity
 */
export function sharedTabs({ identity }: SharedTabsOptions): MuxFactory {
  if (typeof identity !== "string" || !identity) throw new TypeError("sharedTabs needs an identity: whose tabs share.");
  let explained = false;
  return (environment, url, onIdle, auth = "") => {
    const page = pageOfTab();
    if (page) return createTabMux(environment, page, { url, identity, auth }, onIdle);
    if (!explained) environment.explain?.("takotwist: each tab has a connection of its own: no Web Locks or BroadcastChannel here (they need HTTPS).");
    explained = true;
    return createMux(environment, url, onIdle);
  };
}
