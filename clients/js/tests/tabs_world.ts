/** Tabs of one browser, with locks and channels that a test moves: each in a page of its own, on one network. */

import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { type ClientOptions, createClient } from "../src/client.js";
import type { Environment } from "../src/environment.js";
import { createTabMux } from "../src/tabs_mux.js";
import type { BroadcastLike, LocksLike, TabPage } from "../src/tabs_page.js";
import { ModelServer } from "./model_server.js";
import { type FakeSocket, World } from "./world.js";

interface Waiting {
  readonly tab: FakeTab;
  readonly granted: () => Promise<void> | void;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

function aborted(): Error {
  return Object.assign(new Error("aborted"), { name: "AbortError" });
}

/** Named locks as a browser has them: one holder, a queue, and stealing. */
class FakeLocks {
  readonly holders = new Map<string, Waiting>();
  readonly queues = new Map<string, Waiting[]>();

  request(tab: FakeTab, name: string, steal: boolean, signal: AbortSignal | undefined, granted: () => Promise<void> | void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // What its promises still do is no doing of a page.
      if (tab.dead) return;
      const one: Waiting = { tab, granted, resolve, reject };
      const queue = this.queues.get(name) ?? [];
      this.queues.set(name, queue);
      if (steal) {
        const holder = this.holders.get(name);
        this.holders.delete(name);
        holder?.tab.later(() => holder.reject(aborted()));
        queue.unshift(one);
      } else queue.push(one);
      signal?.addEventListener("abort", () => {
        const at = queue.indexOf(one);
        if (at < 0) return;
        queue.splice(at, 1);
        reject(aborted());
      });
      this.#next(name);
    });
  }

  #next(name: string): void {
    if (this.holders.has(name)) return;
    const next = this.queues.get(name)?.shift();
    if (!next) return;
    this.holders.set(name, next);
    next.tab.later(async () => {
      if (this.holders.get(name) !== next) return;
      await next.granted();
      this.#free(name, next);
      next.resolve(undefined);
    });
  }

  #free(name: string, one: Waiting): void {
    if (this.holders.get(name) !== one) return;
    this.holders.delete(name);
    this.#next(name);
  }

  /** What the browser does when a page is gone. */
  drop(tab: FakeTab): void {
    for (const queue of this.queues.values()) {
      for (const one of [...queue]) if (one.tab === tab) queue.splice(queue.indexOf(one), 1);
    }
    for (const [name, holder] of [...this.holders]) if (holder.tab === tab) this.#free(name, holder);
  }
}

export class FakeTab {
  hidden = false;
  /** Its process was killed: nothing of it runs any more. */
  dead = false;
  /** No task runs, and nobody was told. */
  frozen = false;
  readonly browser: FakeBrowser;
  readonly stoppers = new Set<() => void>();
  readonly environment: Environment;
  readonly page: TabPage;
  #missed: (() => void)[] = [];
  readonly #timers = new Set<() => void>();

  constructor(browser: FakeBrowser) {
    this.browser = browser;
    const { world, locks } = browser;
    const tab = this;
    const base = world.environment;
    const WebSocket = base.WebSocket as NonNullable<Environment["WebSocket"]>;
    this.environment = {
      ...base,
      later: (ms, run) => {
        let wanted = true;
        const stop = base.later(ms, () => this.task(() => wanted && run()));
        const cancel = () => {
          wanted = false;
          stop();
        };
        this.#timers.add(cancel);
        return cancel;
      },
      onWake: (run) => base.onWake(() => this.task(run)),
      WebSocket: class extends WebSocket {
        constructor(url: string, protocols: string[]) {
          super(url, protocols);
          const own = this as unknown as FakeSocket;
          own.closed = tab.dead;
          tab.sockets.push(own);
          browser.server.connected(own);
          // Of a page that does not run nothing is seen, and what comes later waits for it.
          const { send, text, lose } = own;
          own.send = (payload) => {
            if (own.closed) return;
            send.call(own, payload);
            browser.server.received(own, JSON.parse(payload as string));
          };
          own.text = (frame) => tab.task(() => own.closed || text.call(own, frame));
          own.lose = (code, reason) => tab.task(() => own.closed || lose.call(own, code, reason));
        }
      },
    };
    class Channel extends FakeChannel {
      constructor(name: string) {
        super(tab, name);
      }
    }
    const requests: LocksLike = {
      request: (name, { signal, steal = false }, granted) => locks.request(tab, name, steal, signal, granted),
    };
    this.page = {
      locks: requests,
      BroadcastChannel: Channel,
      newId: () => `tab${++browser.ids}`,
      digest: async (text) => text,
      clock: () => 1_000_000 + world.time,
      hidden: () => this.hidden,
      onStop: (run) => {
        const own = () => run();
        this.stoppers.add(own);
        return () => void this.stoppers.delete(own);
      },
    };
  }

  readonly sockets: FakeSocket[] = [];

  /** Run now; a frozen page does so when it goes on. */
  task(run: () => void): void {
    if (this.dead) return;
    if (this.frozen) this.#missed.push(run);
    else run();
  }

  /** Run in a task of its own. */
  later(run: () => void): void {
    queueMicrotask(() => this.task(run));
  }

  /** A client whose channels share with those of other tabs. */
  client(identity = "u1", options: ClientOptions = {}) {
    return createClient({
      ...this.environment,
      url: "https://x.example",
      tabs: (environment, url, onIdle, auth = "") => createTabMux(environment, this.page, { url, identity, auth }, onIdle),
      ...options,
    });
  }

  /** The page is left, and kept to go back to, or frozen by the browser. */
  stop(): void {
    for (const run of [...this.stoppers]) run();
  }

  /** The process is killed. */
  kill(): void {
    this.dead = true;
    for (const cancel of this.#timers) cancel();
    for (const channel of this.browser.channels) if (channel.tab === this) this.browser.channels.delete(channel);
    this.browser.locks.drop(this);
    for (const socket of this.sockets) socket.closed = true;
  }

  thaw(): void {
    this.frozen = false;
    for (const run of this.#missed.splice(0)) run();
  }
}

class FakeChannel implements BroadcastLike {
  onmessage: unknown = null;
  readonly tab: FakeTab;
  readonly name: string;

  constructor(tab: FakeTab, name: string) {
    this.tab = tab;
    this.name = name;
    if (!tab.dead) tab.browser.channels.add(this);
  }

  postMessage(message: unknown): void {
    if (this.tab.dead) return;
    if (!this.tab.browser.channels.has(this)) throw new Error("InvalidStateError: the channel is closed");
    this.tab.browser.posts.push(message);
    for (const other of [...this.tab.browser.channels]) {
      if (other === this || other.name !== this.name) continue;
      const data = structuredClone(message);
      other.tab.later(() => {
        if (other.tab.browser.channels.has(other)) (other.onmessage as ((event: { data: unknown }) => void) | null)?.({ data });
      });
    }
  }

  close(): void {
    this.tab.browser.channels.delete(this);
  }
}

export class FakeBrowser {
  readonly world = new World();
  readonly locks = new FakeLocks();
  readonly channels = new Set<FakeChannel>();
  readonly posts: unknown[] = [];
  readonly server = new ModelServer();
  readonly indexedDB: globalThis.IDBFactory = new IDBFactory();
  ids = 0;

  constructor() {
    // A delay of nothing would be tried again and again at one moment.
    this.world.chance = 0.5;
  }

  tab(): FakeTab {
    return new FakeTab(this);
  }

}
