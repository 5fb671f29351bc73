// The page: who looks at it, which view, and the events for all of them.

import { API, Problem } from "./api.js";
import { allowImages, refreshMoments } from "./cells.js";
import { Chart } from "./chart.js";
import { now } from "./clock.js";
import { endedMeanwhile, explain, toast, wireDialog } from "./confirm.js";
import { Connection } from "./connection.js";
import { byId, h, seen } from "./dom.js";
import { Explorer, startingFilters } from "./explore.js";
import { Feed } from "./feed.js";
import { failedGate, forbiddenGate, signInGate, whySignedOut } from "./gate.js";
import { Patterns } from "./patterns.js";
import { Person } from "./person.js";
import { Stream } from "./stream.js";
import { direction, setLanguage, t } from "./text.js";
import { Tiles } from "./tiles.js";
import { learnViewer } from "./viewer.js";
import { learnWindows } from "./windows.js";

const momentsEvery = 5000;
const devicesAfter = 4000;
const weeksEvery = 120000;
const weeks = 28 * 86400 * 1000;

class Page {
  #config;
  #api;
  #stream;
  #connection;
  #tiles;
  #feed = new Feed();
  #view = null;
  #open = false;
  #asking = false; // the sign-in is what is shown
  #leaving = false;
  #entries = 0;
  #zone = "";
  #stats = null;
  #weeks = null;
  #filters = startingFilters();
  #from = "";
  #devices = 0;

  constructor(config) {
    this.#config = config;
    this.#api = new API(config);
    this.#stream = new Stream(this.#api);
    this.#connection = new Connection(this.#stream, this.#api);
    this.#tiles = new Tiles(byId("tiles"));
    this.#api.addEventListener("forbidden", () => { if (this.#open) this.#forbidden(); });
    this.#api.addEventListener("refused", ({ detail }) => this.#signedOut(detail));
    this.#stream.addEventListener("refused", ({ detail }) => (detail.status === 403 ? this.#forbidden() : this.#signedOut(detail)));
    this.#stream.addEventListener("event", ({ detail }) => this.#event(detail));
    window.addEventListener("hashchange", () => this.#route(true));
    window.addEventListener("message", (event) => this.#handed(event));
    byId("banner-retry").addEventListener("click", () => this.#seen());
    byId("sign-out").addEventListener("click", () => this.#signOut());
    document.addEventListener("visibilitychange", () => this.#seen());
    setInterval(refreshMoments, momentsEvery);
    setInterval(() => { if (this.#open && seen()) this.#learnWeeks(true); }, weeksEvery);
  }

  async start() {
    if (this.#config.credentials) {
      const host = await import(new URL(this.#config.credentials, document.baseURI).href).catch(() => null);
      if (!host) return this.#gate(failedGate(new Problem(0), () => location.reload()));
      await this.#api.loadWith(async () => {
        try {
          return await host.default();
        } catch {
          return null; // the host has none to give: its sign-in is shown
        }
      });
    }
    window.opener?.postMessage({ type: "sessiontrack:ready" }, location.origin);
    await this.#enter();
  }

  // Credentials come from a window of the page's own origin, or not at all.
  #handed(event) {
    if (event.origin !== location.origin || event.data?.type !== "sessiontrack:credentials") return;
    this.#api.use(event.data);
    this.#enter();
  }

  // An administrator is whom the list of sessions is shown to. It returns the problem
  // of whoever may not enter. Of two that overlap only the later one counts.
  async #enter() {
    const entry = ++this.#entries;
    this.#api.renew();
    try {
      const [stats, mine] = await Promise.all([this.#api.stats(), this.#api.mine(), this.#api.sessions({ limit: 1 })]);
      if (entry !== this.#entries) return null;
      this.#stats = stats;
      learnWindows(stats.windows);
      learnViewer(mine);
    } catch (problem) {
      if (entry !== this.#entries) return null;
      if (problem.status === 401) this.#signedOut(problem);
      else if (problem.status === 403) this.#forbidden();
      else this.#gate(failedGate(problem, () => this.#enter()));
      return problem;
    }
    this.#open = true;
    this.#asking = false;
    byId("nav").hidden = false;
    byId("tiles").hidden = false;
    byId("sign-out").hidden = !this.#config.logoutPath;
    this.#tiles.show(this.#stats, this.#zone);
    this.#stream.start();
    this.#route(byId("view").contains(document.activeElement)); // the sign-in's place is taken
    this.#learnWeeks();
    return null;
  }

  // The last weeks show at which hours people sign in, and tell the server's time
  // zone, which the hour of the peak is in. Without them both stay unsaid.
  async #learnWeeks(timed = false) {
    const to = new Date(now());
    const query = { from: new Date(to - weeks).toISOString(), to: to.toISOString(), step: "1d" };
    const entry = this.#entries;
    const history = await this.#api.history(query, { timed }).catch((problem) => {
      // Nothing else on the overview asks what only administrators may see.
      if (problem.status === 403) this.#api.sessions({ limit: 1 }, { timed }).catch(() => {});
      return null;
    });
    if (!history || !this.#open || entry !== this.#entries) return;
    this.#weeks = history;
    this.#zone = history.time_zone ?? "";
    this.#tiles.show(this.#stats, this.#zone);
    this.#view?.weeks?.(history);
  }

  #gate(content, asking = false) {
    this.#asking = asking;
    this.#entries++; // one that is on its way opens nothing
    this.#open = false;
    this.#stream.stop();
    this.#connection.hide();
    this.#leave();
    byId("confirm").close();
    for (const id of ["nav", "tiles", "sign-out"]) byId(id).hidden = true;
    this.#forget();
    document.title = t("page.title");
    byId("view").replaceChildren(content);
    (document.getElementById("email") ?? byId("gate-title")).focus();
  }

  // Whoever comes next sees nothing of what was shown to this one.
  #forget() {
    this.#filters = startingFilters();
    this.#feed = new Feed();
    this.#stats = this.#weeks = null;
    learnViewer(null);
    this.#zone = this.#from = "";
  }

  #askToSignIn(why) {
    this.#api.use(null);
    this.#gate(signInGate({ api: this.#api, config: this.#config, why, done: () => this.#enter() }), true);
  }

  #signedOut(problem) {
    if (this.#asking) return;
    const why = this.#open || problem?.code === "session_ended" ? whySignedOut(problem) : "";
    this.#askToSignIn(why);
  }

  #forbidden() {
    this.#gate(forbiddenGate(this.#config.logoutPath ? () => this.#signOut() : null));
  }

  async #signOut() {
    if (this.#leaving) return;
    this.#leaving = true;
    const entry = this.#entries;
    try {
      await this.#api.signOut();
    } catch (problem) {
      if (problem.status !== 401) return toast(explain(problem), "error");
    } finally {
      this.#leaving = false;
    }
    if (entry === this.#entries) this.#askToSignIn(""); // else somebody else has come, or is out already
  }

  #leave() {
    this.#view?.stop();
    this.#view = null;
  }

  #route(moved) {
    if (!this.#open) return;
    const [, name, argument] = location.hash.split("/");
    this.#leave();
    this.#connection.moved();
    let current = name || "overview";
    if (name === "people" || name === "sessions") this.#view = new Explorer(this.#api, name, this.#filters[name]);
    else if (name === "person" && argument) {
      this.#view = new Person(this.#api, decoded(argument), { from: this.#from, named: entitle });
    } else {
      current = "overview";
      this.#view = this.#overview();
    }
    if (current !== "person") {
      this.#from = current;
      entitle({ overview: t("nav.overview"), people: t("nav.people"), sessions: t("nav.sessions") }[current]);
    }
    document.body.dataset.view = current;
    byId("view").replaceChildren(this.#view.element);
    this.#view.start();
    for (const link of byId("nav").querySelectorAll("a")) {
      if (link.dataset.nav === current) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!moved) return;
    window.scrollTo(0, 0);
    byId("view").querySelector("h1")?.focus({ preventScroll: true });
  }

  #overview() {
    const chart = new Chart(this.#api);
    const patterns = new Patterns();
    if (this.#stats) chart.now(this.#stats);
    chart.addEventListener("history", async ({ detail }) => {
      patterns.show(detail);
      if (detail.shares?.device?.length > 0 || !this.#stats?.total_active_sessions) return;
      const { data } = await this.#api.sessions({ limit: 100 }, { timed: true }).catch(() => ({ data: [] }));
      if (this.#view?.element === element) patterns.show(detail, data);
    });
    chart.addEventListener("failed", ({ detail }) => patterns.fail(detail));
    if (this.#weeks) patterns.showWeeks(this.#weeks);
    const element = h("div", { class: "overview" }, h("h1", { class: "visually-hidden", tabindex: -1, text: t("nav.overview") }),
      h("div", { class: "now" }, chart.element, this.#feed.element), patterns.element);
    const start = () => {
      chart.start();
      this.#feed.shown();
    };
    return { element, start, stop: () => chart.stop(), seen: () => chart.seen(), event: ({ stats }) => { if (stats) chart.now(stats); }, weeks: (history) => patterns.showWeeks(history) };
  }

  // A sign-in is told at once, its device and place follow a moment later.
  #learnDevices() {
    const feed = this.#feed;
    if (this.#devices || !feed.lacks) return;
    this.#devices = setTimeout(async () => {
      if (this.#open && seen() && document.body.dataset.view === "overview") {
        const { data } = await this.#api.sessions({ limit: 100 }, { timed: true }).catch(() => ({ data: [] }));
        feed.learn(data);
      }
      this.#devices = 0;
    }, devicesAfter);
  }

  // What rested while nobody looked is brought up to date.
  #seen() {
    if (!seen() || !this.#open) return;
    refreshMoments();
    this.#view?.seen();
  }

  #event(event) {
    if (event.stats) {
      this.#stats = event.stats;
      learnWindows(event.stats.windows);
      this.#tiles.show(event.stats, this.#zone);
    }
    if (event.type === "snapshot" && event.reason && event.reason !== "start") this.#feed.gap();
    if (event.type === "logout") endedMeanwhile(event.session);
    this.#feed.add(event);
    this.#learnDevices();
    this.#view?.event(event);
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function entitle(view) {
  document.title = t("page.titleOf", { view, title: t("page.title") });
}

// The texts that stand in the page itself.
function fillTexts(language) {
  document.documentElement.lang = language;
  document.documentElement.dir = direction(language);
  document.title = t("page.title");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
}

const config = await fetch("config.json", { cache: "no-cache" }).then((answer) => answer.json()).catch((problem) => {
  byId("broken").hidden = false; // and nothing more can be said, without its texts
  throw problem;
});
setLanguage(config.language, config.messages);
fillTexts(config.language);
allowImages(config.imageOrigins);
wireDialog();
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the page's own
  byId("content").focus();
});
await new Page(config).start();
