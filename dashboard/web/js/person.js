// One person: who it is, the sessions that they are signed in with, and those that ended.

import { h, icon } from "./dom.js";
import { address, avatar, device, ending, moment, presence, status, statusAt, where } from "./cells.js";
import { endSession, endUser, explain } from "./confirm.js";
import { over, Pages } from "./list.js";
import { hostPage, hrefOf } from "./route.js";
import { Table } from "./table.js";
import { count, deviceName, number, personName, t } from "./text.js";
import { isProtected } from "./viewer.js";

const freshness = 10000;

/** open makes the view of a place. */
export const open = (page, { argument }) => new Person(page.api, argument, { from: page.from, back: page.places.get(page.from), named: page.entitle, userURL: page.config.userURL });

/** Person shows the page of one user id. */
class Person {
  #api;
  #id;
  #live; // asked for apart: newer ended ones would hide them
  #pages; // all that are kept
  #table;
  #timer = 0;
  #named;
  #hostPage; // the link to the host's own page of the user
  #head = h("div", { class: "person-head" });
  #title = h("h1", { id: "person-title", tabindex: -1, dir: "auto" });
  #all = h("button", { type: "button", class: "button is-danger", text: t("action.endAll"), on: { click: () => this.#endAll() } });
  #barred = h("p", { class: "person-note muted", text: t("confirm.refused") });

  /** from is the view that one came from, back its address; named is told the person's name. */
  constructor(api, id, { from, back, named, userURL }) {
    this.#api = api;
    this.#id = id;
    this.#named = named;
    const url = hostPage(userURL, id);
    this.#hostPage = url ? h("a", { class: "button", href: url, text: t("drawer.userPage") }) : "";
    this.#table = new Table({
      label: t("person.sessions"), action: t("action.end"), columns: this.#columns(), key: (row) => row.sessionId,
      rowClass: (row) => (row.logoutAt ? "is-over" : ""), onMore: () => this.#more(),
    });
    this.element = h("section", { class: "panel list", "aria-labelledby": "person-title" },
      backTo(from, back), this.#head, this.#table.element);
    this.#describe();
  }

  start() {
    this.#live = this.#list({});
    this.#pages = this.#list({ ended: "true" });
    this.#timer = setInterval(() => this.#keepFresh(), freshness);
  }

  #list(which) {
    const pages = new Pages((query, options) => this.#api.sessionsOf(this.#id, { ...query, ...which }, options), (row) => row.sessionId);
    pages.addEventListener("change", () => this.#show());
    pages.load();
    return pages;
  }

  stop() {
    clearInterval(this.#timer);
    this.#live.stop();
    this.#pages.stop();
    this.#table.destroy();
  }

  #keepFresh() {
    for (const pages of [this.#live, this.#pages]) pages.renew(this.#table.atTop);
  }

  /** seen is called when somebody looks at the page again. */
  seen() { this.#keepFresh(); }

  // Those that are signed in come first, the others in the server's order.
  get #rows() {
    const first = this.#live?.rows ?? [];
    const keys = new Set(first.map((row) => row.sessionId));
    return [...first, ...(this.#pages?.rows ?? []).filter((row) => !keys.has(row.sessionId))];
  }

  get #signedIn() { return this.#live?.rows.filter((row) => !row.logoutAt) ?? []; }

  get #known() { return this.#live?.state === "ready" || this.#signedIn.length > 0; }

  get #user() { return this.#rows.find((row) => row.user)?.user; }

  #describe() {
    const live = this.#signedIn;
    const user = this.#user;
    const latest = live.reduce((last, row) => (row.lastActivity > last ? row.lastActivity : last), "");
    this.#title.textContent = personName(user, this.#id);
    this.#named(this.#title.textContent);
    const word = latest ? statusAt(latest) : "offline";
    const facts = [
      user?.email && user.email !== this.#title.textContent ? h("span", { text: user.email, dir: "auto" }) : null,
      h("span", { text: t("person.id", { id: this.#id }) }),
      this.#known ? h("span", { class: "activity" }, status(word), presence(word), latest ? moment(latest) : null) : null,
      this.#known ? h("span", { class: "signed-in", text: this.#count(live.length) }) : null,
    ].filter(Boolean);
    this.#all.disabled = this.#known && live.length === 0;
    this.#head.replaceChildren(avatar(user, this.#id), h("div", { class: "person-text" }, this.#title, h("p", { class: "person-facts" }, ...facts)),
      this.#hostPage, isProtected(this.#id) ? this.#barred : this.#all);
  }

  #count(n) { return this.#live.more ? t("list.loaded", { rows: count("sessions.live", n) }) : count("sessions.live", n); }

  #show() {
    const pages = this.#pages;
    if (!pages || !this.#live) return;
    // Replacing the head would take the focus off the button in it.
    const focused = this.#head.contains(document.activeElement) ? /** @type {HTMLButtonElement} */ (document.activeElement) : null;
    this.#describe();
    if (focused) (focused.isConnected && !focused.disabled ? focused : this.#title).focus({ preventScroll: true });
    const rows = this.#rows;
    this.#table.set(rows, pages.more || this.#live.more);
    const broken = [this.#live, pages].find((one) => one.state === "failed");
    if (broken) {
      this.#table.say({ kind: "error", title: t("list.failed"), text: explain(broken.problem), action: { label: t("action.retry"), run: () => this.#retry() } });
    } else if (pages.state === "loading" || this.#live.state === "loading") {
      this.#table.say({ kind: "loading" });
    } else if (rows.length === 0) {
      this.#table.say({ kind: "empty", title: t("person.none"), text: t("person.none.text") });
    } else {
      this.#table.say({ kind: "end", text: pages.more ? "" : t("list.end", { n: number(rows.length) }) });
    }
  }

  #retry() {
    for (const pages of [this.#live, this.#pages]) if (pages.state === "failed") pages.retry();
  }

  // The ones that are signed in are loaded to their end before those that ended.
  #more() { (this.#live?.more ? this.#live : this.#pages)?.load(); }

  /** event takes an event of the stream. */
  event({ type, session }) {
    if (type === "snapshot") this.#keepFresh();
    if (!session || String(session.userId) !== this.#id) return;
    if (type === "logout") this.#change(session.sessionId, over(session));
    if (type === "login") this.#live.put({ ...session, user: this.#user ?? session.user });
  }

  #change(sessionId, update) {
    for (const pages of [this.#live, this.#pages]) pages.change(sessionId, update);
  }

  #columns() {
    return [
      { name: "device", label: t("column.device"), cell: (row) => device(row), same: (a, b) => deviceName(a) === deviceName(b) },
      { name: "place", label: t("column.place"), cell: where },
      { name: "address", label: t("column.address"), cell: address },
      { name: "since", label: t("column.since"), cell: (row) => moment(row.loginAt), same: (a, b) => a.loginAt === b.loginAt },
      { name: "seen", label: t("column.last"), cell: (row) => moment(row.lastActivity) },
      { name: "state", label: t("column.state"), cell: (row) => (row.logoutAt ? ending(row) : live(row)) },
      { name: "action", label: t("column.action"), quiet: true, same: (a, b) => Boolean(a.logoutAt) === Boolean(b.logoutAt) && a.current === b.current, cell: (row) => this.#endButton(row) },
    ];
  }

  #endButton(row) {
    if (row.logoutAt || isProtected(this.#id)) return null;
    const label = t("action.end.label", { name: personName(row.user, row.userId), device: deviceName(row) });
    return h("button", { type: "button", class: "button is-row", "aria-label": label, text: t("action.end"), on: { click: async () => {
      const ended = await endSession(this.#api, row);
      if (ended) this.#change(row.sessionId, { ...ended, isActive: false, user: row.user });
    } } });
  }

  async #endAll() {
    const ended = await endUser(this.#api, { id: this.#id, user: this.#user });
    if (ended === null) return;
    for (const pages of [this.#live, this.#pages]) pages.refresh(this.#table.atTop);
  }
}

function backTo(from, href) {
  const text = from && from !== "sessions" ? t(`nav.${from}`) : t("person.back");
  return h("a", { class: "back", href: href ?? hrefOf(from || "sessions") }, icon("back"), text);
}

function live(row) {
  return h("span", { class: `badge ${row.isActive ? "is-live" : "is-ended"}`, text: row.isActive ? t("session.live") : t("session.expired") });
}
