// The past: any range of it, beside the period before, as plots, as a table, as a file.

import { now } from "./clock.js";
import { explain } from "./confirm.js";
import { h, seen, setText } from "./dom.js";
import { Ranges, lengths } from "./ranges.js";
import { axes, clockText, colour, inZone, onCalendar, onClock, uPlot, upTo, viewerZone } from "./plotting.js";
import { change, compact, count, known, number, t } from "./text.js";

const every = 60000;
const height = 260;
const barsHeight = 150;
const mostRows = 2000;
const mostBars = 96;

/** open makes the view of a place. */
export const open = (page, place) => new Past(page, place);

class Past {
  #page;
  #ranges;
  #plots = [];
  #abort = null;
  #timer = 0;
  #data = null;
  #at = -1; // the step that the keyboard reads
  #lines = h("div", { class: "plot is-large", role: "img", tabindex: 0, on: { keydown: (event) => this.#walk(event) } });
  #bars = h("div", { class: "plot is-bars", role: "img" });
  #note = h("p", { class: "plot-note", text: t("list.loading") });
  #readout = h("p", { class: "plot-readout", role: "status" });
  #figures = h("dl", { class: "history-figures" });
  #lists = h("div", { class: "history-lists" });
  #table = h("details", { class: "history-table" }, h("summary", { text: t("history.table") }));

  constructor(page, place) {
    this.#page = page;
    this.#ranges = new Ranges(place.query, () => this.#save());
    this.#ranges.addEventListener("change", () => this.#load());
    this.element = h("section", { class: "panel chart", "aria-labelledby": "list-title" },
      h("header", { class: "panel-head" }, h("h1", { id: "list-title", tabindex: -1, text: t("nav.history") }), this.#ranges.presets),
      this.#ranges.element, this.#figures,
      h("div", { class: "plot-head" }, this.#readout), h("div", { class: "plot-frame is-large" }, this.#lines, this.#note),
      h("div", { class: "plot-head" }, h("p", { class: "plot-readout" }, h("span", { class: "key is-logins", text: t("history.logins") }), h("span", { class: "key is-ends", text: t("history.ends") }))),
      h("div", { class: "plot-frame is-bars" }, this.#bars), this.#lists, this.#table);
    this.#table.addEventListener("toggle", () => this.#fillTable());
    this.resizer = new ResizeObserver(() => this.#resize());
    this.resizer.observe(this.#lines);
    this.scheme = window.matchMedia("(prefers-color-scheme: dark)");
    this.recolour = () => this.#draw();
    this.scheme.addEventListener("change", this.recolour);
  }

  start() { this.#load(); }

  stop() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.resizer.disconnect();
    this.scheme.removeEventListener("change", this.recolour);
    this.#clear();
  }

  /** take goes to another place of this view, as the address says. */
  take({ query }) { this.#ranges.read(query); }

  /** seen is called when somebody looks at the page again. */
  seen() { this.#load(true); }

  event() {}

  get #zone() { return this.#ranges.mine ? viewerZone : this.#data?.answer.time_zone ?? "UTC"; }

  async #load(timed = false) {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    const abort = new AbortController();
    this.#abort = abort;
    this.#page.places.set("history", this.#ranges.href);
    const { from, to, step } = this.#ranges.span(now());
    const zone = this.#ranges.mine ? { tz: viewerZone } : {};
    const ask = (begin, end) => this.#page.api.history({ from: begin, to: end, step, ...zone }, { signal: abort.signal, timed });
    const length = Date.parse(to) - Date.parse(from);
    const before = new Date(Date.parse(from) - length).toISOString();
    try {
      const [answer, earlier, active] = await Promise.all([ask(from, to), this.#ranges.compared ? ask(before, from) : null, this.#page.api.active(this.#ranges.mine ? viewerZone : "")]);
      if (abort.signal.aborted) return;
      this.#data = { answer, earlier, active, from: Date.parse(from), to: Date.parse(to), size: lengths[step] };
      this.#at = -1;
      this.#show();
    } catch (problem) {
      if (abort.signal.aborted) return;
      this.#data = null;
      this.#clear();
      setText(this.#note, problem.status === 404 ? t("chart.none") : explain(problem));
      this.#note.hidden = false;
    }
    if (this.#ranges.moves) this.#timer = setTimeout(() => (seen() ? this.#load(true) : null), every);
  }

  // One place for each step, so that a step without samples is a hole, and the period before
  // stands where it belongs.
  #steps() {
    const { answer, earlier, from, to, size } = this.#data;
    const first = answer.series[0];
    const start = first ? Date.parse(first.at) - Math.round((Date.parse(first.at) - from) / size) * size : from;
    const n = Math.min(mostRows, Math.max(1, Math.ceil((to - start) / size)));
    const steps = Array.from({ length: n }, (_, i) => ({ at: start + i * size, now: null, before: null }));
    const place = (series, shift, name) => {
      for (const point of series ?? []) {
        const at = Math.round((Date.parse(point.at) + shift - start) / size);
        if (steps[at]) steps[at][name] = point;
      }
    };
    place(answer.series, 0, "now");
    place(earlier?.series, to - from, "before");
    return steps;
  }

  #show() {
    this.steps = this.#steps();
    this.#note.hidden = this.steps.some((step) => step.now || step.before);
    setText(this.#note, t("chart.empty"));
    this.#draw();
    this.#tell();
    this.#read();
    this.#fillTable();
  }

  #clear() {
    for (const plot of this.#plots.splice(0)) plot.destroy();
  }

  #draw() {
    this.#clear();
    if (!this.#data) return;
    const times = this.steps.map((step) => step.at / 1000);
    const of = (name, field) => this.steps.map((step) => step[name]?.[field] ?? null);
    const points = { show: times.length < 40 };
    const lines = [
      { stroke: colour("--accent"), width: 2, fill: colour("--accent-wash"), points },
      { stroke: colour("--second"), width: 1.5, dash: [4, 3], points },
      { stroke: colour("--warn-dot"), width: 1.5, points, show: this.#ranges.compared },
    ];
    const bars = (side) => ({ width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.4, 30], align: side }) });
    const columns = [
      { fill: colour("--good-dot"), ...bars(1) },
      { fill: colour("--second"), ...bars(-1) },
    ];
    this.#plots = [
      new uPlot(this.#options(this.#lines, height, lines), [times, of("now", "online_users"), of("now", "active_sessions"), of("before", "online_users")], this.#lines),
      new uPlot(this.#options(this.#bars, barsHeight, columns), this.#sums(), this.#bars),
    ];
  }

  // Bars that are too thin to be seen are put together.
  #sums() {
    const size = Math.ceil(this.steps.length / mostBars);
    const groups = Array.from({ length: Math.ceil(this.steps.length / size) }, (_, i) => this.steps.slice(i * size, (i + 1) * size));
    const sum = (field) => groups.map((group) => group.reduce((total, step) => total + (step.now?.[field] ?? 0), 0));
    return [groups.map((group) => group[0].at / 1000), sum("logins"), sum("ends")];
  }

  #options(holder, tall, series) {
    const day = 86400e3;
    const long = this.#data.to - this.#data.from;
    /** @type {Intl.DateTimeFormatOptions} */
    const way = long > 40 * day ? { day: "numeric", month: "short" } : long > 2 * day ? onCalendar : onClock;
    return {
      width: holder.clientWidth, height: tall, legend: { show: false }, padding: [8, 20, 0, 0], tzDate: inZone(this.#zone),
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, points: { size: 7 }, sync: { key: "history" } },
      hooks: { setCursor: holder === this.#lines ? [(plot) => this.#read(plot)] : [], setSelect: [(plot) => this.#zoom(plot)] },
      scales: { x: { time: true }, y: upTo }, axes: axes((at) => clockText(at, this.#zone, way), compact), series: [{}, ...series],
    };
  }

  #resize() {
    for (const plot of this.#plots) plot.setSize({ width: this.#lines.clientWidth, height: plot.height });
  }

  // A part that is dragged over becomes the range.
  #zoom(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    this.#ranges.zoom(from * 1000, to * 1000);
  }

  #walk(event) {
    const last = this.steps ? this.steps.length - 1 : -1;
    const at = this.#at < 0 ? last : this.#at;
    const moves = { ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: last };
    if (event.key === "+" || event.key === "-") {
      const { from, to } = this.#data;
      const middle = this.steps[at].at;
      const half = ((to - from) / 2) * (event.key === "+" ? 0.5 : 2);
      this.#ranges.zoom(middle - half, Math.min(middle + half, now()));
    } else if (!(event.key in moves) || last < 0) return;
    else {
      this.#at = Math.max(0, Math.min(last, moves[event.key]));
      const [lines] = this.#plots;
      lines.setCursor({ left: lines.valToPos(this.steps[this.#at].at / 1000, "x"), top: 10 });
    }
    event.preventDefault();
  }

  // What is under the pointer, or the whole range.
  #read(plot = null) {
    const idx = plot?.cursor.idx ?? null;
    const step = idx === null || plot.cursor.left < 0 ? null : this.steps[idx];
    const figure = (key, name, point, field) => h("span", { class: `key is-${key}` }, `${name} `, h("b", { text: point?.[field] === undefined ? "–" : number(point[field]) }));
    this.#readout.replaceChildren(...(step ? [
      h("span", { text: this.#when(step.at) }), figure("online", t("chart.online"), step.now, "online_users"), figure("sessions", t("chart.sessions"), step.now, "active_sessions"),
      this.#ranges.compared ? figure("before", t("history.before"), step.before, "online_users") : "",
      figure("logins", t("history.logins"), step.now, "logins"), figure("ends", t("history.ends"), step.now, "ends"),
    ] : [h("span", { class: "key is-online", text: t("chart.online") }), h("span", { class: "key is-sessions", text: t("chart.sessions") }),
      this.#ranges.compared ? h("span", { class: "key is-before", text: t("history.before") }) : "", h("span", { text: t("history.hint") })]).filter(Boolean));
  }

  #when(at) {
    const whole = this.#data.size >= lengths["1d"];
    return clockText(at / 1000, this.#zone, /** @type {Intl.DateTimeFormatOptions} */ ({ weekday: "short", day: "numeric", month: "short", year: "numeric", ...(whole ? {} : onClock) }));
  }

  #tell() {
    const { answer, active } = this.#data;
    const sum = (name, field) => this.steps.reduce((total, step) => total + (step[name]?.[field] ?? 0), 0);
    const peak = (name) => this.steps.reduce((best, step) => ((step[name]?.peak_online_users ?? -1) > (best?.[name]?.peak_online_users ?? -1) ? step : best), null);
    const highest = peak("now");
    const against = (value, before) => (this.#ranges.compared && before > 0 ? t("history.change", { change: change((value - before) / before) }) : "");
    const top = highest?.now?.peak_online_users ?? 0;
    const entries = [
      [t("history.peak"), number(top), highest?.now ? this.#when(highest.at) : "", against(top, peak("before")?.before?.peak_online_users ?? 0)],
      [t("history.logins"), number(sum("now", "logins")), "", against(sum("now", "logins"), sum("before", "logins"))],
      [t("history.ends"), number(sum("now", "ends")), "", against(sum("now", "ends"), sum("before", "ends"))],
      ...["daily", "weekly", "monthly"].filter((name) => active?.[name] !== undefined).map((name) => [t(`history.${name}`), number(active[name]), active.error ? t("history.error", { error: change(active.error).replace("+", "±") }) : "", ""]),
    ];
    this.#figures.replaceChildren(...entries.map(([name, value, note, beside]) => h("div", {}, h("dt", { text: name }), h("dd", { text: value }), h("dd", { class: "panel-note", text: [note, beside].filter(Boolean).join(" · ") }))));
    this.#lines.setAttribute("aria-label", t("history.summary", { peak: number(top), when: highest?.now ? this.#when(highest.at) : "–" }));
    this.#bars.setAttribute("aria-label", t("history.bars", { logins: count("logins", sum("now", "logins")), ends: number(sum("now", "ends")) }));
    const list = (title, rows) => (rows.length === 0 ? null : h("section", {}, h("h2", { text: title }), h("ul", {}, ...rows.map(([name, value]) => h("li", {}, h("span", { text: name }), h("b", { text: value }))))));
    this.#lists.replaceChildren(...[
      list(t("history.peaks"), (answer.peaks ?? []).slice(-14).toReversed().map(({ users, at }) => [this.#when(Date.parse(at)), number(users)])),
      list(t("history.reasons"), Object.entries(answer.endsByReason ?? {}).toSorted((a, b) => Number(b[1]) - Number(a[1])).map(([word, n]) => [known("reason", word), number(Number(n))])),
    ].filter(Boolean));
  }

  #fillTable() {
    for (const old of this.#table.querySelectorAll("table")) old.remove();
    if (!this.#table.open || !this.#data) return;
    const heads = [t("trail.when"), t("chart.online"), t("history.peak"), t("chart.sessions"), t("history.logins"), t("history.ends")];
    const cells = ({ at, now: point }) => [this.#when(at), ...["online_users", "peak_online_users", "active_sessions", "logins", "ends"].map((field) => (point?.[field] === undefined ? "–" : number(point[field])))];
    this.#table.append(h("table", {}, h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col", text })))),
      h("tbody", {}, ...this.steps.toReversed().map((step) => h("tr", {}, ...cells(step).map((text) => h("td", { text })))))));
  }

  // What is shown, as a file: numbers and times only.
  #save() {
    if (!this.#data) return;
    const fields = ["online_users", "peak_online_users", "active_sessions", "logins", "ends"];
    const compared = this.#ranges.compared ? ["online_users", "logins", "ends"] : [];
    const lines = [["at", ...fields, ...compared.map((field) => `before_${field}`)], ...this.steps.map((step) =>
      [new Date(step.at).toISOString(), ...fields.map((field) => step.now?.[field] ?? ""), ...compared.map((field) => step.before?.[field] ?? "")])];
    const file = URL.createObjectURL(new Blob([lines.map((line) => line.join(",")).join("\r\n"), "\r\n"], { type: "text/csv" }));
    h("a", { href: file, download: "history.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(file), 10000);
  }
}
