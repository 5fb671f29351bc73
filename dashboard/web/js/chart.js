// The plot of the last hour, day or week.

import { now } from "./clock.js";
import { h, seen, setText } from "./dom.js";
import { explain } from "./confirm.js";
import { axes, clockText, colour, inZone, onCalendar, onClock, stamp, uPlot, upTo, viewerZone } from "./plotting.js";
import { compact, number, t } from "./text.js";

const minute = 60;
const ranges = {
  hour: { seconds: 3600, step: "1m", gap: 3 * minute, every: 15 * 1000 },
  day: { seconds: 86400, step: "1m", gap: 5 * minute, every: 60 * 1000 },
  week: { seconds: 7 * 86400, step: "1h", gap: 2 * 3600, every: 300 * 1000 },
};
const height = 232;
// A line of one or two points would hardly be seen.
const points = { show: (plot) => plot.data[0].length < 3 };

/** Chart draws online users and active sessions, and tells the rest of the page of its answers. */
export class Chart extends EventTarget {
  #api;
  #range = "hour";
  #plot = null;
  #abort = null;
  #timer = 0;
  #drawn = ""; // the range that the data is of
  #samples = [];
  #latest = null; // the figures of this moment, which no sample has yet
  #data = [[], [], []];
  #holder = h("div", { class: "plot", role: "img" });
  #note = h("p", { class: "plot-note", text: t("list.loading") });
  #readout = h("p", { class: "plot-readout", "aria-hidden": "true" });
  #buttons = new Map();
  #zone = viewerZone;
  #hours = h("p", { class: "plot-zone", hidden: true });

  constructor(api) {
    super();
    this.#api = api;
    const choice = h("div", { class: "choice", role: "group", "aria-label": t("chart.range") });
    for (const name of Object.keys(ranges)) {
      const button = h("button", { type: "button", text: t(`chart.${name}`), "aria-pressed": String(name === this.#range), on: { click: () => this.choose(name) } });
      this.#buttons.set(name, button);
      choice.append(button);
    }
    this.element = h("section", { class: "panel chart", "aria-labelledby": "chart-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "chart-title", text: t("chart.title") }), this.#readout, choice),
      h("div", { class: "plot-frame" }, this.#holder, this.#note), this.#hours);
    this.#watchSize();
    this.scheme = window.matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => this.#build();
    this.scheme.addEventListener("change", this.recolour);
  }

  #watchSize() {
    this.resizer = new ResizeObserver(() => this.#plot?.setSize({ width: this.#holder.clientWidth, height }));
    this.resizer.observe(this.#holder);
  }

  start() {
    this.choose(this.#range);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.resizer.disconnect();
    this.scheme.removeEventListener("change", this.recolour);
    this.#plot?.destroy();
  }

  choose(name) {
    this.#range = name;
    for (const [key, button] of this.#buttons) button.setAttribute("aria-pressed", String(key === name));
    this.load();
  }

  /** load asks for the range anew, and again after a while. timed says that nobody asked for it. */
  async load(timed = false) {
    clearTimeout(this.#timer);
    if (!seen()) return;
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    const range = ranges[this.#range];
    try {
      const to = new Date(now());
      const from = new Date(to.getTime() - range.seconds * 1000);
      const answer = await this.#api.history({ from: stamp(from), to: stamp(to), step: range.step }, { signal: abort.signal, timed });
      if (abort.signal.aborted) return;
      this.#zone = answer.time_zone || this.#zone;
      this.#take(answer);
      this.dispatchEvent(new CustomEvent("history", { detail: { ...answer, range: this.#range } }));
    } catch (problem) {
      if (abort.signal.aborted) return;
      if (this.#data[0].length === 0 || this.#drawn !== this.#range) this.#fail(problem.status === 404 ? t("chart.none") : explain(problem));
    }
    this.#timer = setTimeout(() => this.load(true), range.every);
  }

  /** now takes the figures of the tiles: the line ends with them. */
  now(stats) {
    this.#latest = { at: stats.timestamp, online_users: stats.online_users ?? 0, active_sessions: stats.total_active_sessions ?? 0 };
    if (this.#drawn) this.#plotAll();
  }

  /** seen is called when somebody looks at the page again. */
  seen() {
    this.load();
  }

  #take(answer) {
    this.#samples = answer.series;
    this.#drawn = this.#range;
    this.#tellZone();
    this.#plotAll();
  }

  // A step without samples leaves a hole: nobody knows what was there.
  #plotAll() {
    const range = ranges[this.#drawn];
    const [times, online, sessions] = [[], [], []];
    const newest = Date.parse(this.#samples.at(-1)?.at ?? "") || 0;
    const later = this.#latest && Date.parse(this.#latest.at) > newest;
    const nothing = this.#samples.length === 0 && this.#latest?.active_sessions === 0;
    const latest = later && !nothing ? [this.#latest] : [];
    for (const point of [...this.#samples, ...latest]) {
      const at = Date.parse(point.at) / 1000;
      const last = times[times.length - 1];
      if (last !== undefined && at - last > range.gap) {
        times.push(last + 1);
        online.push(null);
        sessions.push(null);
      }
      times.push(at);
      online.push(point.online_users);
      sessions.push(point.active_sessions);
    }
    this.#data = [times, online, sessions];
    if (times.length === 0) this.#say(t("chart.empty"));
    else this.#draw();
    this.#describe(online.filter((value) => value !== null));
  }

  #say(text) {
    setText(this.#note, text);
    this.#note.hidden = false;
    this.#readout.replaceChildren();
    this.#holder.hidden = true;
  }

  #fail(text) {
    this.#data = [[], [], []];
    this.#drawn = "";
    this.#say(text);
    this.dispatchEvent(new CustomEvent("failed", { detail: text }));
  }

  #describe(values) {
    const name = t(`chart.${this.#drawn}`);
    this.#holder.setAttribute("aria-label", values.length === 0 ? t("chart.empty") : t("chart.summary", {
      range: name, lowest: number(Math.min(...values)), highest: number(Math.max(...values)), now: number(values[values.length - 1]),
    }));
  }

  #draw() {
    this.#note.hidden = true;
    this.#holder.hidden = false;
    if (this.#plot) this.#plot.setData(this.#data);
    else this.#build();
    this.#showRange();
    this.#read();
  }

  #showRange() {
    const end = now() / 1000;
    this.#plot?.setScale("x", { min: end - ranges[this.#drawn].seconds, max: end });
  }

  // The hours are the server's: worth saying where they are not the viewer's own.
  #tellZone() {
    const there = this.#zone !== viewerZone;
    setText(this.#hours, there ? t("chart.zone", { zone: this.#zone }) : "");
    this.#hours.hidden = !there;
  }

  #build() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#data[0].length === 0) return;
    this.#plot = new uPlot(this.#options(), this.#data, this.#holder);
    this.#showRange();
  }

  #options() {
    return {
      width: this.#holder.clientWidth, height, legend: { show: false }, padding: [8, 20, 0, 0],
      tzDate: inZone(this.#zone),
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
      hooks: { setCursor: [() => this.#read()] },
      scales: { x: { time: true, auto: false }, y: upTo },
      axes: axes((at) => this.#clock(at, this.#range === "week"), compact),
      series: [
        {},
        { label: t("chart.online"), stroke: colour("--accent"), width: 2, fill: colour("--accent-wash"), points },
        { label: t("chart.sessions"), stroke: colour("--second"), width: 1.5, dash: [4, 3], points },
      ],
    };
  }

  #clock(at, withDay) { return clockText(at, this.#zone, withDay ? onCalendar : onClock); }

  // The legend tells the figures under the pointer, else the latest. Where the pointer is
  // in a hole it tells that moment, and no figures.
  #read() {
    const [times, online, sessions] = this.#data;
    if (times.length === 0) return;
    const { idx = null, left = -1 } = this.#plot?.cursor ?? {};
    const pointed = idx !== null && left >= 0;
    const moment = pointed ? this.#plot.posToVal(left, "x") : 0;
    const hole = pointed && (online[idx] === null || Math.abs(times[idx] - moment) > ranges[this.#drawn].gap);
    const at = pointed ? idx : times.length - 1;
    const value = (list) => (hole || list[at] === null || list[at] === undefined ? "–" : number(list[at]));
    const shown = hole ? moment : times[at];
    const when = pointed ? `${this.#drawn === "hour" ? "" : `${this.#clock(shown, true)} `}${this.#clock(shown, false)}` : t("chart.latest");
    this.#readout.replaceChildren(
      h("span", { class: "readout-when", text: when }),
      h("span", { class: "key is-online" }, `${t("chart.online")} `, h("b", { text: value(online) })),
      h("span", { class: "key is-sessions" }, `${t("chart.sessions")} `, h("b", { text: value(sessions) })));
  }
}
