Processes of one server say which version of their common language they speak: of two releases none misreads the other, and they are made one by a rolling restart.
