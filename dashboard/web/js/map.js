// A map of countries, coloured by how many are there. It comes from the page's own origin,
// and only where somebody opens it.

import { byId, h } from "./dom.js";
import { hrefOf } from "./route.js";
import { number, percent, region, t } from "./text.js";

const levels = 5;
const unknown = ["", "other", "unknown"];

let world = null; // the outlines, once they have come

// Drawings are made of the namespace that the page's own icons have.
function drawn(tag, attributes = {}, ...children) {
  const node = document.createElementNS(byId("icons").content.querySelector("svg").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  node.append(...children);
  return node;
}

/** WorldMap is the map, and a list that has all of it in words. */
export class WorldMap {
  #countries = new Map(); // outlines by their code
  #picture = drawn("svg", { viewBox: "0 0 1000 450", class: "world", role: "img", "aria-label": t("map.label") });
  #list = h("ol", { class: "world-list", tabindex: 0, "aria-label": t("shares.country") });

  constructor() {
    this.element = h("section", { class: "panel map-panel", "aria-labelledby": "map-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "map-title", text: t("map.title") })), h("div", { class: "world-frame" }, h("div", {}, this.#picture), this.#list));
  }

  /** load brings the outlines; it throws where they cannot be had. */
  async load() {
    world ??= fetch(new URL("../map/world.json", import.meta.url)).then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error("no map"))));
    const outlines = await world.catch((problem) => {
      world = null;
      throw problem;
    });
    for (const [code, d] of Object.entries(outlines)) {
      const path = drawn("path", { d, class: "level-0" });
      this.#countries.set(code, path);
      this.#picture.append(path);
    }
  }

  /**
   * show colours the countries.
   * @param {{name: string, count: number}[]} entries
   * @param {Record<string, string>} whose the rest of the filter that they are counted by
   */
  show(entries, whose) {
    const total = entries.reduce((sum, entry) => sum + entry.count, 0);
    const told = entries.filter((entry) => !unknown.includes(entry.name)).toSorted((a, b) => b.count - a.count);
    const highest = told[0]?.count ?? 0;
    for (const path of this.#countries.values()) {
      path.setAttribute("class", "level-0");
      path.replaceChildren();
      path.onclick = null;
    }
    for (const { name, count: n } of told) {
      const path = this.#countries.get(name);
      if (!path) continue;
      // Many countries have few: a root tells them apart.
      path.setAttribute("class", `is-link level-${Math.max(1, Math.ceil(levels * Math.sqrt(n / highest)))}`);
      path.append(drawn("title", {}, t("map.country", { country: region(name), n: number(n) })));
      path.onclick = () => { location.hash = hrefOf("sessions", { ...whose, country: name }); };
    }
    this.#list.replaceChildren(...told.map(({ name, count: n }) => h("li", {}, h("a", { href: hrefOf("sessions", { ...whose, country: name }), text: region(name) }),
      h("span", { class: "muted", text: `${number(n)} · ${percent(n / total)}` }))));
    if (told.length === 0) this.#list.replaceChildren(h("li", { class: "muted", text: t("shares.none") }));
    this.#picture.setAttribute("aria-label", told.length ? t("map.summary", { country: region(told[0].name), n: number(highest) }) : t("map.label"));
  }
}
