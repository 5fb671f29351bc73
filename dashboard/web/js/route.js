// Where the page is: a view, what it is about, and its filters, all of it in the address.

/**
 * @typedef {{name: string, argument: string, query: URLSearchParams}} Place
 */

/**
 * placeOf reads an address's fragment, such as #/person/7 or #/sessions?country=BR.
 * @param {string} hash
 * @returns {Place}
 */
export function placeOf(hash) {
  const [path, query = ""] = split(hash.replace(/^#/, ""), "?");
  const [, name = "", argument = ""] = path.split("/");
  return { name: name || "overview", argument: decoded(argument), query: new URLSearchParams(query) };
}

/**
 * hrefOf is the address of a view. Empty values of the query are left out.
 * @param {string} name
 * @param {Record<string, string> | URLSearchParams} [query]
 */
export function hrefOf(name, query = {}) {
  const pairs = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const text = String(new URLSearchParams(pairs.filter(([, value]) => value !== "" && value !== undefined)));
  return `#/${name === "overview" ? "" : name}${text && `?${text}`}`;
}

/**
 * hostPage is the host's own page of a user, or null.
 * @param {string | undefined} pattern
 * @param {UserID} id
 */
export const hostPage = (pattern, id) => (pattern ? new URL(pattern.replace("{id}", encodeURIComponent(id)), document.baseURI).href : null);

/**
 * rewrite changes the address without leaving the view. A step of its own is one that the
 * browser's "back" returns to.
 * @param {string} href
 * @param {boolean} step
 */
export function rewrite(href, step) {
  if (href === location.hash) return;
  if (step) history.pushState(null, "", href);
  else history.replaceState(null, "", href);
}

function split(text, sep) {
  const at = text.indexOf(sep);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
