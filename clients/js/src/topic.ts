/**
 * Names of topics and where they are served.
 *
 * Rule: two bindings that say the same have the same name, whatever the order of
 * their keys, so that one page subscribes to one topic once.
 */

import type { Params } from "./message.js";

/** The name of a topic as the protocol prints it, such as `chat?roomId=lobby`. */
export function topicName(channel: string, params: Params): string {
  return `${channel}?${query(params)}`;
}

/** Form-encoded and sorted by key; `10` and `"10"` are one, as they are for the server. */
function query(...parts: Params[]): string {
  const pairs = new URLSearchParams();
  for (const part of parts) {
    for (const name of Object.keys(part).sort()) {
      for (const one of [part[name]].flat()) {
        if (one != null) pairs.append(name, String(one));
      }
    }
  }
  return String(pairs);
}

/**
 * The address of a channel.
 * @param base the server's origin, or the address under which its channels are
 * @param extra query keys that are no params
 */
export function channelUrl(base: string, channel: string, params: Params, extra: Params = {}): URL {
  const url = baseUrl(base);
  url.pathname += encodeURIComponent(channel);
  url.search = query(params, extra);
  return url;
}

/** The address of the connection that many topics share. */
export function connectUrl(base: string): string {
  const url = baseUrl(base);
  url.protocol = url.protocol.replace("http", "ws");
  url.pathname = url.pathname.replace(/(_tako\/)?(channels\/)?$/, "_tako/connect");
  return url.href;
}

function baseUrl(base: string): URL {
  const url = new URL(base);
  if (!url.pathname.endsWith("/")) url.pathname += "/";
  if (url.pathname === "/") url.pathname = "/_tako/channels/";
  return url;
}

/** True where `id` comes after `than`; for ids that are no numbers, where it is another. */
export function newer(id: string, than: string): boolean {
  const ahead = Number(id) - Number(than);
  return Number.isNaN(ahead) ? id !== than : ahead > 0;
}
