// The first view: the plot, what just happened, and the patterns of sign-ins.

import { Chart } from "./chart.js";
import { h } from "./dom.js";
import { Patterns } from "./patterns.js";
import { t } from "./text.js";

/** open makes the view. page is what all views share. */
export const open = (page) => new Overview(page);

class Overview {
  #page;
  #chart;
  #patterns;
  #over = false;

  constructor(page) {
    this.#page = page;
    this.#chart = new Chart(page.api);
    this.#patterns = new Patterns((by) => page.api.now(by, { timed: true }));
    if (page.stats) this.#chart.now(page.stats);
    this.#chart.addEventListener("history", ({ detail }) => this.#tell(detail));
    this.#chart.addEventListener("failed", ({ detail }) => this.#patterns.fail(detail));
    if (page.weeks) this.#patterns.showWeeks(page.weeks);
    this.element = h("div", { class: "overview" }, h("h1", { class: "visually-hidden", tabindex: -1, text: t("nav.overview") }),
      h("div", { class: "now" }, this.#chart.element, page.feed.element), this.#patterns.element);
  }

  // While nothing is added up yet, the latest sessions tell what there is.
  async #tell(answer) {
    this.#patterns.show(answer);
    if (answer.shares?.device?.length > 0 || !this.#page.stats?.total_active_sessions) return;
    const { data } = await this.#page.api.people({ limit: 100 }, { timed: true }).catch(() => ({ data: [] }));
    if (!this.#over) this.#patterns.show(answer, data);
  }

  start() {
    this.#chart.start();
    this.#page.feed.shown();
  }

  stop() {
    this.#over = true;
    this.#chart.stop();
  }

  /** seen is called when somebody looks at the page again. */
  seen() { this.#chart.seen(); }

  /** event takes an event of the stream. */
  event({ stats }) {
    if (stats) this.#chart.now(stats);
  }

  /** weeks takes the history of the last weeks. */
  weeks(history) { this.#patterns.showWeeks(history); }
}
