"""One log, its writer in a process of its own, and the logs of the processes beside it."""
