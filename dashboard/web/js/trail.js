// Who has done what: the record of what administrators and people did to sessions.

import { moment, person, sessionLink } from "./cells.js";
import { explain } from "./confirm.js";
import { h } from "./dom.js";
import { Pages } from "./list.js";
import { hrefOf, rewrite } from "./route.js";
import { Table } from "./table.js";
import { count, known, number, t } from "./text.js";
import { savedViews } from "./views.js";

const freshness = 10000;
const filters = ["actor", "user", "action", "from", "to"];
const actions = ["force_logout", "force_logout_user", "end_sessions", "end_everybody", "cleanup", "end_own", "end_others", "report", "step_up", "impersonate", "export", "erase"];

/** open makes the view of a place. */
export const open = (page, place) => new Trail(page, place);

class Trail {
  #page;
  #pages = null;
  #table;
  /** @type {Record<string, string>} */
  #values = {};
  #timer = 0;
  #fields = new Map();
  #count = h("p", { class: "list-count", role: "status" });

  constructor(page, { query }) {
    this.#page = page;
    this.#table = new Table({ label: t("nav.trail"), action: t("drawer.open"), columns: columns(), key, onMore: () => this.#pages?.load() });
    this.element = h("section", { class: "panel list", "aria-labelledby": "list-title" },
      h("header", { class: "panel-head" }, h("h1", { id: "list-title", tabindex: -1, text: t("nav.trail") }), this.#count, savedViews()),
      this.#form(), this.#table.element);
    this.#read(query);
  }

  start() {
    this.#ask();
    this.#timer = setInterval(() => this.#pages.renew(this.#table.atTop), freshness);
  }

  stop() {
    clearInterval(this.#timer);
    this.#pages?.stop();
    this.#table.destroy();
  }

  /** take goes to another place of this view, as the address says. */
  take({ query }) {
    this.#read(query);
    this.#ask();
  }

  /** seen is called when somebody looks at the page again. */
  seen() { this.#pages.renew(this.#table.atTop); }

  /** event takes an event of the stream: each end may have left a record. */
  event({ type }) {
    if (type === "snapshot") this.seen();
  }

  #form() {
    const field = (name, node) => {
      this.#fields.set(name, node);
      node.addEventListener("change", () => this.#set(name, node.type === "datetime-local" && node.value ? new Date(node.value).toISOString() : node.value.trim()));
      return h("label", { class: `field is-${name}` }, h("span", { class: "field-name", text: t(`trail.${name}`) }), node);
    };
    const text = (name) => field(name, h("input", { type: "text", id: `trail-${name}`, autocomplete: "off", spellcheck: "false", maxlength: 255 }));
    const time = (name) => field(name, h("input", { type: "datetime-local", id: `trail-${name}` }));
    const select = h("select", { id: "trail-action" }, h("option", { value: "", text: t("filter.any") }), ...actions.map((value) => h("option", { value, text: known("action", value) })));
    return h("form", { class: "filters", role: "search", "aria-label": t("filter.label"), on: { submit: (event) => event.preventDefault() } },
      h("div", { class: "facets" }, text("actor"), text("user"), field("action", select), time("from"), time("to")));
  }

  #read(query) {
    this.#values = Object.fromEntries(filters.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
    for (const [name, node] of this.#fields) {
      const value = this.#values[name] ?? "";
      const at = new Date(value);
      if (node.type !== "datetime-local") node.value = value;
      else node.value = Number.isNaN(at.getTime()) ? "" : new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
    }
  }

  #set(name, value) {
    if ((this.#values[name] ?? "") === value) return;
    this.#values = Object.fromEntries(Object.entries({ ...this.#values, [name]: value }).filter(([, one]) => one));
    rewrite(hrefOf("trail", this.#values), true);
    this.#ask();
  }

  #ask() {
    this.#pages?.stop();
    this.#page.places.set("trail", hrefOf("trail", this.#values));
    const values = this.#values;
    this.#pages = new Pages((query, options) => this.#page.api.audit({ ...query, ...values }, options), key);
    this.#pages.addEventListener("change", () => this.#show());
    this.#show();
    this.#pages.load();
  }

  #show() {
    const pages = this.#pages;
    const { rows } = pages;
    this.#table.set(rows, pages.more);
    const text = rows.length === 0 ? "" : count("trail.records", rows.length);
    this.#count.textContent = pages.more && rows.length ? t("list.loaded", { rows: text }) : text;
    if (pages.state === "failed") {
      const none = pages.problem.status === 404;
      this.#table.say({ kind: "error", title: none ? t("trail.off") : t("list.failed"), text: none ? "" : explain(pages.problem), action: { label: t("action.retry"), run: () => pages.retry() } });
    } else if (pages.state === "loading") this.#table.say({ kind: "loading" });
    else if (rows.length === 0) this.#table.say({ kind: "empty", title: t("trail.none"), text: t("trail.none.text") });
    else this.#table.say({ kind: "end", text: pages.more ? "" : t("list.end", { n: number(rows.length) }) });
  }
}

const key = (row) => [row.at, row.action, row.actor?.id, row.user?.id, row.sessionId].join(" ");

const who = (one) => (one?.id === null || one?.id === undefined ? h("span", { class: "muted", text: "–" }) : person({ ...one, fullName: one.fullName ?? one.name }, one.id));

const columns = () => [
  { name: "when", label: t("trail.when"), cell: (row) => moment(row.at), same: (a, b) => a.at === b.at },
  { name: "person", label: t("trail.actor"), cell: (row) => who(row.actor), same: () => true },
  { name: "what", label: t("trail.action"), cell: what, same: () => true },
  { name: "person is-whom", label: t("trail.user"), cell: (row) => who(row.user), same: () => true },
  { name: "address", label: t("column.address"), cell: (row) => h("span", { class: row.ipAddress ? "address wrapped" : "muted", text: row.ipAddress ?? "–" }), same: () => true },
  { name: "action", label: t("column.action"), quiet: true, cell: (row) => (row.sessionId ? sessionLink(row.sessionId, t("drawer.open")) : null), same: () => true },
];

// What was done, what came of it, and how many sessions it ended.
function what(row) {
  const outcome = row.outcome === "done" ? "" : known("outcome", row.outcome);
  const told = [outcome, row.count ? count("sessions", row.count) : "", row.reason ? known("reason", row.reason) : ""].filter(Boolean).join(" · ");
  const list = row.filter ? h("a", { class: "name", href: hrefOf("sessions", new URLSearchParams(row.filter)), text: row.filter, dir: "ltr" }) : null;
  return h("span", { class: "two-lines" }, h("span", { class: outcome ? "wrapped is-refused" : "wrapped", text: known("action", row.action) }),
    h("span", { class: "detail wrapped" }, told, told && list ? " · " : "", list));
}
