// The live stream, read with fetch so that tokens travel as headers and never in a
// URL. It reconnects by itself and goes on where it was.

import { seen } from "./dom.js";

const firstWait = 1000;
// A browser opens six connections to a server over HTTP/1.1, for all of its tabs. A tab
// that has been hidden for so long lets its own go.
const hiddenFor = 1000;
const longestWait = 30000;
// The server's heartbeat comes every 15 s: silence for longer than two of them
// means a connection that is dead without having said so.
const silence = 40000;

/**
 * Parser cuts a byte stream into events (HTML Living Standard §9.2.6): fields are
 * collected until a blank line; lines end in CR, LF or both.
 */
export class Parser {
  #buffer = "";
  #data = [];
  #type = "";
  #first = true;
  lastId = "";
  retry = 0;

  /** push takes the next piece of text and returns the events that it completed. */
  push(text) {
    if (this.#first && text !== "") {
      this.#first = false;
      text = text.replace(/^\uFEFF/, "");
    }
    this.#buffer += text;
    const events = [];
    for (;;) {
      const end = this.#buffer.search(/[\r\n]/);
      // A CR at the very end may be half of a CRLF.
      if (end < 0 || (this.#buffer[end] === "\r" && end === this.#buffer.length - 1)) return events;
      const line = this.#buffer.slice(0, end);
      this.#buffer = this.#buffer.slice(end + (this.#buffer.startsWith("\r\n", end) ? 2 : 1));
      const event = line === "" ? this.#dispatch() : this.#field(line);
      if (event) events.push(event);
    }
  }

  #field(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "data") this.#data.push(value);
    else if (name === "event") this.#type = value;
    else if (name === "id" && !value.includes("\0")) this.lastId = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return null;
  }

  #dispatch() {
    const event = { type: this.#type || "message", data: this.#data.join("\n"), id: this.lastId };
    const complete = this.#data.length > 0;
    this.#data = [];
    this.#type = "";
    return complete ? event : null;
  }
}

/**
 * Stream keeps one connection while somebody sees the page. It emits "state" {state:
 * connecting | live | lost, wait: milliseconds until the next attempt}, "event" with the
 * event's own object, and "refused" with a Problem that trying again does not help.
 */
export class Stream extends EventTarget {
  #api;
  #abort = null;
  #attempt = null; // aborts the connection that is open
  #resting = false; // nobody sees the page
  #rested = false; // the connection was let go for that
  #hiding = 0;
  #timer = 0;
  #wake = null;
  #lastId = "";
  #failures = 0;
  #retry = firstWait;

  constructor(api) {
    super();
    this.#api = api;
    this.hurry = this.hurry.bind(this);
    this.look = this.look.bind(this);
  }

  start() {
    this.stop();
    this.#abort = new AbortController();
    window.addEventListener("online", this.hurry);
    document.addEventListener("visibilitychange", this.look);
    this.#resting = !seen();
    this.#run(this.#abort.signal);
  }

  stop() {
    this.#abort?.abort();
    this.#abort = null;
    clearTimeout(this.#hiding);
    this.hurry();
    window.removeEventListener("online", this.hurry);
    document.removeEventListener("visibilitychange", this.look);
  }

  /** look lets the connection go when the page is hidden, and takes it up when it is shown. */
  look() {
    clearTimeout(this.#hiding);
    if (seen()) {
      this.#resting = false;
      this.hurry();
      return;
    }
    this.#hiding = setTimeout(() => {
      this.#resting = this.#rested = true;
      this.#attempt?.abort();
    }, hiddenFor);
  }

  /** hurry tries again at once, where it waits. */
  hurry() {
    clearTimeout(this.#timer);
    this.#wake?.();
    this.#wake = null;
  }

  async #run(stopped) {
    this.#state("connecting");
    while (!stopped.aborted) {
      let wait = 0;
      try {
        if (!this.#resting) await this.#connect(stopped);
      } catch (problem) {
        if (stopped.aborted) return;
        if (problem.status === 401 || problem.status === 403) {
          this.dispatchEvent(new CustomEvent("refused", { detail: problem }));
          return;
        }
        wait = (problem.retryAfter || 0) * 1000;
      }
      if (stopped.aborted) return;
      if (this.#resting || this.#rested) {
        this.#rested = false;
        if (this.#resting) await new Promise((resolve) => { this.#wake = resolve; });
        this.#state("connecting");
        continue;
      }
      wait = Math.min(Math.max(wait, this.#backOff()), longestWait);
      this.#state("lost", wait);
      await new Promise((resolve) => {
        this.#wake = resolve;
        this.#timer = setTimeout(resolve, wait);
      });
    }
  }

  // Half of the wait is random, so that a restarted server is not met by
  // everybody at once.
  #backOff() {
    const ceiling = Math.min(this.#retry * 2 ** this.#failures++, longestWait);
    return ceiling / 2 + (Math.random() * ceiling) / 2;
  }

  async #connect(stopped) {
    const attempt = new AbortController();
    this.#attempt = attempt;
    const end = () => attempt.abort();
    stopped.addEventListener("abort", end);
    let watchdog = setTimeout(end, silence);
    try {
      const answer = await this.#api.events(this.#lastId, attempt.signal);
      const reader = answer.body.getReader();
      const decoder = new TextDecoder();
      const parser = new Parser();
      parser.lastId = this.#lastId;
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(end, silence);
        this.#failures = 0;
        this.#state("live");
        for (const event of parser.push(decoder.decode(value, { stream: true }))) this.#emit(event);
        this.#lastId = parser.lastId;
        if (parser.retry) this.#retry = parser.retry;
      }
    } finally {
      clearTimeout(watchdog);
      stopped.removeEventListener("abort", end);
      attempt.abort();
    }
  }

  #emit(event) {
    let detail;
    try {
      detail = JSON.parse(event.data);
    } catch {
      return; // not one of ours
    }
    if (detail && typeof detail === "object") {
      this.dispatchEvent(new CustomEvent("event", { detail: { ...detail, type: detail.type || event.type } }));
    }
  }

  #state(state, wait = 0) {
    this.dispatchEvent(new CustomEvent("state", { detail: { state, wait } }));
  }
}
