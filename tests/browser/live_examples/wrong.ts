/** What the compiler must refuse, each line by itself; one that it took would be an error here. */

import { call, createLive } from "takotwist/live";

// @ts-expect-error There is no such function.
await call("onClocks");
// @ts-expect-error Its arguments are missing.
await call("onJoinChat");
// @ts-expect-error One is.
await call("onJoinChat", ["lobby"]);
// @ts-expect-error Of another type.
await call("onJoinChat", ["lobby", 7]);
// @ts-expect-error It takes none.
await call("onClock", ["now"]);
// @ts-expect-error By name there is none of this name.
await call("onExport", { rows: 10, columns: 2 });
// @ts-expect-error And it is a number.
await call("onExport", { rows: "10" });
await call("onExport", { rows: 10 });

const { channel: clock } = await call("onClock");
// @ts-expect-error The time is a number.
clock.listen((time: string) => void time);
// @ts-expect-error There is no such member.
clock.subscribe(() => {});

const { channel: room } = await call("onJoinRoom");
// @ts-expect-error No such message.
void room.send({ type: "shout", text: "hi" });
// @ts-expect-error A member is missing.
void room.send({ type: "join" });
// @ts-expect-error It is answered by something else.
(await room.send({ type: "chat", text: "hi" })).refused;
// @ts-expect-error The answer is of another type.
room.listen(() => ({ delivered: "yes" }));
// @ts-expect-error Only some messages have it.
room.listen(({ roomId }) => void roomId);

const chat = await call("onJoinChat", ["lobby", "Alice"]);
// @ts-expect-error The text is missing.
void chat.publish({ user: "Alice" });
// @ts-expect-error A broadcast is not sent to.
void chat.send({ user: "Alice", text: "hi" });

const others = createLive<{ add(left: number, right: number): number }>();
const sum: number = await others.call("add", [1, sum2()]);
// @ts-expect-error Another table has other functions.
await others.call("onClock");
void sum;

function sum2(): number {
  return 2;
}
