/**
 * A `text/event-stream` read piece by piece (WHATWG HTML, section 9.2.6).
 *
 * Differs from a browser's on purpose in one thing: a block that holds only an
 * `id` is reported too, because that is how older servers set a cursor before the
 * first message. Rule: nothing happens before the blank line, but for `retry:`.
 */

/** A block longer than this, in characters, is no block of ours. */
const MAX_BLOCK = 4 * 2 ** 20;

export interface Block {
  readonly event?: string;
  readonly data?: string;
  readonly id?: string;
}

/**
 * @returns a function to push text into; it gives false when a block has grown past its bound:
 *   give the stream up
 */
export function eventStream(onBlock: (block: Block) => void, onRetry: (ms: number) => void): (text: string) => boolean {
  let rest = "";
  let afterReturn = false;
  let block: { event?: string; data?: string; id?: string } = {};

  function take(line: string): void {
    if (!line) {
      const whole = block;
      block = {};
      return onBlock(whole);
    }
    // A line that begins with a colon is a comment, and has no field of ours either.
    const [, field, value] = /^([^:]*):? ?([^]*)$/.exec(line) as unknown as [string, string, string];
    if (field === "data") block.data = block.data === undefined ? value : `${block.data}\n${value}`;
    if (field === "event") block.event = value;
    if (field === "id" && !value.includes("\0")) block.id = value;
    if (field === "retry" && /^\d+$/.test(value)) onRetry(Number(value));
  }

  return (text) => {
    if (!text) return true;
    // A CRLF that was cut in two is still one line end.
    if (afterReturn && text[0] === "\n") text = text.slice(1);
    afterReturn = text.endsWith("\r");
    const lines = (rest + text).split(/\r\n|[\r\n]/);
    rest = lines.pop() as string;
    lines.forEach(take);
    return rest.length + (block.data ?? "").length <= MAX_BLOCK;
  };
}
