// One person: who it is, and all sessions with how they ended.

import { h, icon } from "./dom.js";
import { address, avatar, device, ending, moment, status, statusAt, where } from "./cells.js";
import { endSession, endUser, explain } from "./confirm.js";
import { over, Pages } from "./list.js";
import { Table } from "./table.js";
import { count, deviceName, known, number, personName, t } from "./text.js";

const freshness = 10000;

/** Person shows the page of one user id. */
export class Person {
  #api;
  #id;
  #pages;
  #table;
  #timer = 0;
  #named;
  #head = h("div", { class: "person-head" });
  #title = h("h1", { id: "person-title", tabindex: -1, dir: "auto" });
  #all = h("button", { type: "button", class: "button is-danger", text: t("action.logoutAll"), on: { click: () => this.#endAll() } });

  /** from is the view that one came from, and may go back to; named is told the person's name. */
  constructor(api, id, { from, named }) {
    this.#api = api;
    this.#id = id;
    this.#named = named;
    this.#table = new Table({
      label: t("person.sessions"), columns: this.#columns(), key: (row) => row.sessionId,
      rowClass: (row) => (row.logoutAt ? "is-over" : ""), onMore: () => this.#pages?.load(),
    });
    this.element = h("section", { class: "panel list", "aria-labelledby": "person-title" },
      back(from), this.#head, this.#table.element);
    this.#describe();
  }

  start() {
    this.#pages = new Pages((query, signal) => this.#api.sessionsOf(this.#id, { ...query, ended: "true" }, signal), (row) => row.sessionId);
    this.#pages.addEventListener("change", () => this.#show());
    this.#pages.load();
    this.#timer = setInterval(() => this.#keepFresh(), freshness);
  }

  stop() {
    clearInterval(this.#timer);
    this.#pages.stop();
    this.#table.destroy();
  }

  #keepFresh() {
    this.#pages.renew(this.#table.atTop);
  }

  /** seen is called when somebody looks at the page again. */
  seen() { this.#keepFresh(); }

  get #live() { return this.#pages?.rows.filter((row) => !row.logoutAt) ?? []; }

  get #user() { return this.#pages?.rows.find((row) => row.user)?.user; }

  #describe() {
    const live = this.#live;
    const user = this.#user;
    const latest = live.reduce((last, row) => (row.lastActivity > last ? row.lastActivity : last), "");
    this.#title.textContent = personName(user, this.#id);
    this.#named(this.#title.textContent);
    const word = latest ? statusAt(latest) : "offline";
    const facts = [
      user?.email && user.email !== this.#title.textContent ? h("span", { text: user.email, dir: "auto" }) : null,
      h("span", { text: t("person.id", { id: this.#id }) }),
      h("span", { class: "activity" }, status(word), known("status", word), latest ? moment(latest) : null),
      h("span", { text: count("sessions.active", live.length) }),
    ].filter(Boolean);
    this.#all.disabled = live.length === 0;
    this.#head.replaceChildren(avatar(user, this.#id), h("div", { class: "person-text" }, this.#title, h("p", { class: "person-facts" }, ...facts)), this.#all);
  }

  #show() {
    const pages = this.#pages;
    // Replacing the head would take the focus off the button in it.
    const focused = this.#head.contains(document.activeElement) ? document.activeElement : null;
    this.#describe();
    (focused?.disabled ? this.#title : focused)?.focus({ preventScroll: true });
    this.#table.set(pages.rows, pages.more);
    if (pages.state === "failed") {
      this.#table.say({ kind: "error", title: t("list.failed"), text: explain(pages.problem), action: { label: t("action.retry"), run: () => pages.retry() } });
    } else if (pages.state === "loading") {
      this.#table.say({ kind: "loading" });
    } else if (pages.rows.length === 0) {
      this.#table.say({ kind: "empty", title: t("person.none"), text: t("person.none.text") });
    } else {
      this.#table.say({ kind: "end", text: pages.more ? "" : t("list.end", { n: number(pages.rows.length) }) });
    }
  }

  /** event takes an event of the stream. */
  event({ type, session }) {
    if (type === "snapshot") this.#keepFresh();
    if (!session || String(session.userId) !== this.#id) return;
    if (type === "logout") this.#pages.change(session.sessionId, over(session));
    if (type === "login") this.#pages.put({ ...session, user: this.#user ?? session.user });
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
    if (row.logoutAt) return null;
    const label = t("action.logout.label", { name: personName(row.user, row.userId), device: deviceName(row) });
    return h("button", { type: "button", class: "button is-row", "aria-label": label, text: t("action.logout"), on: { click: async () => {
      const ended = await endSession(this.#api, row);
      if (ended) this.#pages.change(row.sessionId, { ...ended, isActive: false, user: row.user });
    } } });
  }

  async #endAll() {
    const live = this.#live;
    const ended = await endUser(this.#api, { id: this.#id, user: this.#user, sessions: live.length, own: live.some((row) => row.current) });
    if (ended !== null) this.#pages.refresh(this.#table.atTop);
  }
}

function back(from) {
  const text = { overview: t("nav.overview"), people: t("nav.people") }[from] ?? t("person.back");
  return h("a", { class: "back", href: { overview: "#/", people: "#/people" }[from] ?? "#/sessions" }, icon("back"), text);
}

function live(row) {
  return h("span", { class: "two-lines" }, h("span", { class: "badge is-live", text: row.isActive ? t("session.active") : t("session.expired") }),
    h("span", { class: "detail", text: row.current ? t("session.current") : "" }));
}
