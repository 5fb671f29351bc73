// Ending sessions: first the question, whom and what; then what came of it.

import { now } from "./clock.js";
import { byId, h, setText } from "./dom.js";
import { count, deviceName, known, personName, place, t } from "./text.js";
import { isCurrent, isProtected, isViewer, learnProtected } from "./viewer.js";

/** toast says what happened, to eyes and to screen readers. */
export function toast(text, kind = "done") {
  const before = [...byId("toasts").children].find((one) => one.textContent === text);
  before?.remove(); // once is enough
  const node = h("div", { class: `toast is-${kind}`, text });
  byId("toasts").append(node);
  const timer = setTimeout(() => node.remove(), kind === "error" ? 10000 : 6000);
  return { node, timer };
}

let ends = null; // the toast that counts ends, and how many it has counted

// Many ends one after the other are told by one toast.
function toldOfEnds(text, ended) {
  const earlier = ends?.node.isConnected ? ends : null;
  const total = (earlier?.total ?? 0) + ended;
  if (earlier) {
    clearTimeout(earlier.timer);
    earlier.node.remove();
  }
  ends = { ...toast(earlier ? t("done.sessions", { sessions: count("sessions", total) }) : text), total };
}

// Whoever meant to press once may press twice.
const twice = 400;

let asked = null; // the session that the open dialog is about
let askedAt = 0;

function warn(text) {
  byId("confirm-warning").hidden = !text;
  setText(byId("confirm-warning"), text);
}

const facts = (entries) => entries.filter(([, value]) => value).flatMap(([label, value]) =>
  [h("dt", { text: label }), h("dd", { dir: "auto" }, value)]);

/**
 * ask opens the dialog and resolves to whether it was confirmed. Meanwhile look asks the
 * server what the answer will be about: it resolves to {title, entries, warning, barred},
 * which are shown as soon as they are known. What is barred cannot be confirmed, nor what
 * waits for the server's answer before it is there.
 * @param {{title: string, text: string, entries: any[], warning?: string, barred?: boolean, waits?: boolean, action: string, session?: string | null, look: (signal: AbortSignal) => Promise<any>}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, entries, warning, barred, waits = false, action, session = null, look }) {
  const dialog = byId("confirm");
  const near = document.activeElement?.closest("tr, section");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  byId("confirm-facts").replaceChildren(...facts(entries));
  warn(warning || "");
  setText(byId("confirm-do"), action);
  byId("confirm-do").disabled = barred || waits;
  asked = session;
  askedAt = performance.now();
  dialog.returnValue = "";
  dialog.showModal();
  const looking = new AbortController();
  look(looking.signal).then((found) => {
    if (!found || looking.signal.aborted) return;
    if (found.title) setText(byId("confirm-title"), found.title);
    byId("confirm-facts").replaceChildren(...facts(found.entries));
    if (waits) byId("confirm-do").disabled = false;
    if (byId("confirm-do").disabled) return; // nothing is left to confirm, and why is said
    warn(found.warning || "");
    if (found.barred) bar();
  }).catch((problem) => { // what is shown already stays
    if (waits && !looking.signal.aborted) warn(explain(problem));
  });
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      looking.abort();
      asked = null;
      focusNear(near);
      resolve(dialog.returnValue === "confirm");
    }, { once: true });
  });
}

// The browser gives the focus back to the button that asked. Where that has gone
// meanwhile, it goes to what is left beside it.
function focusNear(near) {
  const at = document.activeElement;
  if (at && at !== document.body && !byId("confirm").contains(at)) return;
  const left = near?.isConnected ? near.querySelector("a[href], button:not(:disabled)") : null;
  (left ?? document.querySelector("#view h1"))?.focus({ preventScroll: true });
}

/** endedMeanwhile takes a session that has ended: nothing is left to confirm where the dialog asks about it. */
export function endedMeanwhile(session) {
  if (asked !== session.sessionId) return;
  bar();
  warn(endedBefore(session));
}

function bar() {
  if (document.activeElement === byId("confirm-do")) byId("confirm").querySelector("button").focus();
  byId("confirm-do").disabled = true;
}

const endedBefore = (session) => t("done.before", { reason: known("reason", session.endReason ?? "unknown") });

// A key answers as soon as it likes; its click has no count.
const answers = (event) => event.detail === 0 || performance.now() - askedAt >= twice;

/** wireDialog makes the dialog's two buttons close it with their answer. */
export function wireDialog() {
  const dialog = byId("confirm");
  for (const button of dialog.querySelectorAll("button")) {
    button.addEventListener("click", (event) => {
      if (answers(event)) dialog.close(button.value);
    });
  }
  // A click beside the dialog is a no.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && answers(event)) dialog.close("cancel");
  });
}

/** explain is the text for a problem: the code's own, or a general one. */
export function explain(problem) {
  if (problem.status === 0) return t("problem.unreachable");
  const text = known("problem", problem.code);
  return text === problem.code ? t("problem.failed") : text;
}

// What failed is said with the reason. The page itself says that its own sign-in is over.
function failed(problem, name, id) {
  if (problem.status === 403) learnProtected(id, true);
  if (problem.status !== 401) toast(t("done.failed", { name, problem: explain(problem) }), "error");
  return null;
}

const whom = (name, user) => [t("column.person"), [name, user?.email].filter((v, i, all) => v && all.indexOf(v) === i).join(" · ")];

// A warning, and whether there is nothing to confirm.
const warningOf = (id, own) => ({ warning: isProtected(id) ? t("confirm.refused") : own, barred: isProtected(id) });

/** endSession asks, ends one session, and returns what it is now; null where nothing was ended. */
export async function endSession(api, session) {
  const name = personName(session.user, session.userId);
  const entries = (row) => [
    whom(name, session.user), [t("column.device"), deviceName(row)], [t("column.place"), place(row.location)], [t("column.address"), row.ipAddress],
  ];
  const about = (row) => ({ entries: entries(row), ...warningOf(session.userId, isCurrent(row) ? t("confirm.own") : "") });
  const confirmed = await ask({
    title: t("confirm.session.title", { name }), text: t("confirm.session.text"), action: t("action.end"),
    ...about(session), session: session.sessionId,
    look: async (signal) => {
      const [row] = await Promise.all([api.session(session, { signal }), api.sessionsOf(session.userId, { limit: 1 }, { signal })]);
      if (row?.logoutAt) endedMeanwhile(row);
      return row && !row.logoutAt ? about(row) : null;
    },
  });
  if (!confirmed) return null;
  try {
    const { data } = await api.endSession(session.sessionId);
    if (data?.endReason && data.endReason !== "admin") toast(endedBefore(data));
    else toldOfEnds(t("done.session", { name }), 1);
    return data ?? { ...session, isActive: false, logoutAt: new Date(now()).toISOString(), endReason: "admin" };
  } catch (problem) {
    return failed(problem, name, session.userId);
  }
}

const listed = 6;

// What will end, by device and place, the viewer's own session first.
function listOf(sessions, more) {
  const own = (session) => Number(isCurrent(session));
  const items = sessions.toSorted((a, b) => own(b) - own(a)).slice(0, listed).map((session) =>
    h("li", {}, [deviceName(session), place(session.location)].filter(Boolean).join(" · "),
      own(session) ? h("span", { class: "tag", text: t("session.current") }) : null));
  const rest = sessions.length - items.length;
  return h("ul", { class: "ending" }, ...items, more || rest > 0
    ? h("li", { class: "muted", text: more ? t("confirm.more") : count("people.more", rest) }) : null);
}

/** endUser asks, ends all of a person's sessions, and says how many they were. */
export async function endUser(api, { id, user }) {
  let name = personName(user, id);
  const confirmed = await ask({
    title: t("confirm.user.title", { name }), text: t("confirm.user.text"), action: t("action.endAll"),
    entries: [whom(name, user), [t("column.sessions"), t("list.loading")]],
    ...warningOf(id, isViewer(id) ? t("confirm.ownAll") : ""),
    look: async (signal) => {
      const { data, next } = await api.sessionsOf(id, { limit: 100 }, { signal });
      if (data.length > 0) name = personName(user ?? data[0].user, id);
      const entries = [whom(name, user ?? data[0]?.user), [t("column.sessions"), count("sessions", data.length)]];
      if (data.length > 0) entries.push([t("confirm.ends"), listOf(data, Boolean(next))]);
      return { title: t("confirm.user.title", { name }), entries, ...warningOf(id, data.some(isCurrent) ? t("confirm.ownAll") : "") };
    },
  });
  if (!confirmed) return null;
  try {
    const answer = await api.endUser(id);
    const ended = answer.data?.ended ?? 0;
    if (ended === 0) toast(t("done.user.none", { name }));
    else toldOfEnds(t("done.user", { name, sessions: count("sessions", ended) }), ended);
    return ended;
  } catch (problem) {
    return failed(problem, name, id);
  }
}
