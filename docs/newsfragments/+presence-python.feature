Python clients show who is here: `Subscription.presence` on a connection for many topics has members, handlers and `update`, for asyncio, Twisted and scripts; `takotwist.client.sync.connect` is new.
