Webhooks, signed by the Standard Webhooks form: who follows what, who joins and leaves, what was refused; at least once, over restarts, and once for all workers and servers. `[webhooks]`.
