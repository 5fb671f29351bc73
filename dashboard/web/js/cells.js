// The contents of cells: a person, a device, a place, a moment.

import { now } from "./clock.js";
import { h, icon } from "./dom.js";
import { ago, count, deviceName, exact, known, personName, place, t } from "./text.js";
import { isCurrent, isViewer } from "./viewer.js";
import { minutesOf } from "./windows.js";

let imageOrigins = [];

/** allowImages names the origins that pictures may come from besides the page's own. */
export function allowImages(origins) {
  imageOrigins = [location.origin, ...origins];
}

/** moment is a time that keeps telling how long ago it was. */
export function moment(time) {
  if (!time) return h("span", { class: "muted", text: "–" });
  return h("time", { datetime: time, title: exact(time), text: ago(time), "data-ago": time });
}

/** refreshMoments brings every shown moment up to date. */
export function refreshMoments() {
  const at = now();
  for (const node of document.querySelectorAll("time[data-ago]")) {
    const text = ago(node.dataset.ago, at);
    if (node.textContent !== text) node.textContent = text;
  }
}

/** personPath is the address of a person's page. */
export const personPath = (id) => `#/person/${encodeURIComponent(id)}`;

function initials(name) {
  const words = name.split(/[\s@._-]+/u).filter((word) => /^[\p{L}\p{N}]/u.test(word));
  return words.slice(0, 2).map((word) => [...word][0]).join("").toUpperCase() || "?";
}

// The shade follows from the id, so that a person keeps it.
function shade(id) {
  let sum = 0;
  for (const c of String(id)) sum = (sum * 31 + c.codePointAt(0)) % 997;
  return sum % 6;
}

function picture(url) {
  if (typeof url !== "string" || url === "") return null;
  let parsed;
  try {
    parsed = new URL(url, document.baseURI);
  } catch {
    return null;
  }
  if (!imageOrigins.includes(parsed.origin)) return null;
  const image = h("img", { src: parsed.href, alt: "", width: 28, height: 28, loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  image.addEventListener("error", () => image.remove());
  return image;
}

/** avatar is a person's picture where it may be shown, over the initials. */
export function avatar(user, id) {
  return h("span", { class: `avatar shade-${shade(id)}`, "aria-hidden": "true" },
    initials(personName(user, id)), picture(user?.pictureUrl ?? user?.avatar_url));
}

/** person is the link to somebody's page. */
export function person(user, id) {
  const name = personName(user, id);
  const detail = user?.email && user.email !== name ? user.email : t("person.id", { id });
  return h("span", { class: "person" }, avatar(user, id),
    h("span", { class: "two-lines" },
      h("span", { class: "line" }, h("a", { class: "name", href: personPath(id), text: name, dir: "auto" }),
        isViewer(id) ? h("span", { class: "tag", text: t("person.you") }) : null),
      h("span", { class: "detail", text: detail, dir: "auto" })));
}

const drawings = { desktop: "desktop", mobile: "mobile", tablet: "tablet", tv: "tv", bot: "bot", console: "console", wearable: "watch" };

/** sessionLink opens a session's drawer: the page listens for what it asks. */
export function sessionLink(sessionId, text, props = { class: "button is-row is-plain" }) {
  const button = h("button", { type: "button", text, "aria-haspopup": "dialog", ...props });
  button.addEventListener("click", () => button.dispatchEvent(new CustomEvent("opensession", { bubbles: true, detail: sessionId })));
  return button;
}

/** device is a session's device, and says where it is the viewer's own. */
export function device(session, extra = 0) {
  const type = session.deviceType || "unknown";
  const detail = [known("device", type), session.device].filter(Boolean).join(" · ");
  return h("span", { class: "with-icon", title: session.userAgent || null }, icon(drawings[type] ?? "unknown"),
    h("span", { class: "two-lines" },
      sessionLink(session.sessionId, deviceName(session), { class: "main", dir: "auto" }),
      h("span", { class: "under" },
        isCurrent(session) ? h("span", { class: "tag", text: t("session.current") }) : null,
        extra > 0 ? h("span", { class: "more", text: count("people.more", extra) }) : null,
        h("span", { class: "detail", text: detail, dir: "auto" }))));
}

/** where is a session's place. */
export function where(session) {
  const text = place(session.location);
  return h("span", { class: text ? "wrapped" : "muted", text: text || t("place.unknown"), dir: "auto" });
}

export function address(session) {
  return h("span", { class: session.ipAddress ? "address wrapped" : "muted", text: session.ipAddress ?? "–" });
}

/** status is the dot that says how active somebody is; its shade tells more than its name. */
export function status(word) {
  const name = presence(word);
  return h("span", { class: `dot is-${word}`, role: "img", "aria-label": name, title: name });
}

/** activity is a moment of activity, and what it says of somebody now. */
export const activity = (time) => h("span", { class: "activity" }, status(statusAt(time)), moment(time));

/** presence is the word for how active somebody is: online or away. */
export const presence = (word) => (word === "very_active" || word === "online" ? t("status.online") : t("status.away"));

/** statusAt judges a moment of activity by the host's windows. */
export function statusAt(time, at = now()) {
  const minutes = (at - new Date(time).getTime()) / 60000;
  return ["very_active", "online", "recently_active"].find((name) => minutes < minutesOf(name)) ?? "offline";
}

/** ending says why, when and by whom a session ended. */
export function ending(session) {
  const reason = known("reason", session.endReason ?? "unknown");
  return h("span", { class: "two-lines" },
    h("span", { class: "badge is-ended wrapped", text: reason }),
    h("span", { class: "detail wrapped" }, moment(session.logoutAt), ender(session)));
}

// Whoever signed out by themselves goes without saying.
function ender({ endedBy, endedByName, userId }) {
  if (endedBy === null || endedBy === undefined || String(endedBy) === String(userId)) return null;
  return h("span", {}, ` · ${t("session.by")} `,
    h("a", { class: "name", href: personPath(endedBy), text: endedByName || t("person.id", { id: endedBy }), dir: "auto" }));
}
