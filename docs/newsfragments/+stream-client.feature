`takotwist.app.durable_stream.DurableStreams` writes, reads and ends durable streams from any asyncio or Twisted program; what is written while a request is under way goes with the next.
