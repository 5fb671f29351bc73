// Single keys: for hands that stay on the keyboard. They are not answered in fields and
// dialogs, and can be turned off.

import { byId } from "./dom.js";
import { t } from "./text.js";

const single = { on: true };
const places = ["#/", "#/people", "#/sessions", "#/history", "#/trail"];

/** @returns {[string, string][]} */
const keys = () => [
  ["?", t("keys.help")], ["/", t("keys.search")], ["j", t("keys.next")], ["k", t("keys.previous")], ["o", t("keys.open")], ["x", t("keys.select")],
  ["e", t("keys.end")], [`1–${places.length}`, t("keys.view")],
];

/** openHelp shows the sheet of keys and figures. */
export async function openHelp() {
  const sheet = await import("./help.js");
  sheet.openHelp(keys(), single);
}

/** listen answers keys while ready() says that the page is open. */
export function listen(ready) {
  document.addEventListener("keydown", (event) => {
    if (!single.on || !ready() || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const at = /** @type {HTMLElement} */ (event.target);
    if (document.querySelector("dialog[open]") || at.closest("select, textarea, input:not([type=checkbox])")) return;
    if (answer(event.key, at.closest(".rows tr"))) event.preventDefault();
  });
}

function answer(key, row) {
  if (key === "?") openHelp();
  else if (key === "/") return focus(document.querySelector("#search, .facets input"));
  else if (key === "j" || key === "k") return step(row, key === "j");
  else if (key === "o") return press(row?.querySelector("[aria-haspopup]"));
  else if (key === "x") return press(row?.querySelector("input"));
  else if (key === "e") return press(row?.querySelector(".col-action button"));
  else if (/^[1-9]$/.test(key)) return go(Number(key) - 1);
  else return false;
  return true;
}

function focus(node) {
  node?.focus();
  return Boolean(node);
}

function press(node) {
  node?.click();
  return Boolean(node);
}

// A view is where its link in the bar leads: it may have been left with filters.
function go(n) {
  const link = byId("nav").querySelectorAll("a")[n];
  return press(link);
}

function step(row, down) {
  const rows = [...document.querySelectorAll(".rows tbody tr:not(.spacer)")];
  const seen = rows.findIndex((one) => one.getBoundingClientRect().top > 90);
  const next = row ? rows[rows.indexOf(row) + (down ? 1 : -1)] : rows[Math.max(0, seen)];
  next?.scrollIntoView({ block: "nearest" });
  return focus(next?.querySelector(".name, [aria-haspopup]"));
}
