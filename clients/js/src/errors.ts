/**
 * Every error that a channel gives.
 *
 *     TakoError                  `code` is the server's word, or one of the words below
 *     ├── ChannelClosedError     channel-closed: `close()` was called
 *     ├── ChannelOverflowError   overflow: a bound of this client is reached
 *     └── ChannelGoneError       replay-too-old, cursor-invalid, no-cursor
 *
 * Words of our own: connection-lost, connection-silent, protocol-broken,
 * credentials-failed, gone-failed, http-<status>, close-<code>.
 */

export class TakoError extends Error {
  override readonly name = "TakoError";
  /** The stable word; branch on this, not on the message. */
  readonly code: string;

  constructor(code: string, message = code) {
    super(message);
    this.code = code;
  }
}

export class ChannelClosedError extends TakoError {
  constructor() {
    super("channel-closed");
  }
}

export class ChannelOverflowError extends TakoError {
  constructor(message: string) {
    super("overflow", message);
  }
}

export class ChannelGoneError extends TakoError {
  constructor(reason: string) {
    super(reason, "messages were missed: reload");
  }
}
