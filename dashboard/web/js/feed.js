// What just happened, newest first.

import { h, icon } from "./dom.js";
import { moment, personPath } from "./cells.js";
import { now } from "./clock.js";
import { count, deviceName, known, personName, place, t } from "./text.js";

const longest = 100;

/** Feed keeps the latest events for as long as the page is open. */
export class Feed {
  #items = [];
  #waiting = [];
  #frame = 0;
  #list = h("ol", { class: "feed-list", hidden: true, tabindex: 0, "aria-label": t("feed.title") });
  #empty = h("p", { class: "feed-empty", text: t("feed.empty") });
  #held = h("p", { class: "feed-held", hidden: true });
  #over = false;

  constructor() {
    this.element = h("section", { class: "panel feed", "aria-labelledby": "feed-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "feed-title", text: t("feed.title") }), this.#held),
      this.#empty, this.#list);
    // Nothing moves under the pointer or the focus.
    for (const [type, over] of [["pointerenter", true], ["pointerleave", false], ["focusin", true], ["focusout", false]]) {
      this.#list.addEventListener(type, () => { this.#over = over; this.#schedule(); });
    }
  }

  /** add takes an event of the stream; other kinds than these four are not shown. */
  add(event) {
    if (!["login", "logout", "online", "offline"].includes(event.type)) return;
    this.#waiting.push(event);
    if (this.#waiting.length > longest) this.#waiting.shift();
    this.#schedule();
  }

  /** shown says that the feed is in the page again: what was over it may be no more. */
  shown() {
    this.#over = this.#list.matches(":hover") || this.#list.contains(document.activeElement);
    this.#schedule();
  }

  /** gap says that events were missed. */
  gap() {
    this.#waiting.push({ type: "gap", timestamp: new Date(now()).toISOString() });
    this.#schedule();
  }

  #schedule() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  #draw() {
    this.#held.hidden = !this.#over || this.#waiting.length === 0;
    if (this.#over) {
      this.#held.textContent = count("feed.held", this.#waiting.length);
      return;
    }
    const fresh = this.#waiting.map(entry).reverse();
    this.#waiting = [];
    this.#list.prepend(...fresh);
    this.#items.unshift(...fresh);
    for (const old of this.#items.splice(longest)) old.remove();
    this.#empty.hidden = this.#items.length > 0;
    this.#list.hidden = this.#items.length === 0;
  }
}

function entry(event) {
  if (event.type === "gap") return h("li", { class: "feed-gap" }, h("span", { text: t("feed.gap") }));
  const { session } = event;
  const user = session?.user ?? event.user;
  const id = session?.userId ?? user?.user_id ?? user?.id;
  return h("li", { class: `feed-item is-${event.type}` },
    h("span", { class: "feed-icon" }, icon(event.type)),
    h("span", { class: "feed-text" },
      h("span", { class: "line" },
        h("a", { class: "name", href: personPath(id), text: personName(user, id), dir: "auto" }),
        h("span", { class: "verb", text: verb(event) })),
      h("span", { class: "detail", text: detail(event), dir: "auto" })),
    moment(event.timestamp));
}

function verb({ type, session }) {
  return type === "logout" && session.endReason !== "logout" ? t("feed.ended") : t(`feed.${type}`);
}

function detail({ type, session, user }) {
  if (type === "logout") {
    const why = session.endReason === "logout" ? "" : known("reason", session.endReason ?? "unknown");
    return [why, deviceName(session), place(session.location)].filter(Boolean).join(" · ");
  }
  if (type === "login") return [deviceName(session), place(session.location)].filter(Boolean).join(" · ");
  return user?.session_count ? count("sessions", user.session_count) : "";
}
