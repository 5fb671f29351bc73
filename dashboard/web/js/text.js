// Every text, number and time of the page goes through here: one table of texts,
// one language.

import { now } from "./clock.js";

let messages = {};
let plurals = new Intl.PluralRules("en");
let formats = makeFormats("en");

/** setLanguage sets the table of texts and the language of numbers and times. */
export function setLanguage(language, table) {
  messages = table;
  plurals = new Intl.PluralRules(language);
  formats = makeFormats(language);
}

function makeFormats(language) {
  return {
    number: new Intl.NumberFormat(language),
    compact: new Intl.NumberFormat(language, { notation: "compact" }),
    percent: new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }),
    change: new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" }),
    exact: new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" }),
    brief: new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }),
    day: new Intl.DateTimeFormat(language, { day: "numeric", month: "short" }),
    ago: new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "narrow" }),
    weekday: new Intl.DateTimeFormat(language, { weekday: "short", timeZone: "UTC" }),
    regions: new Intl.DisplayNames(language, { type: "region", fallback: "code" }),
    list: new Intl.ListFormat(language, { type: "unit", style: "narrow" }),
    lengths: Object.fromEntries(["hour", "minute"].map((unit) => [unit,
      new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short" })])),
    units: Object.fromEntries(["day", "hour", "minute", "second"].map((unit) => [unit,
      new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "narrow" })])),
  };
}

/** direction is how a language is written: ltr or rtl. */
export function direction(language) {
  const locale = new Intl.Locale(language);
  const told = locale.getTextInfo?.() ?? locale.textInfo;
  if (told) return told.direction;
  return ["Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm"].includes(locale.maximize().script) ? "rtl" : "ltr";
}

/** t is the text of a key with the words in braces filled in. */
export function t(key, values = {}) {
  const text = messages[key];
  if (text === undefined) throw new Error(`no text named ${key}`);
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** count is the text of a key in the plural form of n. */
export function count(key, n) {
  const form = `${key}.${plurals.select(n)}`;
  return t(form in messages ? form : `${key}.other`, { n: number(n) });
}

/** known is the text of a word that the server chose, or the word itself. */
export function known(family, word) {
  const key = `${family}.${word}`;
  return Object.hasOwn(messages, key) ? messages[key] : String(word);
}

export const number = (n) => formats.number.format(n);

/** compact is a number in few characters, for an axis. */
export const compact = (n) => formats.compact.format(n);

/** minutes is a length of time that is set in minutes, in hours where it is whole ones. */
export const minutes = (n) => (n % 60 === 0 ? formats.lengths.hour.format(n / 60) : formats.lengths.minute.format(n));

/** percent is a part of a whole; what would round to nothing is said to be less than one. */
export function percent(part) {
  return part > 0 && part < 0.005 ? t("number.lessThan", { n: formats.percent.format(0.01) }) : formats.percent.format(part);
}

/** change is how much more or less something is, as a part of what it was. */
export const change = (part) => formats.change.format(part);

/** exact is a moment to the second, in the viewer's own time zone. */
export const exact = (time) => formats.exact.format(new Date(time));

/** brief is a moment to the minute, in the viewer's own time zone. */
export const brief = (time) => formats.brief.format(new Date(time));

/** ago is how long ago a moment was; past a week, its date. */
export function ago(time, at = now()) {
  const seconds = Math.round((at - new Date(time).getTime()) / 1000);
  if (seconds < 5) return t("time.now");
  if (seconds < 60) return formats.ago.format(-seconds, "second");
  if (seconds < 3600) return formats.ago.format(-Math.floor(seconds / 60), "minute");
  if (seconds < 86400) return formats.ago.format(-Math.floor(seconds / 3600), "hour");
  if (seconds < 7 * 86400) return formats.ago.format(-Math.floor(seconds / 86400), "day");
  return formats.day.format(new Date(time));
}

/** duration is a length of time in its two largest units. */
export function duration(seconds) {
  /** @type {[string, number][]} */
  const parts = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  if (first < 0) return formats.units.second.format(0);
  let rest = Math.round(seconds);
  const out = [];
  for (const [unit, size] of parts.slice(first, first + 2)) {
    const n = Math.floor(rest / size);
    if (n > 0) out.push(formats.units[unit].format(n));
    rest -= n * size;
  }
  return formats.list.format(out);
}

/** weekday is the short name of a day of the week, 0 being Monday. */
export const weekday = (day) => formats.weekday.format(new Date(Date.UTC(2024, 0, 1 + day)));

/** hour is an hour of the day on the 24-hour clock. */
export const hour = (h) => `${String(h).padStart(2, "0")}:00`;

/** region is the name of a country by its ISO 3166-1 code. */
export function region(code) {
  return /^[A-Z]{2}$/.test(code) ? formats.regions.of(code) : code;
}

/** place is a session's place, as precisely as it is known. */
export function place(location) {
  if (!location) return "";
  const country = location.country || (location.countryCode ? region(location.countryCode) : "");
  return [location.city || location.region, country].filter(Boolean).join(", ");
}

/** deviceName is what a session runs on. */
export function deviceName(session) {
  const { browser, os } = session;
  if (browser && os) return t("device.on", { browser, os });
  return browser || os || session.device || known("device", session.deviceType || "unknown");
}

/** personName is how a user is called; the id where nothing else is known. */
export function personName(user, id) {
  return user?.display_name || user?.fullName || user?.username || user?.email || t("person.id", { id: id ?? user?.id ?? user?.user_id });
}
