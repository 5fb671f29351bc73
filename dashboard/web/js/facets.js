// The filters of a list: their names, how they are set, and the chips that tell them. They
// are the parameters of the HTTP API.

import { h, icon } from "./dom.js";
import { brief, count, duration, known, minutes, number, region, t } from "./text.js";
import { minutesOf, within } from "./windows.js";

const typingPause = 250;
const deviceTypes = ["desktop", "mobile", "tablet", "bot", "tv", "console", "wearable", "other", "unknown"];
const reasons = ["logout", "user", "admin", "idle", "lifetime", "limit", "replaced", "password", "deleted"];
const windows = ["very_active", "online", "recently_active"];
const idles = ["1h", "8h", "24h", "168h"];
const listed = ["country", "browser", "os"]; // whose values are learnt from who is here

/** names are all filters, in the order of their chips. */
export const names = [
  "q", "device", "within", "seen_within", "user", "country", "browser", "os", "ip", "login_after", "login_before", "idle_for",
  "fresh_before", "reason", "client", "tenant", "acted_by", "derived",
];

/**
 * asked is what a list asks the API for: the windows by their length.
 * @param {Record<string, string>} values
 */
export function asked(values) {
  return Object.fromEntries(names.filter((name) => values[name]).map((name) =>
    [name, windows.includes(values[name]) ? within(values[name]) : values[name]]));
}

const lastMinutes = (name) => t("filter.within.last", { time: minutes(minutesOf(name)) });

// A length of time as Go writes it, such as 2h0m0s, in seconds; NaN for anything else.
function secondsOf(text) {
  if (!/^(\d+(\.\d+)?[hms])+$/.test(text)) return NaN;
  return [...text.matchAll(/([\d.]+)([hms])/g)].reduce((sum, [, n, unit]) => sum + Number(n) * { h: 3600, m: 60, s: 1 }[unit], 0);
}

/**
 * valueText is a filter's value as people read it.
 * @param {string} name
 * @param {string} value
 */
export function valueText(name, value) {
  if (name === "device") return known("device", value);
  if (name === "country") return region(value);
  if (name === "reason") return value.split(",").map((word) => known("reason", word)).join(", ");
  if (name === "idle_for") return Number.isNaN(secondsOf(value)) ? value : t("filter.idle.atLeast", { time: duration(secondsOf(value)) });
  if (name === "seen_within" && secondsOf(value)) return t("filter.within.last", { time: duration(secondsOf(value)) });
  if (name.startsWith("login_") || name === "fresh_before") return Number.isNaN(Date.parse(value)) ? value : brief(value);
  if (name === "derived") return t("filter.yes");
  return windows.includes(value) ? lastMinutes(value) : value;
}

/** Facets emits "change" with {values, step}; a step is one that "back" takes back. */
export class Facets extends EventTarget {
  #kind;
  #values;
  #learn;
  #counts = new Map(); // how many are here with a value, by filter
  #state = "";
  #pause = 0;
  #fields = new Map();
  #chips = h("ul", { class: "chips", "aria-label": t("filter.chips") });
  #panel = h("div", { class: "facets", id: "facets", hidden: true });
  #more = h("button", { type: "button", class: "button is-facets", id: "filter-more", "aria-expanded": "false", "aria-controls": "facets", text: t("filter.more"), on: { click: () => this.#toggle() } });

  /**
   * kind is "people" or "sessions"; learn(name) answers who is here by a fact: [{name, users}].
   * @param {string} kind
   * @param {Record<string, string>} values
   * @param {(name: string) => Promise<{name: string, users: number}[]>} learn
   */
  constructor(kind, values, learn) {
    super();
    this.#kind = kind;
    this.#values = values;
    this.#learn = learn;
    const window = kind === "people" ? "within" : "seen_within";
    this.element = h("form", { class: "filters", role: "search", "aria-label": t("filter.label"), on: { submit: (event) => event.preventDefault() } },
      this.#search(), this.#select("device", deviceTypes, t("filter.device.any"), true),
      this.#select(window, windows, kind === "people" ? "" : t("filter.within.any"), true), this.#more, this.#panel, this.#chips);
    this.#panel.append(
      ...listed.map((name) => this.#select(name, [], t("filter.any"))), this.#text("ip", t("filter.ip.hint")),
      this.#moment("login_after"), this.#moment("login_before"), this.#select("idle_for", idles, t("filter.any")),
      this.#select("reason", reasons, t("filter.any")), this.#select("derived", ["true"], t("filter.any")));
    this.show(values, "");
  }

  #label(name, node, hidden) {
    this.#fields.set(name, node);
    return h("label", { class: `field is-${name}` }, h("span", { class: hidden ? "visually-hidden" : "field-name", text: t(`facet.${name}`) }), node);
  }

  #search() {
    const input = h("input", { type: "search", id: "search", placeholder: t("filter.search.hint"), autocomplete: "off", spellcheck: "false", maxlength: 200, enterkeyhint: "search" });
    input.addEventListener("input", () => {
      clearTimeout(this.#pause);
      this.#pause = setTimeout(() => this.#set("q", input.value.trim(), false), typingPause);
    });
    const label = this.#label("q", input, true);
    label.classList.add("is-search");
    label.prepend(icon("search"));
    return label;
  }

  #text(name, hint) {
    const input = h("input", { type: "text", id: `filter-${name}`, placeholder: hint, autocomplete: "off", spellcheck: "false", maxlength: 60 });
    input.addEventListener("change", () => this.#set(name, input.value.trim()));
    return this.#label(name, input);
  }

  #moment(name) {
    const input = h("input", { type: "datetime-local", id: `filter-${name}` });
    input.addEventListener("change", () => this.#set(name, input.value ? new Date(input.value).toISOString() : ""));
    return this.#label(name, input);
  }

  #select(name, values, any, hidden = false) {
    const node = h("select", { id: `filter-${name.replace("seen_", "")}`, on: { change: () => this.#set(name, node.value) } });
    const label = this.#label(name, node, hidden);
    this.#options(name, values, any);
    return label;
  }

  #options(name, values, any) {
    const counts = this.#counts.get(name);
    const label = (value) => (counts?.has(value) ? t("filter.counted", { value: valueText(name, value), n: number(counts.get(value)) }) : valueText(name, value));
    const options = values.map((value) => h("option", { value, text: label(value) }));
    this.#fields.get(name).replaceChildren(...(any ? [h("option", { value: "", text: any })] : []), ...options);
  }

  async #toggle(open = this.#panel.hidden) {
    this.#panel.hidden = !open;
    this.#more.setAttribute("aria-expanded", String(open));
    if (!open || this.#counts.size > 0) return;
    for (const name of [...listed, "device"]) {
      const found = await this.#learn(name);
      this.#counts.set(name, new Map(found.map((entry) => [entry.name, entry.users])));
      if (name === "device") this.#options(name, deviceTypes, t("filter.device.any"));
      else this.#options(name, found.map((entry) => entry.name).filter((value) => value && value !== "unknown" && value !== "other"), t("filter.any"));
      this.#fill(name);
    }
  }

  #set(name, value, step = true) {
    if ((this.#values[name] ?? "") === value) return;
    /** @type {Record<string, string>} */
    const values = { ...this.#values, [name]: value };
    if (value && name === "q") values.user = values.ip = ""; // a search is for one of these
    if (value && name === "ip") values.q = "";
    this.show(values, this.#state);
    this.dispatchEvent(new CustomEvent("change", { detail: { values, step } }));
  }

  /**
   * show tells these values; state is of which sessions: "", "ended", "any".
   * @param {Record<string, string>} values
   * @param {string} state
   */
  show(values, state) {
    this.#values = values;
    this.#state = state;
    for (const name of this.#fields.keys()) this.#fill(name);
    for (const name of ["reason", "idle_for"]) this.#fields.get(name).parentElement.hidden = (name === "reason") !== (state === "ended");
    const shown = names.filter((name) => values[name] && !(this.#fields.has(name) && ["q", "device", "within", "seen_within"].includes(name)));
    this.#chips.replaceChildren(...shown.map((name) => this.#chip(name)), ...(shown.length > 1 ? [this.#clear(shown)] : []));
    this.#chips.hidden = shown.length === 0;
    this.#more.textContent = shown.length ? count("filter.more.set", shown.length) : t("filter.more");
  }

  #fill(name) {
    const node = this.#fields.get(name);
    const value = this.#values[name] ?? "";
    if (node.tagName === "SELECT" && value && ![...node.options].some((option) => option.value === value)) {
      node.append(h("option", { value, text: valueText(name, value) }));
    }
    const text = node.type === "datetime-local" && value ? local(value) : value;
    if (document.activeElement !== node || node.tagName === "SELECT") node.value = text;
  }

  #chip(name) {
    const value = valueText(name, this.#values[name]);
    const label = t(`facet.${name}`);
    return h("li", {}, h("button", { type: "button", class: "chip", on: { click: () => this.#drop([name]) } },
      h("span", { class: "visually-hidden", text: t("filter.remove") }), h("span", { class: "muted", text: label }), h("span", { class: "chip-value", text: value, dir: "auto" }), icon("close")));
  }

  #clear(shown) {
    return h("li", {}, h("button", { type: "button", class: "button is-quiet is-small", text: t("filter.clear"), on: { click: () => this.#drop(shown) } }));
  }

  // The focus stays in the bar when the chip that had it has gone.
  #drop(dropped) {
    const values = { ...this.#values, ...Object.fromEntries(dropped.map((name) => [name, ""])) };
    this.show(values, this.#state);
    (this.#chips.querySelector("button") ?? this.#more).focus();
    this.dispatchEvent(new CustomEvent("change", { detail: { values, step: true } }));
  }

  stop() { clearTimeout(this.#pause); }
}

// A moment as a field of the browser takes it: in the viewer's own time.
function local(time) {
  const at = new Date(time);
  return Number.isNaN(at.getTime()) ? "" : new Date(at.getTime() - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}
