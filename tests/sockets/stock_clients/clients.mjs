// One client of npm, used as its own page shows it: prints what its handlers are given, one a line.
//
//   node clients.mjs CLIENT URL

const [client, url] = process.argv.slice(2);

function say(name, data, id) {
  console.log(JSON.stringify({ name, data, id }));
}

function listen(source) {
  source.onmessage = ({ data, lastEventId }) => say("message", data, lastEventId);
  source.addEventListener("tako.reset", ({ data, lastEventId }) => say("tako.reset", data, lastEventId));
}

const clients = {
  async eventsource() {
    const { EventSource } = await import("eventsource");
    listen(new EventSource(url));
  },

  async "event-source-polyfill"() {
    // It is for browsers, whose XMLHttpRequest it would use; here it takes fetch.
    globalThis.document = { readyState: "complete" };
    globalThis.window = globalThis;
    const { EventSourcePolyfill } = (await import("event-source-polyfill")).default;
    listen(new EventSourcePolyfill(url, { Transport: undefined }));
  },

  async "fetch-event-source"() {
    globalThis.window = globalThis;
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} };
    const { fetchEventSource } = await import("@microsoft/fetch-event-source");
    await fetchEventSource(url, {
      onmessage: ({ event, data, id }) => say(event || "message", data, id),
      onclose() {
        // As its page says: what is thrown here has it come back.
        throw new Error("closed");
      },
      onerror() {},
    });
  },
};

await clients[client]();
