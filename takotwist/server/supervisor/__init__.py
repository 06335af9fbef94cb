"""Several worker processes behind one that supervises them (`[server] workers`).

The supervisor holds the listening sockets and hands each accepted connection to the worker with
the fewest; it never reads what a client sends.  Rule: a server with one worker imports
nothing of this.
"""
