// Whether the page is live, said where everybody sees it.

import { byId, setText } from "./dom.js";
import { toast } from "./confirm.js";
import { t } from "./text.js";

// A moment's interruption is not worth a banner.
const patience = 1500;

/** Connection shows the stream's state. */
export class Connection {
  #state = "";
  #told = false;
  #timer = 0;

  constructor(stream) {
    stream.addEventListener("state", ({ detail }) => this.#show(detail.state));
    byId("banner-retry").addEventListener("click", stream.hurry);
  }

  hide() {
    clearTimeout(this.#timer);
    this.#state = "";
    this.#told = false;
    byId("connection").hidden = true;
    byId("banner").hidden = true;
  }

  #show(state) {
    if (state === this.#state) return;
    this.#state = state;
    const node = byId("connection");
    node.hidden = false;
    node.className = `connection is-${state}`;
    setText(byId("connection-text"), t(`connection.${state}`));
    clearTimeout(this.#timer);
    if (state === "lost") this.#timer = setTimeout(() => this.#tell(), patience);
    if (state === "live") this.#back();
  }

  #tell() {
    this.#told = true;
    setText(byId("banner-text"), t("connection.lost.text"));
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
