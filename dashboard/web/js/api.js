// The HTTP API. Credentials live in this module's memory only and travel as
// headers only, to the page's own origin.

import { learn } from "./clock.js";
import { seen } from "./dom.js";
import { learnProtected } from "./viewer.js";

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
 * @typedef {Asking & {method?: string, body?: unknown, headers?: Record<string, string>, own?: boolean}} Sending
 */

const none = { token: null, sessionId: null };

// What tells that a person is at the page.
const touches = ["pointerdown", "keydown", "wheel", "touchmove"];

/**
 * API emits "refused" with the Problem of a 401 and "forbidden" with that of a list which
 * is not for the caller any more; "failed" with the path and the Problem of a question
 * that the server could not answer, and "fine" with the path of one that it did.
 *
 * The methods that read take {signal, timed}. A request that a timer sends is timed: the
 * server does not count it as activity, or an untouched page would keep its session alive.
 */
export class API extends EventTarget {
  #config;
  #credentials = none; // another object after each change, a cookie's included
  #loadCredentials = null;
  #loading = null;
  #touched = false; // since the last request that counts as activity

  constructor(config) {
    super();
    this.#config = config;
    const touched = () => { this.#touched = true; };
    for (const type of touches) window.addEventListener(type, touched, { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => { if (seen()) touched(); });
  }

  /** use keeps credentials: {token, sessionId}, or null to rely on the cookie. */
  use(credentials) {
    const { token, sessionId } = credentials ?? {};
    const text = (value) => (typeof value === "string" && value !== "" ? value : null);
    const given = { token: text(token), sessionId: text(sessionId) };
    const before = this.#credentials;
    if (given.token !== before.token || given.sessionId !== before.sessionId) this.#credentials = given;
  }

  /** renew says that the cookie may be another one from now on. */
  renew() { this.#credentials = { ...this.#credentials }; }

  /** loadWith names a function that brings credentials, at once and when they are refused. */
  async loadWith(load) {
    this.#loadCredentials = load;
    await this.#reload(this.#credentials);
  }

  // One load serves all who wait for it; what came from elsewhere meanwhile stays.
  async #reload(refused) {
    this.#loading ??= this.#loadCredentials().finally(() => { this.#loading = null; });
    const given = await this.#loading;
    if (this.#credentials === refused) this.use(given);
  }

  /**
   * request fetches with the credentials; it throws a Problem for what is not a success.
   * own is for what concerns the session that is used now and no other.
   * @param {string} path
   * @param {Sending} [sending]
   */
  async request(path, { method = "GET", body, signal, headers = {}, own = false, timed = false } = {}, load = true) {
    const sent = this.#credentials;
    if (timed && !this.#touched) headers = { ...headers, "X-Session-Passive": "true" };
    else this.#touched = false;
    const answer = await this.#fetch(path, { method, body, signal, headers });
    if (answer.ok) {
      if (method === "GET") this.#tell("fine", { path: question(path) });
      return answer;
    }
    const problem = await problemOf(answer);
    if (problem.status >= 500 && method === "GET") this.#failed(path, problem);
    if (problem.status === 401 && !(own && this.#credentials !== sent)) {
      // A refusal says nothing of credentials that came while it was on its way.
      if (this.#credentials !== sent) return this.request(path, { method, body, signal, headers, own, timed }, load);
      if (load && this.#loadCredentials) {
        await this.#reload(sent);
        return this.request(path, { method, body, signal, headers, timed }, false);
      }
      this.#tell("refused", problem);
    }
    throw problem;
  }

  #tell(type, detail) { this.dispatchEvent(new CustomEvent(type, { detail })); }

  #failed(path, problem) { this.#tell("failed", { path: question(path), problem }); }

  /**
   * @param {string} path
   * @param {Sending} sending
   */
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
      const problem = new Problem(0);
      if (method === "GET") this.#failed(path, problem);
      throw problem;
    }
  }

  async #json(path, options) {
    const answer = await this.request(path, options);
    if (answer.status === 204) return {};
    return answer.json().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Problem(error instanceof SyntaxError ? answer.status : 0); // not ours, or cut off
    });
  }

  // Whoever may not ask for a list may not look at one any longer. That a single session
  // may not be ended says no such thing.
  /**
   * @param {string} path
   * @param {Sending} options
   * @returns {Promise<any>}
   */
  async #admin(path, options = {}) {
    const sent = this.#credentials;
    try {
      return await this.#json(this.#config.adminPath + path, options);
    } catch (problem) {
      const reads = (options.method ?? "GET") === "GET";
      if (reads && problem.status === 403 && sent === this.#credentials) this.#tell("forbidden", problem);
      throw problem;
    }
  }

  #online(path, options) { return this.#json(this.#config.onlinePath + path, options); }

  /** @param {Asking} [options] */
  stats(options) { return this.#online("stats", options); }

  history(query, options) { return this.#online(`history?${new URLSearchParams(query)}`, options); }

  /**
   * active is how many different people came by day, week and month; nothing where the
   * server does not count them.
   * @param {string} zone
   */
  active(zone) { return this.#online(`active?range=month${zone && `&tz=${encodeURIComponent(zone)}`}`, { timed: true }).catch(() => null); }

  /**
   * people are the active sessions in the order of their people's latest activity.
   * @param {Record<string, any>} query
   * @param {Asking} [options]
   * @returns {Promise<Answer<Session>>}
   */
  people(query, options) { return this.#admin(`active-users?${new URLSearchParams(query)}`, options); }

  /**
   * sessions are those that a filter selects.
   * @param {Record<string, any>} query
   * @param {Asking} [options]
   * @returns {Promise<Answer<Session>>}
   */
  sessions(query, options) { return this.#admin(`sessions?${new URLSearchParams(query)}`, options); }

  /**
   * count is how many a filter selects: {count, exact, users, preview}.
   * @param {Record<string, any>} query
   * @param {Asking} [options]
   */
  async count(query, options) { return (await this.#admin(`sessions/count?${new URLSearchParams(query)}`, options)).data; }

  /**
   * audit is what was done to sessions, and by whom.
   * @param {Record<string, any>} query
   * @param {Asking} [options]
   * @returns {Promise<Answer<any>>}
   */
  audit(query, options) { return this.#admin(`audit?${new URLSearchParams(query)}`, options); }

  /**
   * now is who is online by a fact: [{name, users}]; null where the server does not tell.
   * @param {string} by
   * @param {Asking} [options]
   */
  async now(by, options) { return (await this.#online(`now?by=${by}`, options).catch(() => ({}))).online ?? null; }

  /**
   * sessionsOf are one person's.
   * @param {UserID} userId
   * @param {Record<string, any>} query
   * @param {Asking} [options]
   * @returns {Promise<Answer<Session>>}
   */
  async sessionsOf(userId, query, options) {
    const answer = await this.#admin(`user/${encodeURIComponent(userId)}/sessions?${new URLSearchParams(query)}`, options);
    learnProtected(userId, answer.protected);
    return answer;
  }

  /**
   * session is what has become of one session, or null where it is not kept any more.
   * @param {{sessionId: string}} session
   * @param {Asking} [options]
   */
  async session({ sessionId }, options) {
    try {
      return (await this.#admin(`sessions/${encodeURIComponent(sessionId)}`, options)).data;
    } catch (problem) {
      if (problem.status === 404) return null;
      throw problem;
    }
  }

  /**
   * mine are the viewer's own sessions, with current set in the one that is used.
   * @param {Asking} [options]
   */
  mine(options) { return this.#online("sessions?limit=100", options); }

  /** endMany ends {ids} or what a {preview} showed: {ended, skipped, more}. */
  endMany(body) { return this.#admin("sessions/end", { method: "POST", body }); }

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
    await this.#json(this.#config.logoutPath, { method: "POST", own: true });
  }
}

const question = (path) => path.split("?")[0];

async function problemOf(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Problem(answer.status, body ?? {}, Number(answer.headers.get("Retry-After")) || 0);
}
