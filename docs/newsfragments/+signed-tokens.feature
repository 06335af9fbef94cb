Channels and functions may be opened by signed tokens (JWT) in place of a `verify` or an app that is asked: `[tokens]`, `tako token new`, `tako token revoke`, and the extra `tokens`.
