/**
 * Binary frames where frames are lines: `~` and base64 (protocol, live objects, section 3).
 *
 * Rule: nothing else is in here, because two bundles have it.
 */

/** Bytes of a line that begins with `~`. */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  return Uint8Array.from(binary, (unit) => unit.charCodeAt(0));
}

export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  // Pieces, because the arguments of one call are limited.
  for (let at = 0; at < bytes.length; at += 8192) binary += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(binary);
}
