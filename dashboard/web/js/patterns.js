// Where and when people sign in: shares, hours of the week, durations.

import { now } from "./clock.js";
import { toast } from "./confirm.js";
import { h, setText } from "./dom.js";
import { hrefOf } from "./route.js";
import { count, duration, hour, known, number, percent, region, t, weekday } from "./text.js";

const families = ["device", "browser", "os", "country"];
const shown = 6;

/** Patterns shows what an answer of GET /history says beyond its series. */
export class Patterns {
  #lists = new Map();
  #heat = h("div", { class: "heat", role: "group", "aria-label": t("heat.empty"), on: { keydown: (event) => this.#walk(event) } });
  #cells = [];
  #median = h("dd", { text: "–" });
  #ninety = h("dd", { text: "–" });
  #ended = h("p", { class: "panel-note" });
  #zone = h("p", { class: "panel-note" });
  #notes = [];
  #choices = new Map();
  #map = null;
  #countries = [[], {}]; // what the map shows
  #mapButton = h("button", { type: "button", class: "button is-small", "aria-expanded": "false", text: t("map.open"), on: { click: () => this.#toggleMap() } });
  #what = "logins";
  #told = null; // what show was given last
  #now;

  /** now(fact) answers who is online by a fact: [{name, users}]. */
  constructor(now) {
    this.#now = now;
    const shares = families.map((family) => {
      const list = h("ul", { class: "shares" }, h("li", { class: "share-none", text: t("list.loading") }));
      const note = h("p", { class: "panel-note", text: t("shares.note.hour") });
      this.#lists.set(family, list);
      this.#notes.push(note);
      return h("section", { class: "panel", "aria-labelledby": `share-${family}` },
        h("header", { class: "panel-head" }, h("h2", { id: `share-${family}`, text: t(`shares.${family}`) })), list, note);
    });
    const choice = h("div", { class: "choice", role: "group", "aria-label": t("shares.choice") }, ...["logins", "now"].map((what) => {
      const button = h("button", { type: "button", text: t(`shares.of.${what}`), "aria-pressed": String(what === "logins"), on: { click: () => this.#choose(what) } });
      this.#choices.set(what, button);
      return button;
    }));
    this.element = h("div", { class: "patterns" }, h("div", { class: "patterns-head" }, choice, this.#mapButton), ...shares, this.#heatPanel(), this.#durationPanel());
  }

  // Shares are of those who signed in, or of those who are here now.
  #choose(what) {
    this.#what = what;
    for (const [name, button] of this.#choices) button.setAttribute("aria-pressed", String(name === what));
    if (what === "now") this.showNow();
    else if (this.#told) this.show(...this.#told);
  }

  /** showNow asks who is online, by each fact, where that is what is looked at. */
  async showNow() {
    if (this.#what !== "now") return;
    for (const family of families) {
      const online = await this.#now(family);
      if (this.#what !== "now") return;
      if (!online) return this.#untold();
      this.#share(family, online.map(({ name, users }) => ({ name, count: users })), { seen_within: "online" });
    }
    for (const node of this.#notes) setText(node, t("shares.note.now"));
  }

  #heatPanel() {
    const quiet = { "aria-hidden": "true" };
    this.#heat.append(h("span", quiet));
    for (let at = 0; at < 24; at++) this.#heat.append(h("span", { class: "heat-hour", text: at % 6 === 0 ? hour(at) : "", ...quiet }));
    for (let day = 0; day < 7; day++) {
      this.#heat.append(h("span", { class: "heat-day", text: weekday(day), ...quiet }));
      this.#cells.push(Array.from({ length: 24 }, () => h("a", { class: "heat-cell level-0", tabindex: -1, ...quiet })));
      this.#heat.append(...this.#cells[day]);
    }
    return h("section", { class: "panel heat-panel", "aria-labelledby": "heat-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "heat-title", text: t("heat.title") })),
      h("div", { class: "heat-frame" }, this.#heat), this.#zone);
  }

  #durationPanel() {
    return h("section", { class: "panel durations", "aria-labelledby": "durations-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "durations-title", text: t("durations.title") })),
      h("dl", {}, h("div", {}, h("dt", { text: t("durations.median") }), this.#median),
        h("div", {}, h("dt", { text: t("durations.ninety") }), this.#ninety)), this.#ended);
  }

  /** showWeeks takes an answer of GET /history over some weeks, for the hours of the week. */
  showWeeks(history) {
    this.#hours(history.sign_ins_by_hour ?? [], latestHours(history.time_zone ?? "UTC"));
    setText(this.#zone, t("heat.zone", { zone: history.time_zone ?? "UTC" }));
  }

  /** fail says why there is nothing to show. */
  fail(text) {
    for (const list of this.#lists.values()) list.replaceChildren(h("li", { class: "share-none", text }));
    for (const note of [...this.#notes, this.#ended]) setText(note, "");
    for (const figure of [this.#median, this.#ninety]) setText(figure, "–");
  }

  /**
   * show takes an answer of GET /history and the name of its range. While that has no
   * sign-ins, the latest sessions tell what there is.
   */
  show(history, latest = []) {
    this.#told = [history, latest];
    if (this.#what === "logins") this.#showShares(history, latest);
    else this.showNow();
    const told = history.durations?.count > 0 ? history.durations : null;
    setText(this.#median, told ? duration(told.median_seconds) : "–");
    setText(this.#ninety, told ? duration(told.p90_seconds) : "–");
    setText(this.#ended, told ? count("durations.ended", told.count) : t("durations.none"));
  }

  #showShares(history, latest) {
    const counted = families.some((family) => (history.shares?.[family] ?? []).length > 0);
    const shares = counted ? history.shares : sharesOf(latest);
    const whose = counted ? { state: "any", login_after: history.from } : {};
    const note = counted || latest.length === 0 ? t(`shares.note.${history.range}`) : count("shares.note.latest", latest.length);
    for (const family of families) this.#share(family, shares?.[family] ?? [], whose);
    for (const node of this.#notes) setText(node, note);
  }

  #untold() {
    for (const family of families) this.#share(family, [], {});
    for (const list of this.#lists.values()) list.replaceChildren(h("li", { class: "share-none", text: t("shares.now.none") }));
    for (const node of this.#notes) setText(node, "");
  }

  async #toggleMap() {
    const open = !this.#map?.element.isConnected;
    this.#mapButton.setAttribute("aria-expanded", String(open));
    if (!open) return this.#map.element.remove();
    try {
      if (!this.#map) {
        const { WorldMap } = await import("./map.js");
        const map = new WorldMap();
        await map.load();
        this.#map = map;
      }
      this.#map.show(...this.#countries);
      this.element.querySelector(".patterns-head").after(this.#map.element);
    } catch {
      this.#mapButton.setAttribute("aria-expanded", "false");
      toast(t("map.failed"), "error");
    }
  }

  #share(family, entries, whose) {
    if (family === "country") {
      this.#countries = [entries, whose];
      this.#map?.show(entries, whose);
    }
    const total = entries.reduce((sum, entry) => sum + entry.count, 0);
    const rest = entries.slice(shown - 1);
    const top = entries.length > shown
      ? [...entries.slice(0, shown - 1), { name: "other", count: rest.reduce((sum, entry) => sum + entry.count, 0) }] : entries;
    const rows = top.map((entry) => {
      const name = shareName(family, entry.name);
      const fill = h("span", { class: "share-fill" });
      fill.style.width = `${(100 * entry.count) / total}%`;
      const link = ["", "other", "unknown"].includes(entry.name) ? null : h("a", { class: "whole", href: hrefOf("sessions", { ...whose, [family]: entry.name }), text: name });
      return h("li", { title: number(entry.count) }, h("span", { class: "share-name", dir: "auto" }, link ?? name),
        h("span", { class: "share-bar", "aria-hidden": "true" }, fill), h("span", { class: "share-part", dir: "auto", text: percent(entry.count / total) }));
    });
    this.#lists.get(family).replaceChildren(...(rows.length ? rows : [h("li", { class: "share-none", text: t("shares.none") })]));
  }

  #hours(rows, latest) {
    const highest = Math.max(0, ...rows.flat());
    let busiest = null;
    rows.forEach((hours, day) => hours.forEach((n, at) => {
      const cell = this.#cells[day]?.[at];
      if (!cell) return;
      cell.className = `heat-cell level-${n === 0 ? 0 : Math.max(1, Math.ceil((5 * n) / highest))}`;
      cell.title = t("heat.cell", { day: weekday(day), hour: hour(at), logins: count("logins", n) });
      cell.setAttribute("aria-label", cell.title);
      cell.removeAttribute("aria-hidden");
      const begin = latest.get(`${day} ${at}`);
      if (begin) cell.href = hrefOf("sessions", { state: "any", login_after: stamp(begin), login_before: stamp(begin + 3600e3) });
      if (n > 0 && n === highest) busiest ??= cell.title;
    }));
    this.#reach(this.#heat.querySelector("[tabindex='0']") ?? this.#cells[0][0]);
    this.#heat.setAttribute("aria-label", busiest ? t("heat.summary", { busiest }) : t("heat.empty"));
  }

  // One of the cells is reached by Tab, the others by the arrows.
  #reach(cell) {
    for (const other of this.#heat.querySelectorAll("[tabindex='0']")) other.setAttribute("tabindex", "-1");
    cell.setAttribute("tabindex", "0");
  }

  #walk(event) {
    const [down, right] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] ?? [0, 0];
    const day = this.#cells.findIndex((row) => row.includes(event.target));
    if (day < 0 || (down === 0 && right === 0)) return;
    event.preventDefault();
    const turn = getComputedStyle(this.#heat).direction === "rtl" ? -right : right;
    const cell = this.#cells[(day + down + 7) % 7][(this.#cells[day].indexOf(event.target) + turn + 24) % 24];
    this.#reach(cell);
    cell.focus();
  }
}

const stamp = (time) => new Date(time).toISOString().replace(".000Z", "Z");

// The hours of the last week, by day and hour of a time zone: when each of them began.
function latestHours(zone) {
  const format = new Intl.DateTimeFormat("en", { timeZone: zone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const read = (time) => Object.fromEntries(format.formatToParts(time).map(({ type, value }) => [type, value]));
  const days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  const at = Math.floor(now() / 60000) * 60000;
  const begin = at - Number(read(at).minute) * 60000;
  const found = new Map();
  for (let back = 0; back < 168; back++) {
    const { weekday: day, hour: clock } = read(begin - back * 3600e3);
    found.set(`${days.indexOf(day)} ${Number(clock)}`, begin - back * 3600e3);
  }
  return found;
}

const facts = {
  device: (session) => session.deviceType,
  browser: (session) => session.deviceFacts?.browser ?? withoutVersion(session.browser),
  os: (session) => session.deviceFacts?.os ?? withoutVersion(session.os),
  country: (session) => session.location?.countryCode,
};

const withoutVersion = (name) => name?.replace(/ [\d.]+$/, "");

// sharesOf counts sessions as GET /history counts sign-ins.
function sharesOf(sessions) {
  return Object.fromEntries(families.map((family) => {
    const counts = new Map();
    for (const session of sessions) {
      const name = facts[family](session) || "unknown";
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return [family, [...counts].map(([name, n]) => ({ name, count: n })).toSorted((a, b) => b.count - a.count)];
  }));
}

function shareName(family, name) {
  if (name === "other") return t("shares.other");
  if (name === "" || name === "unknown") return t("shares.unknown");
  if (family === "device") return known("device", name);
  return family === "country" ? region(name) : name;
}
