// The HTTP API. Credentials live in this module's memory only and travel as
// headers only, to the page's own origin.

import { learn } from "./clock.js";

/** Problem is a refusal or a failure; status 0 means that nobody answered. */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = 0) {
    super(body.detail || body.title || `status ${status}`);
    this.status = status;
    this.code = body.code || "";
    this.reason = body.reason || "";
    this.retryAfter = retryAfter;
  }
}

/**
 * API emits "refused" with the Problem of a 401, "away" with the one of a server that
 * cannot reach its sessions, and "fine" when it answers.
 */
export class API extends EventTarget {
  #config;
  #credentials = null;
  #loadCredentials = null;

  constructor(config) {
    super();
    this.#config = config;
  }

  /** use keeps credentials: {token, sessionId}, or null to rely on the cookie. */
  use(credentials) {
    const { token, sessionId } = credentials ?? {};
    const text = (value) => (typeof value === "string" && value !== "" ? value : null);
    this.#credentials = text(token) || text(sessionId) ? { token: text(token), sessionId: text(sessionId) } : null;
  }

  /** loadWith names a function that brings credentials, at once and when they are refused. */
  async loadWith(load) {
    this.#loadCredentials = load;
    this.use(await load());
  }

  /** request fetches with the credentials; it throws a Problem for what is not a success. */
  async request(path, { method = "GET", body, signal, headers = {} } = {}, load = true) {
    const sent = this.#credentials;
    const answer = await this.#fetch(path, { method, body, signal, headers });
    if (answer.ok) {
      if (method === "GET") this.#tell("fine");
      return answer;
    }
    const problem = await problemOf(answer);
    if (problem.code === "store_unavailable") this.#tell("away", problem);
    if (problem.status === 401) {
      // A refusal says nothing of credentials that came while it was on its way.
      if (this.#credentials && this.#credentials !== sent) return this.request(path, { method, body, signal, headers }, load);
      if (load && this.#loadCredentials) {
        this.use(await this.#loadCredentials());
        return this.request(path, { method, body, signal, headers }, false);
      }
      this.#tell("refused", problem);
    }
    throw problem;
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  async #fetch(path, { method, body, signal, headers }) {
    const all = new Headers(headers);
    if (this.#credentials?.token) all.set("Authorization", `Bearer ${this.#credentials.token}`);
    if (this.#credentials?.sessionId) all.set(this.#config.sessionHeader, this.#credentials.sessionId);
    if (body !== undefined) all.set("Content-Type", "application/json");
    const asked = Date.now();
    try {
      const answer = await fetch(new URL(path, document.baseURI), {
        method, signal, headers: all, body: body === undefined ? undefined : JSON.stringify(body),
        cache: "no-store", credentials: "same-origin", redirect: "error", referrerPolicy: "no-referrer",
      });
      learn(answer.headers.get("Date"), asked);
      return answer;
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0);
    }
  }

  async #json(path, options) {
    const answer = await this.request(path, options);
    return answer.status === 204 ? {} : answer.json();
  }

  #admin(path, options) { return this.#json(this.#config.adminPath + path, options); }

  #online(path, options) { return this.#json(this.#config.onlinePath + path, options); }

  stats(signal) { return this.#online("stats", { signal }); }

  history(query, signal) { return this.#online(`history?${new URLSearchParams(query)}`, { signal }); }

  sessions(query, signal) { return this.#admin(`active-users?${new URLSearchParams(query)}`, { signal }); }

  sessionsOf(userId, query, signal) {
    return this.#admin(`user/${encodeURIComponent(userId)}/sessions?${new URLSearchParams(query)}`, { signal });
  }

  endSession(sessionId) { return this.#admin(`force-logout/${encodeURIComponent(sessionId)}`, { method: "POST" }); }

  endUser(userId) { return this.#admin(`force-logout-user/${encodeURIComponent(userId)}`, { method: "POST" }); }

  /** events opens the live stream; the caller reads the answer's body. */
  events(lastEventId, signal) {
    const headers = { Accept: "text/event-stream" };
    if (lastEventId) headers["Last-Event-ID"] = lastEventId;
    return this.request(`${this.#config.onlinePath}events`, { headers, signal });
  }

  /** signIn asks the host's sign-in; what it answers is kept here, or in the host's cookie. */
  async signIn(email, password) {
    const answer = await this.#fetch(this.#config.loginPath, { method: "POST", body: { email, password }, headers: {} });
    if (!answer.ok) throw await problemOf(answer);
    const body = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    this.use({ token: body.token?.token ?? body.token, sessionId: body.sessionId });
  }

  async signOut() {
    await this.#json(this.#config.logoutPath, { method: "POST" });
    this.use(null);
  }
}

async function problemOf(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Problem(answer.status, body ?? {}, Number(answer.headers.get("Retry-After")) || 0);
}
