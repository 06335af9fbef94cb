"""Development mode: the parts that `tako dev` puts around the server; nothing else imports it."""
