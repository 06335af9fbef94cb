Nodes say which version of the protocol between nodes they speak; of two that differ neither misreads the other, and
the log says so.
