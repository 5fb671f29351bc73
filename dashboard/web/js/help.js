// The keys, and what the figures mean.

import { byId, h, icon } from "./dom.js";
import { minutes, t } from "./text.js";
import { minutesOf } from "./windows.js";

/**
 * openHelp shows the sheet.
 * @param {[string, string][]} keys each with what it does
 * @param {{on: boolean}} single whether single keys are answered; the viewer may turn them off (WCAG 2.2, 2.1.4)
 */
export function openHelp(keys, single) {
  const dialog = byId("help");
  const box = h("input", { type: "checkbox", id: "help-keys", on: { change: () => { single.on = box.checked; } } });
  box.checked = single.on;
  const means = (name, window) => [h("dt", { text: t(`tile.${name}`) }), h("dd", { text: t(`help.${name}`, { time: window ? minutes(minutesOf(window)) : "" }) })];
  dialog.replaceChildren(
    h("div", { class: "drawer-head" }, h("h2", { id: "help-title", text: t("help.title") }),
      h("button", { type: "button", class: "button is-quiet is-small", "aria-label": t("action.close"), on: { click: () => dialog.close() } }, icon("close"))),
    h("dl", { class: "facts keys" }, ...keys.flatMap(([key, what]) => [h("dt", {}, h("kbd", { text: key })), h("dd", { text: what })])),
    h("p", {}, h("label", { class: "help-keys" }, box, t("help.single"))),
    h("h3", { text: t("help.figures") }),
    h("dl", { class: "facts" }, ...means("online", "online"), ...means("veryActive", "very_active"), ...means("recentlyActive", "recently_active"),
      ...means("sessions"), ...means("peak")));
  if (!dialog.open) dialog.showModal();
}
