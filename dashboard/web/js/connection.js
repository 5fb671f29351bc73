// Whether what the page shows is up to date, said where everybody sees it.

import { byId, setText } from "./dom.js";
import { explain, toast } from "./confirm.js";
import { t } from "./text.js";

// A moment's interruption is not worth a banner.
const patience = 1500;

const away = "store_unavailable";

/**
 * Connection shows the stream's state, and that of the server behind it: a stream
 * that is open says little where the server cannot reach its sessions, or cannot answer
 * what else the page asks.
 */
export class Connection {
  #state = "";
  #failed = new Map(); // the latest problem of each question that failed
  #shown = "";
  #told = false;
  #timer = 0;

  constructor(stream, api) {
    stream.addEventListener("state", ({ detail }) => {
      if (detail.state === "live" && this.#state !== "live") this.moved(); // all is asked anew
      this.#state = detail.state;
      this.#show();
    });
    api.addEventListener("failed", ({ detail }) => {
      this.#failed.set(detail.path, detail.problem);
      this.#show();
    });
    // A server that reaches its sessions reaches them for every question.
    api.addEventListener("fine", ({ detail }) => this.#forget((path, code) => path === detail.path || code === away));
    byId("banner-retry").addEventListener("click", stream.hurry);
  }

  /** moved says that another view is shown: nobody asks again for what the one before could not load. */
  moved() { this.#forget((_, code) => code !== away); }

  #forget(over) {
    for (const [path, { code }] of this.#failed) if (over(path, code)) this.#failed.delete(path);
    this.#show();
  }

  hide() {
    clearTimeout(this.#timer);
    this.#state = this.#shown = "";
    this.#failed.clear();
    this.#told = false;
    byId("connection").hidden = true;
    this.#back();
  }

  #show() {
    const state = this.#failed.size > 0 && this.#state === "live" ? "stale" : this.#state;
    if (state === "" || state === this.#shown) return;
    this.#shown = state;
    const node = byId("connection");
    node.hidden = false;
    node.className = `connection is-${state}`;
    setText(byId("connection-text"), t(`connection.${state}`));
    clearTimeout(this.#timer);
    if (state === "lost" || state === "stale") this.#timer = setTimeout(() => this.#tell(state), this.#told ? 0 : patience);
    if (state === "live") this.#back();
  }

  #tell(state) {
    this.#told = true;
    setText(byId("banner-text"), state === "stale" ? explain([...this.#failed.values()].at(-1)) : t("connection.lost.text"));
    byId("banner").hidden = false;
    document.body.classList.add("is-stale");
  }

  #back() {
    byId("banner").hidden = true;
    document.body.classList.remove("is-stale");
    if (this.#told) toast(t("connection.back"));
    this.#told = false;
  }
}
