A `Dockerfile` and a compose file run the server as a user without rights on a read-only root file system; `tako health` is its health check.
