// Ending many sessions at once: what it will be about, and what came of it.

import { ask, explain, toast } from "./confirm.js";
import { h } from "./dom.js";
import { count, known, number, personName, region, t } from "./text.js";
import { isCurrent, viewerId } from "./viewer.js";

const mostAtOnce = 1000;
const sample = 100;
const top = 4;
const reasons = ["admin", "password", "deleted"];

/**
 * endMany asks, and ends the rows, or all that a question matches as of now. It answers
 * whether anything may have ended.
 * @param {any} api
 * @param {{rows: Session[], question: Record<string, any> | null, total: number}} what
 */
export async function endMany(api, { rows, question, total }) {
  const reason = h("select", { "aria-label": t("endMany.reason") }, ...reasons.map((word) => h("option", { value: word, text: known("reason", word) })));
  const n = question ? total : rows.length;
  let preview = "";
  const confirmed = await ask({
    title: count("endMany.title", n), text: t("endMany.text"), action: t("select.end"),
    ...(question ? { entries: [[t("column.sessions"), t("list.loading")]], waits: true } : about(rows, { count: n }, reason)),
    look: async (signal) => {
      if (!question) return null;
      const [found, { data }, own] = await Promise.all([
        api.count(question, { signal }), api.sessions({ ...question, limit: sample }, { signal }), ownAmong(api, question, signal),
      ]);
      preview = found.preview;
      return { title: count("endMany.title", found.count), ...about(data, found, reason, own) };
    },
  });
  if (!confirmed) return false;
  await carryOut(api, question ? [{ preview }] : chunks(rows.map((row) => row.sessionId)), reason.value);
  return true;
}

// What ends, by what is known of it: of all, or of the first that match.
function about(rows, { count: n, exact = true, users = 0 }, reason, own = false) {
  const told = rows.length < n ? [t("endMany.sample"), count("endMany.first", rows.length)] : ["", ""];
  const sessions = [count("sessions", n), users ? count("list.people", users) : ""].filter(Boolean).join(" · ");
  return {
    entries: [
      [t("column.sessions"), exact ? sessions : t("list.about", { rows: sessions })], told,
      [t("shares.country"), shares(rows, (row) => row.location?.countryCode, region)],
      [t("shares.device"), shares(rows, (row) => row.deviceType, (type) => known("device", type))],
      [t("endMany.people"), shares(rows, (row) => personName(row.user, row.userId), String)],
      [t("endMany.reason"), reason],
    ],
    warning: own || rows.some(isCurrent) ? t("confirm.ownAll") : "",
    barred: n === 0,
  };
}

function shares(rows, fact, name) {
  const counts = new Map();
  for (const row of rows) {
    const value = fact(row) || "unknown";
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const sorted = [...counts].toSorted((a, b) => b[1] - a[1]);
  const rest = sorted.slice(top).reduce((sum, [, n]) => sum + n, 0);
  const shown = sorted.slice(0, top).map(([value, n]) => `${value === "unknown" ? t("shares.unknown") : name(value)} ${number(n)}`);
  return [...shown, rest > 0 ? `${t("shares.other")} ${number(rest)}` : ""].filter(Boolean).join(", ");
}

// The first that match may not have the viewer's own session among them.
async function ownAmong(api, question, signal) {
  if (question.q || question.user || !viewerId()) return false;
  const { data } = await api.sessions({ ...question, user: viewerId(), limit: sample }, { signal });
  return data.some(isCurrent);
}

function chunks(ids) {
  const bodies = [];
  for (let at = 0; at < ids.length; at += mostAtOnce) bodies.push({ ids: ids.slice(at, at + mostAtOnce) });
  return bodies;
}

// A call ends as many as the server likes, and says whether it shall be sent again.
async function carryOut(api, bodies, reason) {
  let [ended, skipped] = [0, 0];
  let told = null;
  try {
    for (const body of bodies) {
      for (let more = true; more;) {
        const { data } = await api.endMany({ ...body, reason });
        ended += data.ended;
        skipped += data.skipped ?? 0;
        more = Boolean(data.more);
        told?.node.remove();
        if (more) told = toast(t("endMany.soFar", { sessions: count("sessions", ended) }));
      }
    }
    toast([t("done.sessions", { sessions: count("sessions", ended) }), skipped > 0 ? count("endMany.skipped", skipped) : ""].filter(Boolean).join(" "));
  } catch (problem) {
    told?.node.remove();
    if (problem.status !== 401) toast(t("endMany.failed", { sessions: count("sessions", ended), problem: problem.status === 403 ? t("endMany.forbidden") : explain(problem) }), "error");
  }
}
