// Ending sessions: first the question, whom and what; then what came of it.

import { now } from "./clock.js";
import { byId, h, setText } from "./dom.js";
import { count, deviceName, known, personName, place, t } from "./text.js";

/** toast says what happened, to eyes and to screen readers. */
export function toast(text, kind = "done") {
  const node = h("div", { class: `toast is-${kind}`, text });
  byId("toasts").append(node);
  setTimeout(() => node.remove(), kind === "error" ? 10000 : 6000);
}

// Whoever meant to press once may press twice.
const twice = 400;

let asked = null; // the session that the open dialog is about
let askedAt = 0;

function warn(text) {
  byId("confirm-warning").hidden = !text;
  setText(byId("confirm-warning"), text);
}

/** ask opens the dialog and resolves to whether it was confirmed. */
function ask({ title, text, facts, warning, action, session = null }) {
  const dialog = byId("confirm");
  const near = document.activeElement?.closest("tr, section");
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  byId("confirm-facts").replaceChildren(...facts.filter(([, value]) => value).flatMap(([label, value]) =>
    [h("dt", { text: label }), h("dd", { text: value, dir: "auto" })]));
  warn(warning || "");
  setText(byId("confirm-do"), action);
  byId("confirm-do").disabled = false;
  asked = session;
  askedAt = performance.now();
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
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
  if (document.activeElement === byId("confirm-do")) byId("confirm").querySelector("button").focus();
  byId("confirm-do").disabled = true;
  warn(endedBefore(session));
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

// The page itself says that its own sign-in is over.
function failed(problem) {
  if (problem.status !== 401) toast(explain(problem), "error");
  return null;
}

/** endSession asks, ends one session, and returns what it is now; null where nothing was ended. */
export async function endSession(api, session) {
  const name = personName(session.user, session.userId);
  const confirmed = await ask({
    title: t("confirm.session.title", { name }),
    text: t("confirm.session.text"),
    facts: [
      [t("column.person"), [name, session.user?.email].filter((v, i, all) => v && all.indexOf(v) === i).join(" · ")],
      [t("column.device"), deviceName(session)],
      [t("column.place"), place(session.location)],
      [t("column.address"), session.ipAddress],
    ],
    warning: session.current ? t("confirm.own") : "",
    action: t("action.logout"),
    session: session.sessionId,
  });
  if (!confirmed) return null;
  try {
    const { data } = await api.endSession(session.sessionId);
    toast(data?.endReason && data.endReason !== "admin" ? endedBefore(data) : t("done.session", { name }));
    return data ?? { ...session, isActive: false, logoutAt: new Date(now()).toISOString(), endReason: "admin" };
  } catch (problem) {
    return failed(problem);
  }
}

/** endUser asks, ends all of a person's sessions, and says how many they were. */
export async function endUser(api, { id, user, sessions, own }) {
  const name = personName(user, id);
  const confirmed = await ask({
    title: t("confirm.user.title", { name }),
    text: t("confirm.user.text"),
    facts: [
      [t("column.person"), [name, user?.email].filter((v, i, all) => v && all.indexOf(v) === i).join(" · ")],
      [t("column.sessions"), sessions ? count("sessions", sessions) : ""],
    ],
    warning: own ? t("confirm.own") : "",
    action: t("action.logoutAll"),
  });
  if (!confirmed) return null;
  try {
    const answer = await api.endUser(id);
    const ended = answer.data?.ended ?? 0;
    toast(ended === 0 ? t("done.user.none", { name }) : t("done.user", { name, sessions: count("sessions", ended) }));
    return ended;
  } catch (problem) {
    return failed(problem);
  }
}
