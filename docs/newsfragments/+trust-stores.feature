`tako trust` adds the development CA to Firefox and to Debian's certificates too, and `--remove` takes it out again.
