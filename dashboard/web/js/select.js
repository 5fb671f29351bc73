// Rows that are selected, one by one, in a range, or all that match, and what is done with
// them.

import { h } from "./dom.js";
import { count, deviceName, number, personName, t } from "./text.js";

/** Selection emits "end" when the selected sessions shall end. */
export class Selection extends EventTarget {
  #table;
  #keys = new Map(); // the selected rows, by their session
  #anchor = null;
  #total = 0;
  #text = h("p", { class: "selection-text", role: "status" });
  #every = h("button", { type: "button", class: "button is-small is-quiet", on: { click: () => this.#selectAll() } });
  #end = h("button", { type: "button", class: "button is-small is-danger", text: t("select.end"), on: { click: () => this.dispatchEvent(new Event("end")) } });
  /** all says that every session that matches is selected, loaded or not. */
  all = false;

  constructor() {
    super();
    this.head = h("input", { type: "checkbox", "aria-label": t("select.loaded"), on: { change: () => this.#loaded(this.head.checked) } });
    this.element = h("div", { class: "selection", role: "region", "aria-label": t("select.label"), hidden: true }, this.#text, this.#every,
      h("button", { type: "button", class: "button is-small is-quiet", text: t("select.clear"), on: { click: () => this.clear(true) } }), this.#end);
  }

  /** in names the table whose rows are selected. */
  in(table) { this.#table = table; }

  get rows() { return [...this.#keys.values()]; }

  /** column is the column of boxes. */
  get column() {
    return { name: "select", label: t("select.label"), quiet: true, head: this.head, same: (a, b) => Boolean(a.logoutAt) === Boolean(b.logoutAt), cell: (row) => this.#box(row) };
  }

  #box(row) {
    if (row.logoutAt) return null;
    const label = t("select.one", { name: personName(row.user, row.userId), device: deviceName(row) });
    const box = h("input", { type: "checkbox", "aria-label": label, "data-key": row.sessionId, on: { click: (event) => this.#click(row, box.checked, event.shiftKey) } });
    box.checked = this.all || this.#keys.has(row.sessionId);
    return box;
  }

  // With shift, all from the one before to this one.
  #click(row, checked, range) {
    const rows = this.#table.rows;
    const [from, to] = [rows.findIndex((one) => one.sessionId === this.#anchor), rows.findIndex((one) => one.sessionId === row.sessionId)];
    const chosen = range && from >= 0 ? rows.slice(Math.min(from, to), Math.max(from, to) + 1) : [row];
    this.#anchor = row.sessionId;
    this.#mark(chosen, checked);
  }

  #loaded(checked) { this.#mark(this.#table.rows, checked); }

  #mark(rows, checked) {
    if (this.all) for (const row of this.#table.rows) this.#keys.set(row.sessionId, row);
    this.all = false;
    for (const row of rows) {
      if (checked && !row.logoutAt) this.#keys.set(row.sessionId, row);
      else this.#keys.delete(row.sessionId);
    }
    this.#show();
  }

  #selectAll() {
    this.all = true;
    this.#show();
    this.#end.focus();
  }

  /** told takes how many match in all. */
  told(total) {
    this.#total = total;
    this.#show();
  }

  /** gone takes a session that has ended, which is selected no longer. */
  gone(sessionId) {
    if (this.#keys.delete(sessionId)) this.#show();
  }

  /** clear selects nothing; the focus stays in the list where it was in the bar. */
  clear(byHand = false) {
    this.all = false;
    this.#keys.clear();
    this.#anchor = null;
    this.#show();
    if (byHand) this.head.focus();
  }

  #show() {
    const n = this.#keys.size;
    this.element.hidden = n === 0 && !this.all;
    this.#text.textContent = this.all ? t("select.all", { n: number(this.#total) }) : count("select.some", n);
    this.#every.hidden = this.all || this.#total <= n;
    this.#every.textContent = t("select.every", { n: number(this.#total) });
    this.head.checked = this.all || (n > 0 && this.#table.rows.every((row) => row.logoutAt || this.#keys.has(row.sessionId)));
    this.head.indeterminate = n > 0 && !this.head.checked;
    for (const box of this.#table.table.querySelectorAll("[data-key]")) box.checked = this.all || this.#keys.has(box.dataset.key);
  }
}
