// The figures at the top, as the last stats told them.

import { h, setText } from "./dom.js";
import { hrefOf } from "./route.js";
import { hour, minutes, number, t } from "./text.js";
import { minutesOf } from "./windows.js";

// A time zone is worth saying where it is not the viewer's own.
const viewerZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** @type {[string, string, string?, string?][]} */
const figures = [
  ["online", "online_users", "online", hrefOf("people")],
  ["veryActive", "very_active_users", "very_active", hrefOf("people", { within: "very_active" })],
  ["recentlyActive", "recently_active_users", "recently_active", hrefOf("people", { within: "recently_active" })],
  ["sessions", "total_active_sessions", "", hrefOf("sessions")],
  ["peak", "peak_users_today", "", hrefOf("history")],
];

/** Tiles fills the section with one tile a figure. */
export class Tiles {
  #values = new Map();
  #peakNote;
  #windows = new Map(); // the notes that tell a window, by its name

  constructor(section) {
    const tiles = figures.map(([name, field, window, href]) => {
      const value = h("dd", { class: "tile-value", text: "–" });
      const note = h("dd", { class: "tile-note", dir: "auto", text: window ? "" : t(`tile.${name}.note`) });
      this.#values.set(field, value);
      if (name === "peak") this.#peakNote = note;
      if (window) this.#windows.set(window, { note, key: `tile.${name}.note` });
      return h("dl", { class: `tile is-${name}` }, h("dt", { class: "tile-label" },
        name === "online" ? h("span", { class: "pulse", "aria-hidden": "true" }) : null,
        href ? h("a", { class: "whole", href, text: t(`tile.${name}`) }) : t(`tile.${name}`)), value, note);
    });
    section.replaceChildren(...tiles);
  }

  /** show takes the object of GET /stats; timeZone is the one of its hours. */
  show(stats, timeZone) {
    // A peak is of samples, and what is now may be higher before it is sampled.
    const now = (stats.online_users ?? 0) > (stats.peak_users_today ?? 0);
    const shown = now ? { ...stats, peak_users_today: stats.online_users } : stats;
    for (const [field, node] of this.#values) setText(node, number(shown[field] ?? 0));
    for (const [name, { note, key }] of this.#windows) setText(note, t(key, { time: minutes(minutesOf(name)) }));
    const at = stats.peak_hour_today;
    setText(this.#peakNote, now ? t("tile.peak.now") : at === null || at === undefined ? t("tile.peak.note")
      : t("tile.peak.when", { from: hour(at), to: hour((at + 1) % 24), zone: timeZone === viewerZone ? "" : timeZone ?? "" }).trim());
  }
}
