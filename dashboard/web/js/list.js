// Lists by cursor: pages are fetched as they are scrolled to, and the first one
// stays fresh while it is looked at.

import { paced, seen } from "./dom.js";

const pageSize = 50;
const mostAtOnce = 4;
const pause = 100;

/** over is what an event of an end tells of a row: less of its person than the row does. */
export function over({ user, ...session }) {
  return { ...session, isActive: false };
}

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
      // A row that events have told of keeps its place, and gets what only lists tell.
      this.rows = [...new Map([...this.#byKey(this.rows), ...this.#byKey(this.#told(answer.data))]).values()];
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
  renew(atTop, enough) {
    if (seen() && !document.querySelector("dialog[open]")) {
      if (this.state === "failed") this.retry(true);
      else if (this.state === "ready") this.refresh(atTop, enough);
    }
  }

  /**
   * refresh fetches the first page again. For somebody who looks at it, the list
   * begins anew with that page; otherwise rows that are known are renewed in their
   * places, so that nothing moves under somebody who reads further down. A page whose
   * rows are not enough is shown with the next one: nothing shrinks to grow again.
   */
  async refresh(anew, enough = () => true) {
    if (this.#busy || !this.#started) return;
    await this.#ask(null, (answer) => {
      const fresh = this.#byKey(this.#told(answer.data));
      if (anew) {
        this.rows = [...fresh.values()];
        this.#next = answer.next || null;
        return;
      }
      this.rows = this.rows.map((row) => fresh.get(this.#key(row)) ?? row);
    }, anew ? enough : undefined);
  }

  #byKey(rows) { return new Map(rows.map((row) => [this.#key(row), row])); }

  // A list that was asked for before an end and answered after it takes nothing back.
  #told(rows) {
    const known = this.#byKey(this.rows);
    return rows.map((row) => {
      const before = known.get(this.#key(row));
      return before?.logoutAt && !row.logoutAt ? before : row;
    });
  }

  async #ask(cursor, take, enough = () => true) {
    this.#busy = true;
    this.#emit();
    const { signal } = this.#abort;
    try {
      const query = { limit: pageSize };
      if (cursor) query.cursor = cursor;
      const answer = await this.#fetch(query, signal);
      for (let pages = 1; pages < mostAtOnce && answer.next && !enough(answer.data); pages++) {
        const further = await this.#fetch({ limit: pageSize, cursor: answer.next }, signal);
        answer.data = [...answer.data, ...further.data];
        answer.next = further.next;
      }
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

  /** put adds an event's row at the top, unless a list has told of it, and more than events do. */
  put(row) {
    if (this.#byKey(this.rows).has(this.#key(row))) return;
    this.rows = [row, ...this.rows];
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
