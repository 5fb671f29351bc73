// The two long tables: people who are online, and sessions.

import { h, seen } from "./dom.js";
import { byPerson, peopleColumns, sessionColumns } from "./columns.js";
import { endSession, endUser, explain } from "./confirm.js";
import { endMany } from "./endmany.js";
import { asked, Facets, names } from "./facets.js";
import { over, Pages } from "./list.js";
import { hrefOf, rewrite } from "./route.js";
import { Selection } from "./select.js";
import { Table } from "./table.js";
import { count, number, t } from "./text.js";
import { savedViews } from "./views.js";

const freshness = 10000;
const states = ["", "ended", "any"];

/** open makes the view of a place. */
export const open = (page, place) => new Explorer(page, place);

/** Explorer shows one of the two: a place's name is "people" or "sessions". */
class Explorer {
  #page;
  #api;
  #kind;
  #pages = null;
  #table;
  #filters;
  #state = ""; // of which sessions: signed in, "ended", "any"
  #sort = "";
  #facets;
  #selection = new Selection();
  #total = null; // what the server counts, where it does
  #counting = null;
  #tabs = states.map((state) => h("a", { text: t(`state.${state || "active"}`) }));
  #count = h("p", { class: "list-count", role: "status" });
  #more = h("button", { type: "button", class: "button is-small is-new-rows", hidden: true, on: { click: () => this.#showNew() } });
  #held = 0;
  #timer = 0;
  #fresh = new Set();

  constructor(page, place) {
    this.#page = page;
    this.#api = page.api;
    this.#kind = place.name;
    this.#read(place.query);
    this.#facets = new Facets(this.#kind, this.#filters, async (by) => (await this.#api.now(by)) ?? []);
    this.#facets.show(this.#filters, this.#state);
    this.#facets.addEventListener("change", ({ detail }) => this.#filter(detail));
    const people = this.#kind === "people";
    this.#table = new Table({
      label: t(`nav.${this.#kind}`), action: t(people ? "action.endAll" : "action.end"),
      columns: people ? peopleColumns({ endAll: (row) => this.#endAll(row) }) : sessionColumns({ end: (row) => this.#end(row), sort: this.#sorts(), boxes: this.#selection.column }),
      key: people ? (row) => String(row.id) : (row) => row.sessionId,
      rowClass: (row) => [row.logoutAt ? "is-over" : "", this.#fresh.has(row.sessionId) ? "is-new" : ""].join(" ").trim(),
      onMore: () => this.#pages?.load(),
    });
    this.element = h("section", { class: "panel list", "aria-labelledby": "list-title" },
      h("header", { class: "panel-head" }, h("h1", { id: "list-title", tabindex: -1, text: t(`nav.${this.#kind}`) }), this.#count, this.#more,
        people ? null : h("nav", { class: "tabs", "aria-label": t("state.label") }, ...this.#tabs), savedViews()), this.#facets.element, this.#table.element, this.#selection.element);
    this.#selection.in(this.#table);
    this.#selection.addEventListener("end", () => this.#endSelected());
  }

  start() {
    this.#ask();
    this.#timer = setInterval(() => this.#keepFresh(), freshness);
  }

  stop() {
    clearInterval(this.#timer);
    this.#facets.stop();
    this.#counting?.abort();
    this.#pages?.stop();
    this.#table.destroy();
  }

  /** take goes to another place of this view, as the address says. */
  take({ query }) {
    this.#read(query);
    this.#facets.show(this.#filters, this.#state);
    this.#ask();
  }

  // Who is online is a window, which the list of people begins with.
  #read(query) {
    this.#filters = Object.fromEntries(names.filter((name) => query.get(name)).map((name) => [name, query.get(name)]));
    if (this.#kind === "people") {
      this.#filters.within ??= "online";
      delete this.#filters.reason; // nobody is online with a session that ended
    } else if (this.#filters.within) {
      this.#filters.seen_within ??= this.#filters.within; // the word of the other list
      delete this.#filters.within;
    }
    this.#state = states.includes(query.get("state")) ? query.get("state") : "";
    if (query.get("reason")) this.#state = "ended";
    this.#sort = query.get("sort") === "login" ? "login" : "";
  }

  #href(state, sort = this.#sort) {
    const filters = { ...this.#filters };
    if (filters.within === "online") filters.within = "";
    if (state !== "ended") filters.reason = "";
    if (state !== "") filters.idle_for = "";
    return hrefOf(this.#kind, { ...filters, state: filters.reason ? "" : state, sort: state === "" ? sort : "" });
  }

  #filter({ values, step }) {
    this.#filters = values;
    rewrite(this.#href(this.#state), step);
    this.#ask();
  }

  // Sessions that have ended have one order alone.
  #sorts() {
    const sort = (name) => ({ active: () => (this.#state === "" ? this.#sort || "activity" : "login") === name, run: () => {
      if (this.#state !== "") return;
      this.#sort = name === "activity" ? "" : name;
      rewrite(this.#href(this.#state), true);
      this.#ask();
    } });
    return { login: sort("login"), activity: sort("activity") };
  }

  #question() {
    if (this.#kind === "people") return asked(this.#filters);
    const reasons = this.#state === "ended" && this.#filters.reason;
    const state = reasons ? {} : { state: this.#state };
    return Object.fromEntries(Object.entries({ ...asked(this.#filters), ...state }).filter(([, value]) => value));
  }

  #ask() {
    this.#pages?.stop();
    this.#hold(0);
    this.#page.places.set(this.#kind, this.#href(this.#state));
    this.#showTabs();
    const question = this.#question();
    const order = this.#kind === "sessions" && this.#state === "" ? { sort: this.#sort || "activity" } : {};
    const list = (query, options) => (this.#kind === "people" ? this.#api.people(query, options) : this.#api.sessions(query, options));
    this.#pages = new Pages((query, options) => list({ ...query, ...question, ...order }, options), (row) => row.sessionId,
      (row, options) => this.#api.session(row, options));
    this.#pages.addEventListener("change", () => this.#show());
    this.#total = null;
    this.#selection.clear();
    this.#table.heads();
    this.#table.table.classList.toggle("is-readonly", this.#state === "ended");
    this.#show();
    this.#pages.load();
    this.#countAll(question);
  }

  // How many there are, the list cannot tell before its end.
  async #countAll(question, timed = false) {
    if (this.#kind !== "sessions") return;
    this.#counting?.abort();
    const counting = new AbortController();
    this.#counting = counting;
    const total = await this.#api.count(question, { signal: counting.signal, timed }).catch((problem) => {
      // Whoever cannot count a filter cannot end what it selects either.
      if (problem.status === 404) this.#table.table.classList.add("is-readonly");
      return null;
    });
    if (counting.signal.aborted || !total) return;
    this.#total = total;
    this.#selection.told(this.#state === "" ? total.count : 0);
    this.#show();
  }

  #showTabs() {
    states.forEach((state, i) => {
      this.#tabs[i].href = this.#href(state);
      if (state === this.#state) this.#tabs[i].setAttribute("aria-current", "page");
      else this.#tabs[i].removeAttribute("aria-current");
    });
  }

  #rows(sessions) { return this.#kind === "people" ? byPerson(sessions) : sessions; }

  #enough = (sessions) => this.#rows(sessions).length >= this.#table.reach;

  #show() {
    const pages = this.#pages;
    const rows = this.#rows(pages.rows);
    this.#table.set(rows, pages.more);
    const text = rows.length === 0 ? "" : count(`list.${this.#kind}`, rows.length);
    this.#count.textContent = pages.more && rows.length ? this.#totalText() ?? t("list.loaded", { rows: text }) : text;
    this.#say(rows.length);
  }

  #totalText() {
    if (!this.#total) return null;
    const { count: n, exact, users } = this.#total;
    const text = count("list.sessions", n);
    return exact === false ? t("list.about", { rows: text }) : t("list.total", { rows: text, people: count("list.people", users) });
  }

  #say(rows) {
    const pages = this.#pages;
    if (pages.state === "failed") {
      this.#table.say({ kind: "error", title: t("list.failed"), text: explain(pages.problem), action: { label: t("action.retry"), run: () => pages.retry() } });
    } else if (pages.state === "loading") {
      this.#table.say({ kind: "loading" });
    } else if (rows === 0) {
      this.#table.say({ kind: "empty", ...this.#nothing() });
    } else {
      this.#table.say({ kind: "end", text: pages.more ? "" : t("list.end", { n: number(rows) }) });
    }
  }

  #nothing() {
    const { q, within, ...others } = this.#filters;
    if (q) return { title: t("list.noMatch"), text: t("list.noMatch.text") };
    if (Object.values(others).some(Boolean)) return { title: t("list.noMatch"), text: t("list.noMatch.filters") };
    if (this.#state !== "") return { title: t("list.sessions.none"), text: t("list.ended.none") };
    return { title: t(`list.${this.#kind}.none`), text: t("list.none.text") };
  }

  #keepFresh() {
    if (this.#table.atTop) this.#hold(0);
    const shown = this.#table.visible;
    this.#pages.renew(this.#table.atTop, this.#kind === "people" ? shown.flatMap((row) => row.sessions) : shown, this.#enough);
    if (seen() && this.#pages.more) this.#countAll(this.#question(), true);
  }

  /** seen is called when somebody looks at the page again. */
  seen() { this.#keepFresh(); }

  // New rows would push what is read further down: they wait, and say how many.
  #hold(held) {
    this.#held = held;
    this.#more.hidden = held === 0;
    if (held > 0) this.#more.textContent = count("list.new", held);
  }

  #showNew() {
    window.scrollTo(0, 0);
    this.#hold(0);
    this.#pages.refresh(true, { enough: this.#enough });
    this.element.querySelector("h1").focus({ preventScroll: true });
  }

  /** event takes an event of the stream: rows come and end as they happen. */
  event({ type, session }) {
    if (type === "snapshot") this.#keepFresh();
    if (type === "logout") {
      this.#selection.gone(session.sessionId);
      this.#pages.change(session.sessionId, over(session));
    }
    if (type !== "login" || !seen() || !this.#matches(session)) return;
    if (!this.#table.atTop) this.#hold(this.#held + 1);
    else {
      this.#fresh.add(session.sessionId);
      setTimeout(() => this.#fresh.delete(session.sessionId), 4000);
      this.#pages.put({ ...session, user: this.#known(session) });
    }
  }

  // Events tell less of a person than the rows that are there.
  #known({ userId, user }) {
    return this.#pages.rows.find((row) => row.user && String(row.userId) === String(userId))?.user ?? user;
  }

  // What else than the device a new session is like, only the server knows.
  #matches(session) {
    const { device, within, seen_within, ...others } = this.#filters;
    return this.#pages.state !== "failed" && this.#state !== "ended" && !Object.values(others).some(Boolean) && (!device || device === session.deviceType);
  }

  async #end(row) {
    const ended = await endSession(this.#api, row);
    if (ended) this.#pages.change(row.sessionId, { ...ended, isActive: false, user: row.user });
  }

  async #endSelected() {
    const { all, rows } = this.#selection;
    const done = await endMany(this.#api, { rows, question: all ? this.#question() : null, total: this.#total?.count ?? 0 });
    if (!done) return;
    this.#selection.clear();
    this.#pages.refresh(true);
    this.#countAll(this.#question());
    this.element.querySelector("h1").focus({ preventScroll: true });
  }

  async #endAll(row) {
    const ended = await endUser(this.#api, row);
    if (ended !== null) this.#pages.refresh(this.#table.atTop, { enough: this.#enough });
  }
}
