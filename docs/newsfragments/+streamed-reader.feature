`readMessage` of `takotwist/streams`, and the hook `useStream` of `takotwist/react-streams`, show a message while it is written, through cuts and reloads, with its definite end and a cancel.
