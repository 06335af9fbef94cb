Errors of an app's code, and of a value in `tako.toml`, are said with file and line, and what to do.
