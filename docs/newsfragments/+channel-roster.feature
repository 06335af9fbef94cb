A `tako.v1` connection to one channel can follow who is there: `{"op":"subscribe","presence":true}` without a channel.
