/**
 * The end of a page: noticing it, and the last request that a browser still sends then.
 *
 * Rule: a listener here runs before the shared connection closes itself, so that a page
 * that may be shown again keeps its live objects.
 */

export interface PageLifecycle {
  /**
   * Call each time the page is left; gives what ends that.
   * @param run `kept` says that the browser may show the page again as it was
   */
  onHide(run: (kept: boolean) => void): () => void;
  /** Send a body to the server although the page is unloaded. */
  beacon(url: string, body: string): void;
}

/** This page's. */
export const pageLifecycle: PageLifecycle = {
  onHide(run) {
    const hide = (event: PageTransitionEvent) => run(event.persisted);
    globalThis.addEventListener?.("pagehide", hide, true);
    return () => globalThis.removeEventListener?.("pagehide", hide, true);
  },
  beacon: (url, body) => void globalThis.navigator?.sendBeacon?.(url, body),
};
