// What stands in the page's place while nobody may see it: sign-in, or why not.

import { h } from "./dom.js";
import { explain } from "./confirm.js";
import { known, t } from "./text.js";

function card(title, ...content) {
  return h("section", { class: "gate", "aria-labelledby": "gate-title" },
    h("span", { class: "brand-mark", "aria-hidden": "true" }), h("h1", { id: "gate-title", tabindex: -1, text: title }), ...content);
}

/** whySignedOut is the sentence for a 401 that was not the first one. */
export function whySignedOut(problem) {
  if (problem?.code !== "session_ended") return problem?.code === "token_expired" ? t("gate.expired") : t("gate.invalid");
  const reason = problem.reason ? known("reason", problem.reason) : "";
  return reason ? t("gate.endedBy", { reason }) : t("gate.ended");
}

/** signInGate asks for an account where the host has a path for it, or points to where people sign in. */
export function signInGate({ api, config, why, done }) {
  const note = why ? h("p", { class: "gate-why", role: "alert", text: why }) : null;
  if (config.loginPath) return card(t("gate.title"), note, form(api, done));
  if (config.signInPage) {
    return card(t("gate.title"), note, h("p", { text: t("gate.page.text") }), h("a", { class: "button is-primary", href: new URL(config.signInPage, document.baseURI).href, text: t("gate.page") }));
  }
  return card(t("gate.title"), note, h("p", { text: t("gate.none") }), h("button", { type: "button", class: "button is-primary", text: t("action.retry"), on: { click: done } }));
}

function form(api, done) {
  const email = h("input", { type: "email", id: "email", name: "email", autocomplete: "username", required: true, maxlength: 255 });
  const password = h("input", { type: "password", id: "password", name: "password", autocomplete: "current-password", required: true, maxlength: 255 });
  const error = h("p", { class: "gate-error", role: "alert" });
  const button = h("button", { type: "submit", class: "button is-primary", text: t("gate.signIn") });
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    error.textContent = "";
    try {
      await api.signIn(email.value, password.value);
      password.value = "";
      const problem = await done();
      if (problem?.status === 401) error.textContent = t("gate.refused");
    } catch (problem) {
      error.textContent = wrong(problem);
      password.select();
    } finally {
      button.disabled = false;
    }
  };
  return h("form", { class: "gate-form", on: { submit } },
    h("label", { for: "email", text: t("gate.email") }), email, h("label", { for: "password", text: t("gate.password") }), password, error, button);
}

function wrong(problem) {
  if (problem.status === 429) return t("gate.tooMany");
  return problem.status === 401 || problem.status === 400 ? t("gate.wrong") : explain(problem);
}

/** forbiddenGate is for people who are signed in and may not look: it leads to their own devices. */
export function forbiddenGate(signOut, devicesPage) {
  return card(t("gate.forbidden"), h("p", { text: devicesPage ? t("gate.devices.text") : t("gate.forbidden.text") }),
    devicesPage && h("a", { class: "button is-primary", href: new URL(devicesPage, document.baseURI).href, text: t("gate.devices") }),
    signOut && h("button", { type: "button", class: "button", text: t("action.signOut"), on: { click: signOut } }));
}

/** failedGate is for a server that does not answer. */
export function failedGate(problem, retry) {
  return card(t("gate.failed"), h("p", { text: explain(problem) }), h("button", { type: "button", class: "button is-primary", text: t("action.retry"), on: { click: retry } }));
}
