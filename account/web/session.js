// The time left of a session: a warning before its end, a button that extends, the reason when it
// is over (WCAG 2.2.1). Asking is no activity. docs/pages.md has the options.
const english = {
  title: "You will be signed out soon",
  left: "Nothing has happened for a while. Time left: {time}.",
  limit: "Save your work: this cannot be put off. Time left: {time}.",
  extend: "Stay signed in", close: "Close", signIn: "Sign in again",
  over: "You have been signed out",
  why: {
    idle: "Nothing had happened for too long.", lifetime: "The time limit was reached.",
    admin: "An administrator ended the session.", password: "The password was changed.",
    user: "It was ended from another device.",
  },
};

export function watchSession(options = {}) {
  const { online = "/api/v1/online/", signIn, headers = () => ({}), onLeft, onWarn, onEnd } = options;
  const warn = Math.max(20, options.warn ?? 120), texts = { ...english, ...options.texts };
  const events = options.stream && new EventSource(`${online}events`);
  let timer, dialog, ends = Infinity, movable, stopped, dismissed;

  const ask = async (path, method) => {
    let known = false;
    try {
      const answer = await fetch(online + path, { method, headers: await headers(), cache: "no-store" });
      const body = await answer.json();
      if (answer.status === 401) return over(body.reason);
      if ((known = answer.ok)) learn(body);
    } catch { /* again soon */ }
    if (!stopped) next(known);
  };
  const learn = ({ now, idleExpiresAt: idle, expiresAt: limit }) => {
    const at = [idle, limit].filter(Boolean).map((t) => Date.parse(t) - Date.parse(now));
    ends = performance.now() + Math.min(...at);
    movable = idle && (!limit || Date.parse(idle) < Date.parse(limit));
  };
  // Each warning asks the server first: another tab may have extended.
  const next = (known) => {
    const left = Math.max(0, Math.round((ends - performance.now()) / 1000));
    onLeft?.(left);
    if (left > warn) hide(dismissed = false);
    else if (known) warning(left);
    clearTimeout(timer);
    timer = setTimeout(check, 1000 * (left > warn && known ? Math.min(left - warn + 1, 60) : Math.min(10, left + 1)));
  };
  const check = () => ask("me", "GET");
  const extend = () => ask("me/extend", "POST");

  const warning = (left) => {
    if (onWarn) return onWarn(left, movable ? extend : null);
    if (dismissed) return;
    const time = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    show(texts.title, (movable ? texts.left : texts.limit).replace("{time}", time),
      movable ? texts.extend : texts.close, movable ? extend : () => hide(dismissed = true));
  };
  const over = (reason = "") => {
    stop();
    if (onEnd) return onEnd(reason);
    show(texts.over, texts.why[reason] ?? "", signIn ? texts.signIn : texts.close,
      signIn ? () => location.assign(signIn) : hide);
  };
  const show = (...content) => {
    if (!dialog) {
      dialog = document.body.appendChild(document.createElement("dialog"));
      dialog.className = "session-warning";
      dialog.setAttribute("role", "alertdialog");
      for (const tag of ["h2", "p", "button"]) dialog.appendChild(document.createElement(tag)).id = `session-${tag}`;
      dialog.setAttribute("aria-labelledby", "session-h2");
      dialog.setAttribute("aria-describedby", "session-p");
    }
    for (const [i, element] of [...dialog.children].entries()) element.textContent = content[i];
    dialog.lastChild.onclick = content[3];
    if (!dialog.open) dialog.showModal();
  };
  const hide = () => dialog?.close();
  const seen = () => document.hidden || check();
  const stop = () => {
    stopped = true;
    clearTimeout(timer);
    events?.close?.();
    document.removeEventListener("visibilitychange", seen);
  };
  document.addEventListener("visibilitychange", seen);
  for (const name of ["ended", "expiring"]) events?.addEventListener?.(name, check);
  check();
  return { extend, stop };
}
