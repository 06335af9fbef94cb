`takotwist/resumable` has the calls of the npm package `resumable-stream` over durable streams: the text outlives the process that writes it.
