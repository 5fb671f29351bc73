// Elements are made here and nowhere else. Text reaches the page as text nodes
// only: there is no way in this module to turn a string into markup.

/**
 * h makes an element. props: class, text, on (listeners by event), and attributes;
 * null, undefined and false leave an attribute out, true sets it empty.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string | null | undefined | false)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.className = value;
    else if (name === "text") node.textContent = value;
    else if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(.../** @type {(Node | string)[]} */ (children.filter((child) => child !== null && child !== undefined && child !== false)));
  return node;
}

/** icon clones one of the page's own drawings. */
export function icon(name) {
  const drawing = byId("icons").content.querySelector(`[data-icon="${name}"]`);
  const copy = drawing.cloneNode(true);
  copy.removeAttribute("data-icon");
  copy.setAttribute("aria-hidden", "true");
  return copy;
}

/** setText writes only what has changed, so that nothing is announced twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * byId is getElementById that fails loudly.
 * @param {string} id
 * @returns {any} an element of the kind that the page has there
 */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`no element ${id}`);
  return node;
}

/**
 * paced makes a function that has the page drawn with the next frame, and then at most
 * once in so many milliseconds: nobody reads faster, and a storm of events leaves time
 * for everything else.
 */
export function paced(draw, pause) {
  let asked = false;
  let last = -Infinity;
  const frame = () => requestAnimationFrame(() => {
    asked = false;
    last = performance.now();
    draw();
  });
  return () => {
    if (asked) return;
    asked = true;
    const wait = last + pause - performance.now();
    if (wait > 0) setTimeout(frame, wait);
    else frame();
  };
}

/** seen says whether anybody can look at the page. Where nobody can, it asks for nothing. */
export const seen = () => document.visibilityState === "visible";

const compact = window.matchMedia("(max-width: 47.99rem)");

/** isCompact says whether the page is laid out for a phone. */
export const isCompact = () => compact.matches;
