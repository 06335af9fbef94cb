// node with `ws`: a topic's subscribers by SSE and WebSocket, publishing by POST.
// What people write when they write it themselves: one `send` for each subscriber.
// With SHARED=1 the frame is built once and written to the sockets (ws's own trick).
const http = require("http");
const https = require("https");
const fs = require("fs");
const { WebSocketServer, Sender } = require("ws");

const topics = new Map();
const of = (url) => {
  const topic = url.slice(url.indexOf("?") + 1);
  if (!topics.has(topic)) topics.set(topic, { streams: new Set(), sockets: new Set() });
  return topics.get(topic);
};
let id = Date.now() * 1000;

function publish(topic, body) {
  const message = `{"id":"${++id}","channel":"bench","type":"m","data":${body}}`;
  if (topic.streams.size) {
    const block = `id: ${id}\ndata: ${message}\n\n`;
    for (const response of topic.streams) response.write(block);
  }
  if (process.env.SHARED) {
    const list = Sender.frame(Buffer.from(message), {
      fin: true, opcode: 1, mask: false, readOnly: false, rsv1: false,
    });
    const frame = Buffer.concat(list);
    for (const socket of topic.sockets) socket._socket.write(frame);
  } else for (const socket of topic.sockets) socket.send(message);
  return message;
}

function answer(request, response) {
  const topic = of(request.url);
  if (request.method === "GET") {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write(": hi\n\n");
    request.socket.setNoDelay(true);
    topic.streams.add(response);
    response.on("close", () => topic.streams.delete(response));
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const { data } = JSON.parse(Buffer.concat(parts).toString());
    const message = publish(topic, JSON.stringify(data));
    response.writeHead(200, {
      "content-type": "application/json", "content-length": Buffer.byteLength(message),
    });
    response.end(message);
  });
}

const [port, certificate, key] = process.argv.slice(2);
const server = certificate
  ? https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, answer)
  : http.createServer(answer);
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });
sockets.on("connection", (socket, request) => {
  const topic = of(request.url);
  topic.sockets.add(socket);
  socket.on("close", () => topic.sockets.delete(socket));
  socket.on("error", () => {});
});
server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 });
