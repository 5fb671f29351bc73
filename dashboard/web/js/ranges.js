// Which part of the past is shown: a length up to now, or from one moment to another. It is
// in the address.

import { h } from "./dom.js";
import { hrefOf, rewrite } from "./route.js";
import { t } from "./text.js";
import { stamp, viewerZone } from "./plotting.js";

const day = 86400e3;
const presets = { day, week: 7 * day, month: 30 * day, quarter: 91 * day, year: 365 * day };
const shortest = 5 * 60e3;
const longest = 400 * day;

/** lengths are the lengths of the API's steps, in milliseconds. */
export const lengths = { "1m": 60e3, "1h": 3600e3, "1d": day };

const stepOf = (length) => (length <= 1.2 * day ? "1m" : length <= 62 * day ? "1h" : "1d");

/** Ranges emits "change". */
export class Ranges extends EventTarget {
  #range = "day";
  #from = 0;
  #to = 0;
  #buttons = new Map();
  #fields = {};
  #out = h("button", { type: "button", class: "button is-small", text: t("history.back"), on: { click: () => history.back() } });
  /** compared says whether the period before is shown, mine whether the hours are the viewer's. */
  compared = false;
  mine = false;

  constructor(query, save) {
    super();
    this.presets = h("div", { class: "choice", role: "group", "aria-label": t("chart.range") });
    for (const name of Object.keys(presets)) {
      const button = h("button", { type: "button", text: t(`history.${name}`), on: { click: () => this.#set({ range: name, from: 0, to: 0 }) } });
      this.#buttons.set(name, button);
      this.presets.append(button);
    }
    const moment = (name) => {
      const input = h("input", { type: "datetime-local", id: `history-${name}`, on: { change: () => this.#typed() } });
      this.#fields[name] = input;
      return h("label", { class: "field" }, h("span", { class: "field-name", text: t(`trail.${name}`) }), input);
    };
    const zone = h("select", { id: "history-zone", on: { change: () => this.#set({ mine: zone.value === "mine" }) } },
      h("option", { value: "", text: t("history.zone.server") }), h("option", { value: "mine", text: t("history.zone.mine", { zone: viewerZone }) }));
    const compare = h("input", { type: "checkbox", id: "history-compare", on: { change: () => this.#set({ compared: compare.checked }) } });
    Object.assign(this.#fields, { zone, compare });
    this.element = h("form", { class: "filters is-ranges", on: { submit: (event) => event.preventDefault() } }, moment("from"), moment("to"),
      h("label", { class: "field" }, h("span", { class: "field-name", text: t("history.zone") }), zone),
      h("label", { class: "help-keys" }, compare, t("history.compare")), this.#out,
      h("button", { type: "button", class: "button is-small", text: t("history.csv"), on: { click: save } }));
    this.#read(query);
  }

  /** moves says whether the range ends now. */
  get moves() { return this.#from === 0; }

  get href() {
    const own = this.moves ? { range: this.#range === "day" ? "" : this.#range } : { from: stamp(new Date(this.#from)), to: stamp(new Date(this.#to)) };
    return hrefOf("history", { ...own, zone: this.mine ? "mine" : "", compare: this.compared ? "1" : "" });
  }

  /** span is the range as the API takes it. */
  span(at) {
    const [from, to] = this.moves ? [at - presets[this.#range], at] : [this.#from, this.#to];
    return { from: stamp(new Date(from)), to: stamp(new Date(to)), step: stepOf(to - from) };
  }

  /** read takes the range of an address. */
  read(query) {
    this.#read(query);
    this.dispatchEvent(new Event("change"));
  }

  #read(query) {
    const [from, to] = [Date.parse(query.get("from") ?? ""), Date.parse(query.get("to") ?? "")];
    [this.#from, this.#to] = to - from >= shortest && to - from <= longest ? [from, to] : [0, 0];
    this.#range = Object.hasOwn(presets, query.get("range") ?? "") ? query.get("range") : "day";
    this.mine = query.get("zone") === "mine";
    this.compared = query.get("compare") === "1";
    this.#show();
  }

  #show() {
    for (const [name, button] of this.#buttons) button.setAttribute("aria-pressed", String(this.moves && name === this.#range));
    const { from, to, zone, compare } = this.#fields;
    from.value = this.moves ? "" : local(this.#from);
    to.value = this.moves ? "" : local(this.#to);
    zone.value = this.mine ? "mine" : "";
    compare.checked = this.compared;
    this.#out.hidden = this.moves;
  }

  #set({ range = this.#range, from = this.#from, to = this.#to, mine = this.mine, compared = this.compared }) {
    Object.assign(this, { mine, compared });
    [this.#range, this.#from, this.#to] = [range, from, to];
    this.#show();
    rewrite(this.href, true);
    this.dispatchEvent(new Event("change"));
  }

  #typed() {
    const [from, to] = [Date.parse(this.#fields.from.value), Date.parse(this.#fields.to.value)];
    if (to - from >= shortest && to - from <= longest) this.#set({ from, to });
  }

  /** zoom shows a part of what is shown, or more of it. */
  zoom(from, to) {
    const middle = (from + to) / 2;
    const length = Math.min(longest, Math.max(shortest, to - from));
    this.#set({ from: Math.round(middle - length / 2), to: Math.round(middle + length / 2) });
  }
}

// A moment as a field of the browser takes it: in the viewer's own time.
const local = (at) => new Date(at - new Date(at).getTimezoneOffset() * 60000).toISOString().slice(0, 16);
