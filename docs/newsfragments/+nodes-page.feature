`tako nodes` and `/_tako/nodes` show the nodes of a server; its metrics have the label `node`, or are summed with `?nodes=sum`, and `tako channels` shows all nodes together and each apart.
