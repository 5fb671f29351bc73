// The windows of activity, which the host sets: within which somebody is online.

let windows = { very_active: 5, online: 15, recently_active: 60 };

/** learnWindows takes what an answer of GET stats tells of them, in minutes. */
export function learnWindows(told) {
  if (told) windows = told;
}

/** minutesOf is the length of a window by its name. */
export const minutesOf = (name) => windows[name];

/** within is a window as the API's parameter within, which takes a day at most. */
export const within = (name) => `${Math.min(windows[name], 1440)}m`;
