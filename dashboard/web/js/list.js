// Lists by cursor: pages are fetched as they are scrolled to, and what is on the screen
// stays fresh.

import { paced, seen } from "./dom.js";

const pageSize = 50;
const mostAtOnce = 4;
const mostAlone = 8;
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
  /** @typedef {(query: Record<string, any>, options: Asking) => Promise<Answer<any>>} Fetch */
  #fetch;
  #key;
  #one;
  #from = new Map(); // the cursor that a row was fetched with, by key; none for the first page
  #next = null;
  #abort = new AbortController();
  #started = false;
  #busy = false;
  rows = [];
  state = "loading";
  problem = null;

  /**
   * fetch(query, options) answers {data, next}; key(row) names a row; one(row, options)
   * answers what has become of a row that no page holds any more, or null.
   * @param {Fetch} fetch
   * @param {(row: any) => string} key
   * @param {(row: any, options: Asking) => Promise<any>} [one]
   */
  constructor(fetch, key, one = async () => null) {
    super();
    this.#fetch = fetch;
    this.#key = key;
    this.#one = one;
  }

  get more() { return !this.#started || this.#next !== null; }

  stop() { this.#abort.abort(); }

  /** load fetches the next page, if there is one and none is on its way. */
  async load() {
    if (this.#busy || !this.more || this.state === "failed") return;
    this.state = "loading";
    await this.#append();
  }

  #append(timed = false) {
    const cursor = this.#next;
    return this.#ask(cursor, (answer) => {
      // A row that events have told of keeps its place, and gets what only lists tell.
      this.rows = [...new Map([...this.#byKey(this.rows), ...this.#byKey(this.#told(answer.data))]).values()];
      if (cursor) for (const row of answer.data) this.#from.set(this.#key(row), cursor);
      this.#next = answer.next || null;
      this.#started = true;
    }, { timed });
  }

  /** retry asks again for what failed. Quietly: the failure stands until there is an answer. */
  async retry(quietly = false) {
    if (this.#busy) return;
    if (!quietly) this.state = "loading";
    await this.#append(quietly);
  }

  /**
   * renew brings the list up to date by a timer, also after a failure, for somebody who
   * looks at its top, or at the rows in shown further down.
   * @param {boolean} atTop
   * @param {any[]} [shown]
   * @param {(rows: any[]) => boolean} [enough]
   */
  renew(atTop, shown, enough) {
    if (seen() && !document.querySelector("dialog[open]")) {
      if (this.state === "failed") this.retry(true);
      else if (this.state === "ready") this.refresh(atTop, { enough, shown, timed: true });
    }
  }

  /**
   * refresh fetches the first page again. For somebody who looks at it, the list
   * begins anew with that page; otherwise rows that are known are renewed in their
   * places, so that nothing moves under somebody who reads further down, and the rows in
   * shown are looked up where they are. A page whose rows are not enough is shown with the
   * next one: nothing shrinks to grow again.
   * @param {boolean} anew
   * @param {{enough?: (rows: any[]) => boolean, shown?: any[], timed?: boolean}} [how]
   */
  async refresh(anew, { enough, shown = [], timed = false } = {}) {
    if (this.#busy || !this.#started) return;
    await this.#ask(null, (answer) => {
      const fresh = this.#byKey(this.#told(answer.data));
      if (anew) {
        this.rows = [...fresh.values()];
        this.#from.clear();
        this.#next = answer.next || null;
        return;
      }
      this.rows = this.rows.map((row) => fresh.get(this.#key(row)) ?? row);
    }, { timed, enough: anew ? enough : undefined, further: anew ? undefined : (first, options) => this.#lookUp(shown, first, options) });
  }

  // The pages that the shown rows came with, and those rows one by one that have left
  // their pages: somebody who becomes active moves up, to a page that is not shown.
  async #lookUp(shown, first, options) {
    let known = this.#byKey(first);
    const left = () => shown.filter((row) => !row.logoutAt && !known.has(this.#key(row)));
    const cursors = new Set(left().map((row) => this.#from.get(this.#key(row))).filter(Boolean));
    for (const cursor of [...cursors].slice(0, mostAtOnce)) {
      const { data } = await this.#fetch({ limit: pageSize, cursor }, options);
      known = new Map([...this.#byKey(data), ...known]);
    }
    const alone = await Promise.all(left().slice(0, mostAlone).map((row) => this.#one(row, options)));
    return [...known.values(), ...alone.filter(Boolean)];
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

  /**
   * @param {string | null} cursor
   * @param {(answer: Answer<any>) => void} take
   * @param {{timed?: boolean, enough?: (rows: any[]) => boolean, further?: (rows: any[], options: Asking) => Promise<any[]>}} how
   */
  async #ask(cursor, take, { timed = false, enough = () => true, further = async (data) => data }) {
    this.#busy = true;
    this.#emit();
    const { signal } = this.#abort;
    const options = { signal, timed };
    try {
      const query = { limit: pageSize };
      if (cursor) query.cursor = cursor;
      const answer = await this.#fetch(query, options);
      for (let pages = 1; pages < mostAtOnce && answer.next && !enough(answer.data); pages++) {
        const next = await this.#fetch({ limit: pageSize, cursor: answer.next }, options);
        answer.data = [...answer.data, ...next.data];
        answer.next = next.next;
      }
      answer.data = await further(answer.data, options);
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
