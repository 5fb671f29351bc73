// One session, with all that is known of it and where that came from.

import { address, avatar, device, ending, moment, person, personPath } from "./cells.js";
import { endSession, explain, toast } from "./confirm.js";
import { byId, h, icon } from "./dom.js";
import { hostPage, hrefOf } from "./route.js";
import { brief, count, deviceName, exact, known, personName, place, t } from "./text.js";
import { isCurrent, isProtected } from "./viewer.js";

const mostActions = 100;
let turn = 0;

/**
 * openSession shows a session in the drawer. done is told what it became where it was ended.
 * @param {any} page
 * @param {string} sessionId
 */
export async function openSession(page, sessionId) {
  const dialog = byId("drawer");
  const mine = ++turn;
  dialog.replaceChildren(head(dialog, t("drawer.title")), h("p", { class: "muted", text: t("list.loading") }));
  if (!dialog.open) {
    wire(dialog);
    dialog.showModal();
  }
  try {
    const session = await page.api.session({ sessionId });
    if (mine !== turn || !dialog.open) return;
    if (!session) throw Object.assign(new Error("gone"), { code: "not_found" });
    show(page, dialog, session);
    const trail = await page.api.audit({ user: session.userId, limit: mostActions }).catch(() => ({ data: [] }));
    if (mine !== turn || !dialog.open) return;
    dialog.querySelector(".timeline").replaceWith(timeline(session, trail.data.filter((entry) => entry.sessionId === sessionId)));
  } catch (problem) {
    if (mine === turn) dialog.replaceChildren(head(dialog, t("drawer.title")), h("p", { role: "alert", text: explain(problem) }));
  }
}

let wired = false;

function wire(dialog) {
  if (wired) return;
  wired = true;
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("a[href^='#']")) dialog.close(); // beside it, or elsewhere in the page
  });
}

function head(dialog, title) {
  return h("div", { class: "drawer-head" }, h("h2", { id: "drawer-title", text: title, dir: "auto" }),
    h("button", { type: "button", class: "button is-quiet is-small", "aria-label": t("action.close"), on: { click: () => dialog.close() } }, icon("close")));
}

function show(page, dialog, session) {
  const url = hostPage(page.config.userURL, session.userId);
  const end = async () => {
    const ended = await endSession(page.api, session);
    if (!ended) return;
    page.ended({ ...ended, isActive: false, user: session.user });
    openSession(page, session.sessionId);
  };
  dialog.replaceChildren(head(dialog, deviceName(session)),
    person(session.user, session.userId),
    h("div", { class: "drawer-actions" },
      h("button", { type: "button", class: "button is-small", text: t("drawer.copy"), on: { click: () => copy(session.sessionId) } }),
      url ? h("a", { class: "button is-small", href: url, text: t("drawer.userPage") }) : null,
      h("a", { class: "button is-small", href: hrefOf("trail", { user: String(session.userId) }), text: t("nav.trail") }),
      session.logoutAt || isProtected(session.userId) ? null : h("button", { type: "button", class: "button is-small is-danger", text: t("action.end"), on: { click: end } })),
    h("dl", { class: "facts" }, ...facts(session)),
    h("h3", { text: t("drawer.timeline") }), timeline(session, []));
  dialog.querySelector("button").focus();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast(t("drawer.copied"));
  } catch {
    toast(t("drawer.notCopied"), "error"); // the text stands below, to be copied by hand
  }
}

const source = (word) => (word ? h("span", { class: "detail", text: t("drawer.from", { source: known("source", word) }) }) : null);

function facts(session) {
  const { deviceFacts: parts = {} } = session;
  const time = (value) => (value ? h("span", {}, moment(value), " ", h("span", { class: "detail", title: exact(value), text: brief(value) })) : null);
  const limit = (value) => (value ? h("span", { text: brief(value) }) : t("drawer.never"));
  const elsewhere = session.loginAddress && session.loginAddress !== session.ipAddress;
  const entries = [
    [t("drawer.handle"), h("code", { class: "address wrapped", text: session.sessionId })],
    [t("column.state"), session.logoutAt ? ending(session) : h("span", {}, t("session.live"), isCurrent(session) ? h("span", { class: "tag", text: t("session.current") }) : null)],
    [t("column.device"), h("span", {}, deviceName(session), " ", source(session.deviceSource))],
    [t("drawer.model"), [parts.brand, parts.model].filter(Boolean).join(" ") || session.device],
    [t("drawer.type"), known("device", session.deviceType || "unknown")],
    [t("drawer.agent"), session.userAgent],
    [t("column.place"), place(session.location)],
    [t("column.address"), h("span", {}, address(session), " ", source(session.addressSource))],
    [t("drawer.loginAddress"), elsewhere ? session.loginAddress : ""],
    [t("column.since"), time(session.loginAt)],
    [t("drawer.methods"), (session.methods ?? []).map((word) => known("method", word)).join(", ")],
    [t("drawer.authenticated"), session.authenticatedAt === session.loginAt ? null : time(session.authenticatedAt)],
    [t("column.last"), time(session.lastActivity)],
    [t("drawer.seen"), session.lastSeen && session.lastSeen !== session.lastActivity ? time(session.lastSeen) : null],
    [t("drawer.idleExpires"), session.logoutAt || session.idleExpiresAt === undefined ? "" : limit(session.idleExpiresAt)],
    [t("drawer.expires"), session.logoutAt ? "" : limit(session.expiresAt)],
    [t("drawer.remember"), session.rememberMe ? t("filter.yes") : ""],
    [t("facet.derived"), session.derived ? t("filter.yes") : ""],
    [t("facet.client"), session.client], [t("facet.tenant"), session.tenant],
    [t("facet.acted_by"), session.actedBy ? h("a", { href: personPath(session.actedBy), text: session.actedBy, dir: "auto" }) : ""],
    [t("drawer.ambiguous"), session.ambiguous ? t("filter.yes") : ""],
  ];
  return entries.filter(([, value]) => value).flatMap(([key, value]) => [h("dt", { text: key }), h("dd", { dir: "auto" }, value)]);
}

// What happened to it, in its order.
function timeline(session, actions) {
  const steps = [[session.loginAt, t("timeline.login"), [deviceName(session), place(session.location), session.loginAddress ?? session.ipAddress].filter(Boolean).join(" · ")]];
  if (session.authenticatedAt && session.authenticatedAt > session.loginAt) steps.push([session.authenticatedAt, t("timeline.authenticated"), (session.methods ?? []).join(", ")]);
  for (const { at, action, outcome, actor } of actions) {
    const by = actor?.id === null || actor?.id === undefined ? "" : actor.name || t("person.id", { id: actor.id });
    steps.push([at, known("action", action), [by && `${t("session.by")} ${by}`, outcome === "done" ? "" : known("outcome", outcome)].filter(Boolean).join(" · ")]);
  }
  if (session.logoutAt) steps.push([session.logoutAt, known("reason", session.endReason ?? "unknown"), session.endedByName ? `${t("session.by")} ${session.endedByName}` : ""]);
  else steps.push([session.lastActivity, t("timeline.activity"), ""]);
  steps.sort(([a], [b]) => Date.parse(a) - Date.parse(b));
  return h("ol", { class: "timeline" }, ...steps.map(([at, what, detail]) => h("li", {}, h("time", { datetime: at, title: exact(at), text: brief(at) }),
    h("span", { class: "two-lines" }, h("span", { class: "wrapped", text: what }), detail ? h("span", { class: "detail wrapped", text: detail, dir: "auto" }) : null))));
}
