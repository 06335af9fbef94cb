// Clients and a library of npm, as their own pages show them: a command a line comes in, what
// happens goes out, both JSON.
//
//   node clients.mjs PORT APP_ID KEY SECRET

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import Echo from "laravel-echo";
import Backend from "pusher";

const require = createRequire(import.meta.url);
const Pusher = require("pusher-js");

const [port, appId, key, secret] = process.argv.slice(2);
const tell = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const backend = new Backend({ appId, key, secret, host: "127.0.0.1", port, useTLS: false });

function connect(user, say = tell) {
  const pusher = new Pusher(key, {
    wsHost: "127.0.0.1",
    wsPort: port,
    forceTLS: false,
    enabledTransports: ["ws"],
    cluster: "",
    channelAuthorization: {
      customHandler: ({ socketId, channelName }, done) => {
        const member = { user_id: user, user_info: { name: `user ${user}` } };
        const data = channelName.startsWith("presence-") ? member : undefined;
        done(null, backend.authorizeChannel(socketId, channelName, data));
      },
    },
    userAuthentication: {
      customHandler: ({ socketId }, done) => done(null, backend.authenticateUser(socketId, { id: user })),
    },
  });
  pusher.connection.bind("state_change", ({ current }) => say({ user, state: current, at: Date.now() }));
  pusher.connection.bind("error", (error) => say({ user, error: error.error?.data ?? error.data ?? null }));
  pusher.bind_global((event, data) => say({ user, global: event, data }));
  return pusher;
}

// Many clients in one process: when each was cut off, and when it was back.
const crowd = [];

function join(name) {
  const one = { pusher: connect("crowd", () => {}), states: [] };
  one.pusher.connection.bind("state_change", ({ current }) => one.states.push([current, Date.now()]));
  // It is said when the connection was cut, and not when it begins anew.
  one.pusher.connection.bind("connecting_in", () => one.states.push(["cut", Date.now()]));
  one.pusher.subscribe(name);
  crowd.push(one);
}

const clients = {};
const echoes = {};

const commands = {
  connect: ({ user }) => (clients[user] = connect(user)),
  subscribe: ({ user, name }) => {
    const channel = clients[user].subscribe(name);
    channel.bind_global((event, data) => {
      const shown = event === "pusher:subscription_succeeded" && data?.members ? data.members : data;
      tell({ user, channel: name, event, data: shown });
    });
  },
  unsubscribe: ({ user, name }) => clients[user].unsubscribe(name),
  say: ({ user, name, event, data }) => clients[user].channel(name).trigger(event, data),
  members: ({ user, name }) => Object.keys(clients[user].channel(name).members.members),
  signin: ({ user }) => {
    clients[user].user.bind_global((event, data) => tell({ user, own: event, data }));
    clients[user].signin();
  },
  socket: ({ user }) => ({ id: clients[user].connection.socket_id }),
  crowd: ({ count, name }) => {
    for (let n = 0; n < count; n += 1) join(name);
    return crowd.length;
  },
  states: () => ({ crowd: crowd.map((one) => one.states) }),
  disconnect: ({ user }) => clients[user].disconnect(),
  echo: ({ user }) => {
    const echo = (echoes[user] = new Echo({ broadcaster: "pusher", client: connect(user) }));
    echo.channel("orders").listen(".shipped", (data) => tell({ echo: user, shipped: data }));
    echo.channel("orders").listen("OrderPaid", (data) => tell({ echo: user, paid: data }));
    echo
      .private("chat")
      .listenForWhisper("typing", (data) => tell({ echo: user, whisper: data }))
      .subscribed(() => tell({ echo: user, ready: "chat" }));
    echo
      .join("room")
      .here((members) => tell({ echo: user, here: members }))
      .joining((member) => tell({ echo: user, joining: member }))
      .leaving((member) => tell({ echo: user, leaving: member }));
  },
  whisper: ({ user, data }) => echoes[user].private("chat").whisper("typing", data),
  leave: ({ user }) => echoes[user].leave("room"),
  trigger: async ({ channels, event, data, params }) => (await backend.trigger(channels, event, data, params)).status,
  batch: async ({ events }) => (await backend.triggerBatch(events)).status,
  get: async ({ path, params }) => (await backend.get({ path, params })).json(),
  send: async ({ to, event, data }) => (await backend.sendToUser(to, event, data)).status,
  terminate: async ({ to }) => (await backend.terminateUserConnections(to)).status,
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const command = JSON.parse(line);
  try {
    const answer = await commands[command.do](command);
    if (typeof answer === "number" || (answer && "n" in command)) tell({ n: command.n, answer });
  } catch (error) {
    tell({ n: command.n, failed: String(error), status: error.status ?? null, body: error.body ?? null });
  }
});
