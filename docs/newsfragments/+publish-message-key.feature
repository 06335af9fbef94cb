`tako publish` has `--message-key` and `--delete`, for channels that keep the newest message of each key.
