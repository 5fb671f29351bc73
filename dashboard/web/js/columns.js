// The columns of the two long tables.

import { activity, address, device, ending, moment, person, where } from "./cells.js";
import { h } from "./dom.js";
import { deviceName, personName, t } from "./text.js";

const place = (of) => [
  { name: "place", label: t("column.place"), cell: (row) => where(of(row)) },
  { name: "address", label: t("column.address"), cell: (row) => address(of(row)) },
];

/**
 * sessionColumns are those of single sessions. end(row) asks to end one; sort is {login,
 * activity}: what their heads do; boxes is the column that selects.
 * @param {{end: (row: Session) => void, sort: Record<string, any>, boxes: any}} how
 */
export const sessionColumns = ({ end, sort, boxes }) => [
  boxes,
  { name: "person", label: t("column.person"), cell: (row) => person(row.user, row.userId), same: (a, b) => a.userId === b.userId && a.user?.fullName === b.user?.fullName },
  { name: "device", label: t("column.device"), cell: (row) => device(row), same: (a, b) => deviceName(a) === deviceName(b) && a.deviceType === b.deviceType },
  ...place((row) => row),
  { name: "since", label: t("column.since"), cell: (row) => moment(row.loginAt), same: (a, b) => a.loginAt === b.loginAt, sort: sort.login },
  { name: "last", label: t("column.last"), cell: (row) => (row.logoutAt ? ending(row) : activity(row.lastActivity)), sort: sort.activity },
  { name: "action", label: t("column.action"), quiet: true, same: (a, b) => Boolean(a.logoutAt) === Boolean(b.logoutAt) && a.current === b.current, cell: (row) => endButton(row, end) },
];

function endButton(row, end) {
  if (row.logoutAt) return null;
  const label = t("action.end.label", { name: personName(row.user, row.userId), device: deviceName(row) });
  return h("button", { type: "button", class: "button is-row", "aria-label": label, text: t("action.end"), on: { click: () => end(row) } });
}

/**
 * peopleColumns are those of people with all their sessions.
 * @param {{endAll: (row: any) => void}} how
 */
export const peopleColumns = ({ endAll }) => [
  { name: "person", label: t("column.person"), cell: (row) => person(row.user, row.id), same: (a, b) => a.user?.fullName === b.user?.fullName },
  { name: "device", label: t("column.device"), cell: (row) => device(row.latest, row.sessions.length - 1) },
  ...place((row) => row.latest),
  { name: "since", label: t("column.since"), cell: (row) => moment(row.since), same: (a, b) => a.since === b.since },
  { name: "last", label: t("column.last"), cell: (row) => activity(row.latest.lastActivity) },
  { name: "action", label: t("column.action"), quiet: true, same: () => true, cell: (row) => endAllButton(row, endAll) },
];

function endAllButton(row, endAll) {
  const name = personName(row.user, row.id);
  return h("button", { type: "button", class: "button is-row", "aria-label": t("action.endAll.label", { name }), text: t("action.endAll"), on: { click: () => endAll(row) } });
}

/**
 * byPerson puts a person's sessions together. The server sorts sessions by their person's
 * latest activity, so the first to come is where the person belongs.
 * @param {Session[]} sessions
 */
export function byPerson(sessions) {
  const people = new Map();
  for (const session of sessions) {
    if (session.logoutAt) continue;
    const id = String(session.userId);
    const known = people.get(id);
    if (!known) people.set(id, { id, user: session.user, sessions: [session], latest: session, since: session.loginAt });
    else {
      known.sessions.push(session);
      if (session.lastActivity > known.latest.lastActivity) known.latest = session;
      if (session.loginAt < known.since) known.since = session.loginAt;
    }
  }
  return [...people.values()];
}
