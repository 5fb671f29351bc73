// The server's clock. What the page says of time must not depend on the viewer's own,
// which may be wrong by hours.

// The header has whole seconds, and the answer was on its way for a while.
const tolerance = 3000;
// An answer that took longer, or a machine that slept meanwhile, tells little.
const patience = 5000;

let offset = 0;

/** now is the server's time, in milliseconds. */
export const now = () => Date.now() + offset;

/** learn takes the Date of an answer (RFC 9110 §6.6.1) and when it was asked for, by the viewer's clock. */
export function learn(date, asked) {
  const here = Date.now();
  const apart = Date.parse(date ?? "") + 500 - (asked + here) / 2;
  if (Number.isNaN(apart) || here < asked || here - asked > patience) return;
  if (Math.abs(apart - offset) > tolerance) offset = Math.abs(apart) > tolerance ? apart : 0;
}
