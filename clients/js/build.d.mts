export const BUDGET: number;
export function bundle(entry?: string, core?: string): Promise<Uint8Array>;
export function gzipped(contents: Uint8Array): number;
export function servedFiles(): Promise<{ "client.js": string; "client.json": string; "live.js": string; "live.pinned.js": string; "live.json": string; "webtransport.js": string; "tabs.js": string; "offline.js": string }>;
