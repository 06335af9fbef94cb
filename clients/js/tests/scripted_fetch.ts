/** A network that is a script: what is asked, and the next answer. */

export type Answer = Response | Error | ((request: Request) => Response | Promise<Response>);

export class ScriptedFetch {
  readonly asked: Request[] = [];
  readonly bodies: string[] = [];
  script: Answer[] = [];

  readonly fetch: typeof fetch = async (input, init) => {
    const request = new Request(input, init);
    this.asked.push(request);
    this.bodies.push(await request.clone().text());
    const answer = this.script.shift() ?? new Error("nothing is left of the script");
    if (answer instanceof Error) throw answer;
    return typeof answer === "function" ? answer(request) : answer;
  };

  /** What each request said in its query. */
  said(name: string): (string | null)[] {
    return this.asked.map(({ url }) => new URL(url).searchParams.get(name));
  }
}

/** A part of a stream. */
export function page(body: string, offset: string, closed = false, more: Record<string, string> = {}): Response {
  const headers = { "stream-next-offset": offset, ...(closed && { "stream-closed": "true" }), ...more };
  return new Response(body || null, { status: body ? 200 : 204, headers });
}

/** The server's no. */
export function refused(status: number, code: string): Response {
  return new Response(JSON.stringify({ code, error: "because" }), { status });
}

/** A connection that was cut. */
export const cut = () => new TypeError("fetch failed");

/** An answer that comes when it is told to, or never. */
export function held(): { answer: Answer; give: (response: Response) => void; aborted: () => boolean } {
  let give!: (response: Response) => void;
  let fail!: (error: Error) => void;
  let request: Request | undefined;
  const response = new Promise<Response>((yes, no) => {
    give = yes;
    fail = no;
  });
  response.catch(() => {});
  const answer: Answer = (asked) => {
    request = asked;
    asked.signal.addEventListener("abort", () => fail(new TypeError("aborted")));
    return response;
  };
  return { answer, give, aborted: () => request?.signal.aborted ?? false };
}
