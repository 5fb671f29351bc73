// A table of any length: only the rows near the screen are in the document, all of
// one height, between two spacers. Its roles are spelled out, because a phone's
// layout takes the browser's own away.

import { h, icon, isCompact } from "./dom.js";

const overscan = 12;
const placeholders = 8;
const mostOnPaper = 2000;

/**
 * @typedef {object} Column
 * @property {string} name
 * @property {string} label
 * @property {(row: any) => Node | string | null} cell
 * @property {boolean} [quiet]
 * @property {Node} [head] stands in its head in place of the label
 * @property {(a: any, b: any) => boolean} [same]
 * @property {{active: () => boolean, run: () => void}} [sort] what a press on its head does
 */

export class Table {
  #columns;
  #key;
  #onMore;
  #body;
  #top;
  #bottom;
  #note;
  #heads;
  #shown = new Map(); // rows in the document, by key
  #rows = [];
  #frame = 0;
  #said = "";

  /**
   * columns: {name, label, cell(row) → node or text, quiet}; key(row) names a row for
   * good; onMore() is called when the end comes near. action is the text of the rows'
   * button, which its column is as wide as. destroy the table when it goes.
   * @param {{label: string, action: string, columns: Column[], key: (row: any) => string, onMore?: () => void, rowClass?: (row: any) => string}} how
   */
  constructor({ label, action, columns, key, onMore, rowClass = () => "" }) {
    this.#columns = columns;
    this.#key = key;
    this.#onMore = onMore;
    this.rowClass = rowClass;
    this.#top = spacer();
    this.#bottom = spacer();
    this.#body = h("tbody", { role: "rowgroup" }, this.#top, this.#bottom);
    this.#heads = columns.map((column) => h("th", { role: "columnheader", scope: "col", class: `col-${column.name}` }, column.sort
      ? h("button", { type: "button", class: "sort", on: { click: column.sort.run } }, column.label, icon("down"))
      : column.head ?? h("span", { class: column.quiet ? "visually-hidden" : null, text: column.label })));
    this.table = h("table", { role: "table", class: "rows", "aria-label": label },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row", "aria-rowindex": 1 }, ...this.#heads)), this.#body);
    this.table.style.setProperty("--action", `${widthOf(action)}px`);
    this.#note = h("div", { class: "table-note" });
    this.element = h("div", { class: "table-frame" }, this.table, this.#note);
    this.#listen();
  }

  #listen() {
    this.schedule = this.schedule.bind(this);
    window.addEventListener("scroll", this.schedule, { passive: true });
    window.addEventListener("resize", this.schedule, { passive: true });
    this.print = ({ type }) => this.draw(type === "beforeprint");
    for (const type of ["beforeprint", "afterprint"]) window.addEventListener(type, this.print);
  }

  destroy() {
    cancelAnimationFrame(this.#frame);
    window.removeEventListener("scroll", this.schedule);
    window.removeEventListener("resize", this.schedule);
    for (const type of ["beforeprint", "afterprint"]) window.removeEventListener(type, this.print);
  }

  /** heads tells by which column the rows are sorted, the latest first. */
  heads() {
    this.#columns.forEach(({ sort }, i) => {
      if (sort?.active()) this.#heads[i].setAttribute("aria-sort", "descending");
      else this.#heads[i].removeAttribute("aria-sort");
    });
  }

  /** set shows these rows; more says whether others follow. */
  set(rows, more) {
    this.#rows = rows;
    this.table.setAttribute("aria-rowcount", more ? -1 : rows.length + 1);
    const keys = new Set(rows.map(this.#key));
    for (const [key, shown] of this.#shown) if (!keys.has(key)) this.#drop(key, shown);
    this.draw();
  }

  /**
   * say writes below the rows.
   * @param {{kind: "loading" | "empty" | "error" | "end", title?: string, text?: string, action?: {label: string, run: () => void}}} note
   */
  say({ kind, title, text, action }) {
    const said = JSON.stringify([kind, title, text, action?.label, kind === "loading" && this.#rows.length > 0]);
    if (said === this.#said) return; // what is there may have the focus
    this.#said = said;
    const content = kind === "loading"
      ? Array.from({ length: this.#rows.length ? 1 : placeholders }, () => h("div", { class: "skeleton-row" }, h("span"), h("span"), h("span")))
      : [
        kind === "end" ? null : icon(kind === "error" ? "alert" : "empty"),
        title && h("p", { class: "note-title", text: title }),
        text && h("p", { class: "note-text", text }),
        action && h("button", { type: "button", class: "button", text: action.label, on: { click: action.run } }),
      ];
    this.#note.className = `table-note is-${kind}`;
    this.#note.replaceChildren(...content.filter(Boolean));
    this.table.setAttribute("aria-busy", String(kind === "loading"));
  }

  schedule() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      if (this.element.isConnected) this.draw();
    });
  }

  get rows() { return this.#rows; }

  get #rowHeight() {
    return isCompact() ? 112 : 48;
  }

  /** atTop says whether the first rows are on the screen. */
  get atTop() {
    return this.#body.getBoundingClientRect().top > -2 * this.#rowHeight;
  }

  /** visible are the rows on the screen. */
  get visible() {
    const above = -this.#body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(above / this.#rowHeight));
    return this.#rows.slice(first, Math.max(first, Math.ceil((above + window.innerHeight) / this.#rowHeight)));
  }

  /** reach is how many rows fill the screen and what is kept beyond it. */
  get reach() {
    return Math.ceil((window.innerHeight - this.#body.getBoundingClientRect().top) / this.#rowHeight) + 2 * overscan + 1;
  }

  /** draw puts the rows near the screen into the document, and changes no others; all of them for paper. */
  draw(all = false) {
    const height = this.#rowHeight;
    const above = -this.#body.getBoundingClientRect().top;
    const first = all ? 0 : Math.max(0, Math.min(this.#rows.length, Math.floor(above / height)) - overscan);
    const last = Math.min(this.#rows.length, all ? mostOnPaper : Math.ceil((above + window.innerHeight) / height) + overscan);
    const wanted = new Set();
    let previous = this.#top;
    for (let i = first; i < Math.max(first, last); i++) {
      const node = this.#place(this.#rows[i], i);
      wanted.add(this.#key(this.#rows[i]));
      if (previous.nextSibling !== node) previous.after(node);
      previous = node;
    }
    for (const [key, shown] of this.#shown) if (!wanted.has(key)) this.#drop(key, shown);
    this.#top.style.height = `${first * height}px`;
    this.#bottom.style.height = `${Math.max(0, this.#rows.length - Math.max(first, last)) * height}px`;
    this.#top.hidden = first === 0;
    this.#bottom.hidden = last >= this.#rows.length;
    if (!all && last >= this.#rows.length - overscan) this.#onMore?.();
  }

  #place(row, index) {
    const key = this.#key(row);
    let shown = this.#shown.get(key);
    if (!shown) {
      const cells = this.#columns.map((column) => h("td", { role: "cell", class: `col-${column.name}` }));
      shown = { node: h("tr", { role: "row" }, ...cells), cells, row: null };
      this.#shown.set(key, shown);
    }
    if (shown.row !== row) this.#fill(shown, row);
    shown.node.setAttribute("aria-rowindex", index + 2);
    shown.node.className = this.rowClass(row);
    return shown.node;
  }

  // A cell that has not changed stays as it is, and keeps the focus.
  #fill(shown, row) {
    const stale = shown.row;
    shown.row = row;
    this.#columns.forEach((column, i) => {
      if (stale && column.same?.(stale, row)) return;
      const cell = shown.cells[i];
      const held = cell.contains(document.activeElement);
      const content = column.cell(row);
      cell.replaceChildren(...(content === null ? [] : [content]));
      if (held) this.#focus(cell.querySelector("a, button, input") ?? shown.node.querySelector("a, button, input"));
    });
  }

  // The focus stays as near as it can to what had it.
  #focus(node) {
    if (!node) this.table.tabIndex = -1;
    (node ?? this.table).focus({ preventScroll: true });
  }

  #drop(key, shown) {
    if (shown.node.contains(document.activeElement)) this.#focus(null);
    shown.node.remove();
    this.#shown.delete(key);
  }
}

// The width of a row's button, in any language.
function widthOf(text) {
  const button = h("button", { type: "button", class: "button is-row measured", text, tabindex: -1, "aria-hidden": "true" });
  document.body.append(button);
  const width = Math.ceil(button.getBoundingClientRect().width);
  button.remove();
  return width;
}

// One cell only: a wider one would bring back the columns that a narrow page hides.
function spacer() {
  return h("tr", { class: "spacer", "aria-hidden": "true", hidden: true }, h("td"));
}
