Shell completion by `eval "$(_TAKO_COMPLETE=bash_source tako)"`, and a word on standard error while a command takes longer than a second.
