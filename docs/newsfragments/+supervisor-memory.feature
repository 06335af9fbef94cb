The supervisor of workers and the log's writer import only what they use: 55 and 58 MB instead of 73 and 75.
