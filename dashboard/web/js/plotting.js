// What all plots have in common.

import library from "../uplot/uPlot.js";

/** @type {any} */
export const uPlot = library;

export const fontSize = 11;

/** viewerZone is the time zone of who looks. */
export const viewerZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** colour is one of the page's own, by its name, as it is now. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const whole = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7];

/**
 * axes are time below and numbers beside.
 * @param {(at: number) => string} clock is a moment's text
 * @param {(n: number) => string} amount is a number's text
 */
export function axes(clock, amount) {
  const font = `${fontSize}px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { font, stroke: colour("--text-2"), ticks: { show: false }, grid: { stroke: colour("--line"), width: 1 } };
  return [
    { ...axis, grid: { show: false }, size: 28, space: 64, values: (_, splits) => splits.map(clock) },
    { ...axis, size: (_, values) => widthOf(values ?? [], font), incrs: whole, values: (_, splits) => splits.map(amount) },
  ];
}

// The room that an axis takes: as wide as its longest text.
function widthOf(texts, font) {
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.font = font;
  return Math.ceil(Math.max(0, ...texts.map((text) => canvas.measureText(text).width))) + 2 * fontSize;
}

/** upTo is a scale from nothing to a little more than the highest number. */
export const upTo = { range: (_, __, highest) => [0, Math.max(4, highest * 1.12 || 4)] };

/** inZone is the time of a zone for the plot's own reckoning of hours and days. */
export const inZone = (zone) => (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone);

/**
 * clockText is a moment, in seconds, on the clock or the calendar of a zone.
 * @param {number} at
 * @param {string} zone
 * @param {Intl.DateTimeFormatOptions} options
 */
export const clockText = (at, zone, options) => new Intl.DateTimeFormat(document.documentElement.lang, { ...options, timeZone: zone }).format(new Date(at * 1000));

/** onClock and onCalendar are how a moment is told on an axis. */
export const onClock = /** @type {Intl.DateTimeFormatOptions} */ ({ hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
export const onCalendar = /** @type {Intl.DateTimeFormatOptions} */ ({ weekday: "short", day: "numeric" });

/** stamp is a moment in whole seconds of UTC. */
export const stamp = (date) => date.toISOString().replace(/\.\d+Z$/, "Z");
