// The two long tables: people who are online, and sessions.

import { h, icon, seen } from "./dom.js";
import { address, device, ending, moment, person, status, statusAt, where } from "./cells.js";
import { endSession, endUser, explain } from "./confirm.js";
import { over, Pages } from "./list.js";
import { Table } from "./table.js";
import { count, deviceName, known, minutes, number, personName, t } from "./text.js";
import { minutesOf, within } from "./windows.js";

const typingPause = 250;
const freshness = 10000;
const deviceTypes = ["desktop", "mobile", "tablet", "bot", "tv", "console", "wearable", "other", "unknown"];
const windows = ["very_active", "online", "recently_active"];
const lastMinutes = (name) => t("filter.within.last", { time: minutes(minutesOf(name)) });

// What each list begins with. within names one of the host's windows.
const startingFilters = { people: { q: "", device: "", within: "online" }, sessions: { q: "", device: "", within: "" } };

/** open makes the view of a place. Its filters are kept in page.filters. */
export function open(page, { name }) {
  if (!page.filters.has(name)) page.filters.set(name, { ...startingFilters[name] });
  return new Explorer(page.api, name, page.filters.get(name));
}

/** Explorer shows one of the two: kind is "people" or "sessions". */
class Explorer {
  #api;
  #kind;
  #pages = null;
  #table;
  #filters;
  #count = h("p", { class: "list-count", role: "status" });
  #more = h("button", { type: "button", class: "button is-small is-new-rows", hidden: true, on: { click: () => this.#showNew() } });
  #held = 0;
  #timer = 0;
  #pause = 0;
  #fresh = new Set();

  /** filters holds what was asked for last, and is kept up to date. */
  constructor(api, kind, filters) {
    this.#api = api;
    this.#kind = kind;
    this.#filters = filters;
    this.#table = new Table({
      label: t(`nav.${kind}`), action: t(kind === "people" ? "action.endAll" : "action.end"), columns: kind === "people" ? this.#peopleColumns() : this.#sessionColumns(),
      key: kind === "people" ? (row) => String(row.id) : (row) => row.sessionId,
      rowClass: (row) => [row.logoutAt ? "is-over" : "", this.#fresh.has(row.sessionId) ? "is-new" : ""].join(" ").trim(),
      onMore: () => this.#pages?.load(),
    });
    this.element = h("section", { class: "panel list", "aria-labelledby": "list-title" },
      h("header", { class: "panel-head" }, h("h1", { id: "list-title", tabindex: -1, text: t(`nav.${kind}`) }), this.#count, this.#more), this.#controls(), this.#table.element);
  }

  start() {
    this.#ask();
    this.#timer = setInterval(() => this.#keepFresh(), freshness);
  }

  stop() {
    clearInterval(this.#timer);
    clearTimeout(this.#pause);
    this.#pages?.stop();
    this.#table.destroy();
  }

  #controls() {
    const search = h("input", { type: "search", id: "search", placeholder: t("filter.search.hint"), autocomplete: "off", spellcheck: "false", maxlength: 200, enterkeyhint: "search" });
    search.value = this.#filters.q;
    search.addEventListener("input", () => {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#filter("q", search.value.trim()), typingPause);
    });
    const options = (values, any, label) => [h("option", { value: "", text: any }), ...values.map((value) => h("option", { value, text: label(value) }))];
    const select = (name, label, children) => {
      const node = h("select", { id: `filter-${name}`, on: { change: () => this.#filter(name, node.value) } }, ...children);
      node.value = this.#filters[name];
      return h("label", { class: "field" }, h("span", { class: "visually-hidden", text: label }), node);
    };
    return h("form", { class: "filters", role: "search", "aria-label": t("filter.label"), on: { submit: (event) => event.preventDefault() } },
      h("label", { class: "field is-search" }, h("span", { class: "visually-hidden", text: t("filter.search") }), icon("search"), search),
      select("device", t("filter.device"), options(deviceTypes, t("filter.device.any"), (type) => known("device", type))),
      select("within", t("filter.within"), this.#kind === "people"
        ? windows.map((value) => h("option", { value, text: lastMinutes(value) }))
        : options(windows, t("filter.within.any"), lastMinutes)));
  }

  #filter(name, value) {
    if (this.#filters[name] === value) return;
    this.#filters[name] = value;
    this.#ask();
  }

  #ask() {
    this.#pages?.stop();
    this.#hold(0);
    const { within: window } = this.#filters;
    const asked = Object.fromEntries(Object.entries({ ...this.#filters, within: window && within(window) }).filter(([, value]) => value !== ""));
    this.#pages = new Pages((query, options) => this.#api.sessions({ ...query, ...asked }, options), (row) => row.sessionId,
      (row, options) => this.#api.session(row, options));
    this.#pages.addEventListener("change", () => this.#show());
    this.#show();
    this.#pages.load();
  }

  #rows(sessions) { return this.#kind === "people" ? byPerson(sessions) : sessions; }

  #enough = (sessions) => this.#rows(sessions).length >= this.#table.reach;

  #show() {
    const pages = this.#pages;
    const rows = this.#rows(pages.rows);
    this.#table.set(rows, pages.more);
    const text = rows.length === 0 ? "" : count(`list.${this.#kind}`, rows.length);
    this.#count.textContent = pages.more && rows.length ? t("list.loaded", { rows: text }) : text;
    this.#say(rows.length);
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
    const { q, device, within } = this.#filters;
    if (q !== "") return { title: t("list.noMatch"), text: t("list.noMatch.text") };
    if (device !== "" || (within !== "" && this.#kind === "sessions")) return { title: t("list.noMatch"), text: t("list.noMatch.filters") };
    return { title: t(`list.${this.#kind}.none`), text: t("list.none.text") };
  }

  #keepFresh() {
    if (this.#table.atTop) this.#hold(0);
    const shown = this.#table.visible;
    this.#pages.renew(this.#table.atTop, this.#kind === "people" ? shown.flatMap((row) => row.sessions) : shown, this.#enough);
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
    if (type === "logout") this.#pages.change(session.sessionId, over(session));
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

  // What the search finds only the server knows.
  #matches(session) {
    return this.#pages.state !== "failed" && this.#filters.q === "" && (this.#filters.device === "" || this.#filters.device === session.deviceType);
  }

  #sessionColumns() {
    return [
      { name: "person", label: t("column.person"), cell: (row) => person(row.user, row.userId), same: (a, b) => a.userId === b.userId && a.user?.fullName === b.user?.fullName },
      { name: "device", label: t("column.device"), cell: (row) => device(row), same: (a, b) => deviceName(a) === deviceName(b) && a.deviceType === b.deviceType },
      { name: "place", label: t("column.place"), cell: where },
      { name: "address", label: t("column.address"), cell: address },
      { name: "since", label: t("column.since"), cell: (row) => moment(row.loginAt), same: (a, b) => a.loginAt === b.loginAt },
      { name: "last", label: t("column.last"), cell: (row) => (row.logoutAt ? ending(row) : activity(row.lastActivity)) },
      { name: "action", label: t("column.action"), quiet: true, same: (a, b) => Boolean(a.logoutAt) === Boolean(b.logoutAt) && a.current === b.current, cell: (row) => this.#endButton(row) },
    ];
  }

  #endButton(row) {
    if (row.logoutAt) return null;
    const label = t("action.end.label", { name: personName(row.user, row.userId), device: deviceName(row) });
    return h("button", { type: "button", class: "button is-row", "aria-label": label, text: t("action.end"), on: { click: async () => {
      const ended = await endSession(this.#api, row);
      if (ended) this.#pages.change(row.sessionId, { ...ended, isActive: false, user: row.user });
    } } });
  }

  #peopleColumns() {
    return [
      { name: "person", label: t("column.person"), cell: (row) => person(row.user, row.id), same: (a, b) => a.user?.fullName === b.user?.fullName },
      { name: "device", label: t("column.device"), cell: (row) => device(row.latest, row.sessions.length - 1) },
      { name: "place", label: t("column.place"), cell: (row) => where(row.latest) },
      { name: "address", label: t("column.address"), cell: (row) => address(row.latest) },
      { name: "since", label: t("column.since"), cell: (row) => moment(row.since), same: (a, b) => a.since === b.since },
      { name: "last", label: t("column.last"), cell: (row) => activity(row.latest.lastActivity) },
      { name: "action", label: t("column.action"), quiet: true, same: () => true, cell: (row) => this.#endAllButton(row) },
    ];
  }

  #endAllButton(row) {
    const name = personName(row.user, row.id);
    return h("button", { type: "button", class: "button is-row", "aria-label": t("action.endAll.label", { name }), text: t("action.endAll"), on: { click: async () => {
      const ended = await endUser(this.#api, row);
      if (ended !== null) this.#pages.refresh(this.#table.atTop, { enough: this.#enough });
    } } });
  }
}

function activity(time) {
  return h("span", { class: "activity" }, status(statusAt(time)), moment(time));
}

// The server sorts sessions by their person's latest activity, so a person's
// sessions stand together and the first to come is where the person belongs.
function byPerson(sessions) {
  const people = new Map();
  for (const session of sessions) {
    if (session.logoutAt) continue;
    const id = String(session.userId);
    const known = people.get(id);
    if (!known) people.set(id, { id, user: session.user, sessions: [session], latest: session, since: session.loginAt });
    else {
      known.sessions.push(session);
      if (session.lastActivity > known.latest.lastActivity) known.latest = session;
      if (session.loginAt < known.since) known.since = session.loginAt;
    }
  }
  return [...people.values()];
}
