// Lists by cursor: pages are fetched as they are scrolled to, and the first one
// stays fresh while it is looked at.

import { paced, seen } from "./dom.js";

const pageSize = 50;
const pause = 100;

/**
 * Pages holds the rows of one question. It emits "change" whenever rows, state or
 * problem did. state: loading, ready, failed.
 */
export class Pages extends EventTarget {
  #fetch;
  #key;
  #next = null;
  #abort = new AbortController();
  #started = false;
  #busy = false;
  rows = [];
  state = "loading";
  problem = null;

  /** fetch(query, signal) answers {data, next}; key(row) names a row. */
  constructor(fetch, key) {
    super();
    this.#fetch = fetch;
    this.#key = key;
  }

  get more() { return !this.#started || this.#next !== null; }

  stop() { this.#abort.abort(); }

  /** load fetches the next page, if there is one and none is on its way. */
  async load() {
    if (this.#busy || !this.more || this.state === "failed") return;
    this.state = "loading";
    await this.#append();
  }

  #append() {
    return this.#ask(this.#next, (answer) => {
      const have = new Set(this.rows.map(this.#key));
      this.rows = [...this.rows, ...answer.data.filter((row) => !have.has(this.#key(row)))];
      this.#next = answer.next || null;
      this.#started = true;
    });
  }

  /** retry asks again for what failed. Quietly: the failure stands until there is an answer. */
  async retry(quietly = false) {
    if (this.#busy) return;
    if (!quietly) this.state = "loading";
    await this.#append();
  }

  /** renew brings the list up to date, also after a failure, for somebody who looks at its top or further down. */
  renew(atTop) {
    if (seen() && !document.querySelector("dialog[open]")) {
      if (this.state === "failed") this.retry(true);
      else if (this.state === "ready") this.refresh(atTop);
    }
  }

  /**
   * refresh fetches the first page again. For somebody who looks at it, the list
   * begins anew with that page; otherwise rows that are known are renewed in their
   * places, so that nothing moves under somebody who reads further down.
   */
  async refresh(anew) {
    if (this.#busy || !this.#started) return;
    await this.#ask(null, (answer) => {
      if (anew) {
        this.rows = answer.data;
        this.#next = answer.next || null;
        return;
      }
      const fresh = new Map(answer.data.map((row) => [this.#key(row), row]));
      this.rows = this.rows.map((row) => fresh.get(this.#key(row)) ?? row);
    });
  }

  async #ask(cursor, take) {
    this.#busy = true;
    this.#emit();
    const { signal } = this.#abort;
    try {
      const query = { limit: pageSize };
      if (cursor) query.cursor = cursor;
      const answer = await this.#fetch(query, signal);
      if (signal.aborted) return;
      take(answer);
      this.state = "ready";
      this.problem = null;
    } catch (problem) {
      if (signal.aborted) return;
      this.state = this.#started && cursor === null ? "ready" : "failed";
      this.problem = problem;
    } finally {
      this.#busy = false;
    }
    this.#emit();
  }

  /** put adds a row at the top, or renews it where it stands. */
  put(row) {
    const key = this.#key(row);
    const known = this.rows.some((old) => this.#key(old) === key);
    this.rows = known ? this.rows.map((old) => (this.#key(old) === key ? row : old)) : [row, ...this.rows];
    this.#emit();
  }

  /** change renews one row by its key, where it is known. */
  change(key, update) {
    if (!this.rows.some((row) => this.#key(row) === key)) return;
    this.rows = this.rows.map((row) => (this.#key(row) === key ? { ...row, ...update } : row));
    this.#emit();
  }

  // Many changes at once are one to those who draw them.
  #emit = paced(() => {
    if (!this.#abort.signal.aborted) this.dispatchEvent(new Event("change"));
  }, pause);
}
