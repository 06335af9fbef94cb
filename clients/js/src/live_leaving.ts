/**
 * How a page is left, and what can still be said then.
 *
 * Rule: who is told here is told before the shared connection closes itself, so that a page
 * that may be shown again keeps its live objects.
 */

export interface Leaving {
  /**
   * Call each time the page is left; gives what ends that.
   * @param run `kept` says that the browser may show the page again as it was
   */
  onHide(run: (kept: boolean) => void): () => void;
  /** Say something to the server, though the page goes. */
  beacon(url: string, body: string): void;
}

/** This page's. */
export const leaving: Leaving = {
  onHide(run) {
    const hide = (event: PageTransitionEvent) => run(event.persisted);
    globalThis.addEventListener?.("pagehide", hide, true);
    return () => globalThis.removeEventListener?.("pagehide", hide, true);
  },
  beacon: (url, body) => void globalThis.navigator?.sendBeacon?.(url, body),
};
