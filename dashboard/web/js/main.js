// The page: who looks at it, which view, and the events for all of them.

import { API, Problem } from "./api.js";
import { allowImages, refreshMoments } from "./cells.js";
import { now } from "./clock.js";
import { endedMeanwhile, explain, toast, wireDialog } from "./confirm.js";
import { Connection } from "./connection.js";
import { byId, h, seen } from "./dom.js";
import { Feed } from "./feed.js";
import { listen, openHelp } from "./keys.js";
import { failedGate, forbiddenGate, signInGate, whySignedOut } from "./gate.js";
import { hrefOf, placeOf, rewrite } from "./route.js";
import { Stream } from "./stream.js";
import { direction, setLanguage, t } from "./text.js";
import { Tiles } from "./tiles.js";
import { learnViewer } from "./viewer.js";
import { learnWindows } from "./windows.js";

const momentsEvery = 5000;
const devicesAfter = 4000;
const weeksEvery = 120000;
const weeks = 28 * 86400 * 1000;

const explore = () => import("./explore.js");
const views = {
  overview: () => import("./overview.js"), people: explore, sessions: explore, person: () => import("./person.js"),
  history: () => import("./history.js"), trail: () => import("./trail.js"),
};

/** Page is what all views share: the API, the figures, the feed, and where one came from. */
class Page {
  config;
  api;
  entitle = entitle;
  #stream;
  #connection;
  #tiles;
  feed = new Feed();
  #view = null;
  #open = false;
  #asking = false; // the sign-in is what is shown
  #leaving = false;
  #entries = 0;
  #turn = 0;
  #zone = "";
  stats = null;
  weeks = null;
  places = new Map(); // where each view was left, as an address
  from = "";
  #devices = 0;

  constructor(config) {
    this.config = config;
    this.api = new API(config);
    this.#stream = new Stream(this.api);
    this.#connection = new Connection(this.#stream, this.api);
    this.#tiles = new Tiles(byId("tiles"));
    this.api.addEventListener("forbidden", () => { if (this.#open) this.#forbidden(); });
    this.api.addEventListener("refused", ({ detail }) => this.#signedOut(detail));
    this.#stream.addEventListener("refused", ({ detail }) => (detail.status === 403 ? this.#forbidden() : this.#signedOut(detail)));
    this.#stream.addEventListener("event", ({ detail }) => this.#event(detail));
    window.addEventListener("hashchange", () => this.#route(true));
    window.addEventListener("message", (event) => this.#handed(event));
    byId("banner-retry").addEventListener("click", () => this.#seen());
    byId("help-open").addEventListener("click", openHelp);
    listen(() => this.#open);
    document.addEventListener("opensession", async ({ detail }) => (await import("./drawer.js")).openSession(this, detail));
    byId("sign-out").addEventListener("click", () => this.#signOut());
    document.addEventListener("visibilitychange", () => this.#seen());
    setInterval(refreshMoments, momentsEvery);
    setInterval(() => { if (this.#open && seen()) this.#learnWeeks(true); }, weeksEvery);
  }

  async start() {
    if (this.config.credentials) {
      const host = await import(new URL(this.config.credentials, document.baseURI).href).catch(() => null);
      if (!host) return this.#gate(failedGate(new Problem(0), () => location.reload()));
      await this.api.loadWith(async () => {
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
    this.api.use(event.data);
    this.#enter();
  }

  // An administrator is whom the list of sessions is shown to. It returns the problem
  // of whoever may not enter. Of two that overlap only the later one counts.
  async #enter() {
    const entry = ++this.#entries;
    this.api.renew();
    try {
      const [stats, mine] = await Promise.all([this.api.stats(), this.api.mine(), this.api.people({ limit: 1 })]);
      if (entry !== this.#entries) return null;
      this.stats = stats;
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
    byId("help-open").hidden = false;
    byId("sign-out").hidden = !this.config.logoutPath;
    this.#tiles.show(this.stats, this.#zone);
    this.#stream.start();
    this.#route(byId("view").contains(document.activeElement)); // the sign-in's place is taken
    this.#learnWeeks();
    return null;
  }

  // The last weeks show at which hours people sign in, and tell the server's time
  // zone, which the hour of the peak is in. Without them both stay unsaid.
  async #learnWeeks(timed = false) {
    const to = new Date(now());
    const query = { from: new Date(to.getTime() - weeks).toISOString(), to: to.toISOString(), step: "1d" };
    const entry = this.#entries;
    const history = await this.api.history(query, { timed }).catch((problem) => {
      // Nothing else on the overview asks what only administrators may see.
      if (problem.status === 403) this.api.people({ limit: 1 }, { timed }).catch(() => {});
      return null;
    });
    if (!history || !this.#open || entry !== this.#entries) return;
    this.weeks = history;
    this.#zone = history.time_zone ?? "";
    this.#tiles.show(this.stats, this.#zone);
    this.#view?.weeks?.(history);
  }

  #gate(content, asking = false) {
    if (this.#open) rewrite(location.hash.split("?")[0] || "#/", false); // filters can name people
    this.#asking = asking;
    this.#entries++; // one that is on its way opens nothing
    this.#open = false;
    this.#stream.stop();
    this.#connection.hide();
    this.#leave();
    byId("confirm").close();
    for (const id of ["drawer", "help"]) byId(id).close();
    for (const id of ["nav", "tiles", "sign-out", "help-open"]) byId(id).hidden = true;
    this.#forget();
    document.title = t("page.title");
    byId("view").replaceChildren(content);
    (document.getElementById("email") ?? byId("gate-title")).focus();
  }

  // Whoever comes next sees nothing of what was shown to this one.
  #forget() {
    this.places.clear();
    this.feed = new Feed();
    this.stats = this.weeks = null;
    learnViewer(null);
    this.#zone = this.from = "";
  }

  #askToSignIn(why) {
    this.api.use(null);
    this.#gate(signInGate({ api: this.api, config: this.config, why, done: () => this.#enter() }), true);
  }

  #signedOut(problem) {
    if (this.#asking) return;
    const why = this.#open || problem?.code === "session_ended" ? whySignedOut(problem) : "";
    this.#askToSignIn(why);
  }

  #forbidden() {
    this.#gate(forbiddenGate(this.config.logoutPath ? () => this.#signOut() : null, this.config.devicesPage));
  }

  async #signOut() {
    if (this.#leaving) return;
    this.#leaving = true;
    const entry = this.#entries;
    try {
      await this.api.signOut();
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

  // The view before stays until the next one has been loaded.
  async #route(moved) {
    if (!this.#open) return;
    const turn = ++this.#turn;
    const place = placeOf(location.hash);
    if (!Object.hasOwn(views, place.name) || (place.name === "person" && place.argument === "")) place.name = "overview";
    if (this.#view?.take && place.name === this.from) return this.#view.take(place);
    const view = await views[place.name]().catch(() => null);
    if (turn !== this.#turn || !this.#open) return;
    if (!view) return this.#gate(failedGate(new Problem(0), () => location.reload()));
    this.#leave();
    this.#connection.moved();
    this.#view = view.open(this, place);
    if (place.name !== "person") {
      this.from = place.name;
      entitle(t(`nav.${place.name}`));
    }
    document.body.dataset.view = place.name;
    byId("view").replaceChildren(this.#view.element);
    this.#view.start();
    for (const link of byId("nav").querySelectorAll("a")) {
      const left = link.dataset.nav === place.name ? "" : this.places.get(link.dataset.nav); // one's own link begins anew
      link.href = left || hrefOf(link.dataset.nav);
      if (link.dataset.nav === place.name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    if (!moved) return;
    window.scrollTo(0, 0);
    byId("view").querySelector("h1")?.focus({ preventScroll: true });
  }

  // A sign-in is told at once, its device and place follow a moment later.
  #learnDevices() {
    const feed = this.feed;
    if (this.#devices || !feed.lacks) return;
    this.#devices = setTimeout(async () => {
      if (this.#open && seen() && document.body.dataset.view === "overview") {
        const { data } = await this.api.people({ limit: 100 }, { timed: true }).catch(() => ({ data: [] }));
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

  /** ended takes a session that the drawer has ended. */
  ended(session) { this.#view?.event({ type: "logout", session }); }

  #event(event) {
    if (event.stats) {
      this.stats = event.stats;
      learnWindows(event.stats.windows);
      this.#tiles.show(event.stats, this.#zone);
    }
    if (event.type === "snapshot" && event.reason && event.reason !== "start") this.feed.gap();
    if (event.type === "logout") endedMeanwhile(event.session);
    this.feed.add(event);
    this.#learnDevices();
    this.#view?.event(event);
  }
}

function entitle(view) {
  document.title = t("page.titleOf", { view, title: t("page.title") });
}

// The host's own picture and links.
function dress({ logo, links }) {
  if (logo) byId("brand-mark").replaceWith(h("img", { class: "brand-logo", src: new URL(logo, document.baseURI).href, alt: "", height: 24 }));
  byId("links").hidden = links.length === 0;
  byId("links").replaceChildren(...links.map(({ text, url }) => h("li", {}, h("a", { href: new URL(url, document.baseURI).href, text }))));
}

// The texts that stand in the page itself.
function fillTexts(language) {
  document.documentElement.lang = language;
  document.documentElement.dir = direction(language);
  document.title = t("page.title");
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
}

const config = await fetch(new URL("../config.json", import.meta.url)).then((answer) => answer.json()).catch((problem) => {
  byId("broken").hidden = false; // and nothing more can be said, without its texts
  throw problem;
});
setLanguage(config.language, config.messages);
fillTexts(config.language);
allowImages(config.imageOrigins);
dress(config);
wireDialog();
byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the hash is the page's own
  byId("content").focus();
});
await new Page(config).start();
