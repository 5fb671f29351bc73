// What just happened, newest first.

import { h, icon, paced, setText } from "./dom.js";
import { moment, personPath } from "./cells.js";
import { now } from "./clock.js";
import { count, deviceName, known, personName, place, t } from "./text.js";

const longest = 100;
const pause = 250;
// More than so many at once are not read as they come: what is shown then stays for a
// while.
const crowd = 12;
const restFor = 3000;
// What a list has not told of a sign-in by then, nobody knows.
const tries = 2;

/** Feed keeps the latest events for as long as the page is open. */
export class Feed {
  #items = [];
  #waiting = [];
  #list = h("ol", { class: "feed-list", hidden: true, tabindex: 0, "aria-label": t("feed.title") });
  #empty = h("p", { class: "feed-empty", text: t("feed.empty") });
  #held = h("p", { class: "feed-held", hidden: true });
  #over = false;
  #paused = false;
  #skipped = 0; // events that were not kept
  #restUntil = 0;
  #pause = h("button", { type: "button", class: "button is-quiet is-small", "aria-pressed": "false", text: t("action.pause"), on: { click: () => this.#toggle() } });
  #bare = new Map(); // sign-ins told before their device and place were known, by session

  constructor() {
    this.element = h("section", { class: "panel feed", "aria-labelledby": "feed-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "feed-title", text: t("feed.title") }), this.#held, this.#pause),
      this.#empty, this.#list);
    // Nothing moves under the pointer or the focus.
    for (const [type, over] of Object.entries({ pointerenter: true, pointerleave: false, focusin: true, focusout: false })) {
      this.#list.addEventListener(type, () => { this.#over = over; this.#schedule(); });
    }
  }

  /** add takes an event of the stream; other kinds than these four are not shown. */
  add(event) {
    if (!["login", "logout", "online", "offline"].includes(event.type)) return;
    this.#waiting.push(event);
    if (this.#waiting.length > longest) {
      this.#waiting.shift();
      this.#skipped++;
    }
    if (event.type === "login" && isBare(event.session)) this.#bare.set(event.session.sessionId, { event, left: tries });
    if (this.#bare.size > longest) this.#bare.delete(this.#bare.keys().next().value);
    this.#schedule();
  }

  /** lacks says whether there are sign-ins that a list may tell more of. */
  get lacks() { return this.#bare.size > 0; }

  /** learn takes a list of sessions, which know more than their sign-in did. */
  learn(sessions) {
    for (const session of sessions) {
      const bare = this.#bare.get(session.sessionId);
      if (!bare || isBare(session)) continue;
      Object.assign(bare.event, { session });
      const item = this.#items.find((node) => node.dataset.session === session.sessionId);
      if (item) setText(item.querySelector(".detail"), detail(bare.event));
      this.#bare.delete(session.sessionId);
    }
    for (const [id, bare] of this.#bare) if (--bare.left <= 0) this.#bare.delete(id);
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

  #schedule = paced(() => this.#draw(), pause);

  #toggle() {
    this.#paused = !this.#paused;
    this.#pause.setAttribute("aria-pressed", String(this.#paused));
    setText(this.#pause, this.#paused ? t("action.resume") : t("action.pause"));
    this.#schedule();
  }

  #draw() {
    const still = this.#over || this.#paused;
    const waiting = this.#waiting.length + this.#skipped;
    this.#held.hidden = !still || waiting === 0;
    if (still) {
      this.#held.textContent = count("feed.held", waiting);
      return;
    }
    const rest = this.#restUntil - performance.now();
    if (rest > 0) {
      setTimeout(this.#schedule, rest);
      return;
    }
    const fresh = this.#take();
    this.#list.classList.toggle("is-crowded", fresh.length > crowd);
    if (fresh.length > crowd) this.#restUntil = performance.now() + restFor;
    this.#list.prepend(...fresh);
    this.#items.unshift(...fresh);
    for (const old of this.#items.splice(longest + 1)) old.remove();
    this.#empty.hidden = this.#items.length > 0;
    this.#list.hidden = this.#items.length === 0;
  }

  // The newest first. What did not fit is counted.
  #take() {
    const fresh = this.#waiting.map(entry).reverse();
    if (this.#skipped > 0) fresh.push(h("li", { class: "feed-gap" }, h("span", { text: count("feed.more", this.#skipped) })));
    this.#waiting = [];
    this.#skipped = 0;
    return fresh;
  }
}

function entry(event) {
  if (event.type === "gap") return h("li", { class: "feed-gap" }, h("span", { text: t("feed.gap") }));
  const { session } = event;
  const user = session?.user ?? event.user;
  const id = session?.userId ?? user?.user_id ?? user?.id;
  return h("li", { class: `feed-item is-${event.type}`, "data-session": event.type === "login" ? session.sessionId : null },
    h("span", { class: "feed-icon" }, icon(event.type)),
    h("span", { class: "feed-text" },
      h("span", { class: "line" },
        h("a", { class: "name", href: personPath(id), text: personName(user, id), dir: "auto" }),
        h("span", { class: "verb", text: verb(event) })),
      h("span", { class: "detail", text: detail(event), dir: "auto" })),
    moment(event.timestamp));
}

const isBare = (session) => !session.browser && !session.os && !session.location;

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
