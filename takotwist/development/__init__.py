"""What `tako dev` puts around the server while an app is written; nothing else imports it."""
