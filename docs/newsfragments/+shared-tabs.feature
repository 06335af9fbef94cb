The tabs of one user may share one connection (`sharedTabs` of `takotwist/tabs`): one of them leads, and another one goes on without loss when it is closed, crashes or is frozen.
