// Whether what the page shows is up to date, said where everybody sees it.

import { byId, setText } from "./dom.js";
import { explain, toast } from "./confirm.js";
import { t } from "./text.js";

// A moment's interruption is not worth a banner.
const patience = 1500;

/**
 * Connection shows the stream's state, and that of the server behind it: a stream
 * that is open says little where the server cannot reach its sessions.
 */
export class Connection {
  #state = "";
  #away = null; // the problem, while there is one
  #shown = "";
  #told = false;
  #timer = 0;

  constructor(stream, api) {
    stream.addEventListener("state", ({ detail }) => {
      this.#state = detail.state;
      this.#show();
    });
    for (const [type, away] of [["away", true], ["fine", false]]) {
      api.addEventListener(type, ({ detail }) => {
        this.#away = away ? detail : null;
        if (this.#state) this.#show();
      });
    }
    byId("banner-retry").addEventListener("click", stream.hurry);
  }

  hide() {
    clearTimeout(this.#timer);
    this.#state = this.#shown = "";
    this.#away = null;
    this.#told = false;
    byId("connection").hidden = true;
    this.#back();
  }

  #show() {
    const state = this.#away && this.#state === "live" ? "stale" : this.#state;
    if (state === this.#shown) return;
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
    setText(byId("banner-text"), state === "stale" ? explain(this.#away) : t("connection.lost.text"));
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
