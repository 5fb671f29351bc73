// Views that somebody has saved: names for addresses of this page, kept in the browser
// because they asked for it. Nothing else is kept anywhere.

import { h, icon } from "./dom.js";
import { t } from "./text.js";

const key = `sessiontrack views ${new URL(".", document.baseURI).pathname}`;
const most = 50;

function saved() {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found.filter(({ name, href }) => typeof name === "string" && String(href).startsWith("#/")) : [];
  } catch {
    return []; // the browser keeps nothing, or something else is there
  }
}

function keep(views) {
  try {
    if (views.length === 0) localStorage.removeItem(key);
    else localStorage.setItem(key, JSON.stringify(views.slice(0, most)));
  } catch {
    // the browser keeps nothing: the list shows so
  }
}

/** savedViews is the menu of saved views; it saves the address as it is. */
export function savedViews() {
  const list = h("ul", { class: "menu-list" });
  const name = h("input", { type: "text", id: "view-name", required: true, maxlength: 60, autocomplete: "off" });
  const draw = () => list.replaceChildren(...saved().map((view) => h("li", {},
    h("a", { href: view.href, text: view.name, dir: "auto", on: { click: () => { menu.open = false; } } }),
    h("button", { type: "button", class: "button is-quiet is-small", "aria-label": t("views.remove", { name: view.name }), on: { click: () => {
      keep(saved().filter((other) => other.name !== view.name));
      draw();
      name.focus();
    } } }, icon("close")))));
  const save = (event) => {
    event.preventDefault();
    const view = { name: name.value.trim(), href: location.hash || "#/" };
    keep([view, ...saved().filter((other) => other.name !== view.name)]);
    name.value = "";
    draw();
  };
  const menu = h("details", { class: "menu" }, h("summary", { class: "button is-small", text: t("views.title") }),
    h("div", { class: "menu-panel" }, list, h("form", { on: { submit: save } },
      h("label", { for: "view-name", text: t("views.name") }), h("div", { class: "menu-row" }, name, h("button", { type: "submit", class: "button is-small", text: t("views.save") })))));
  menu.addEventListener("toggle", () => { if (menu.open) draw(); });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  return menu;
}
