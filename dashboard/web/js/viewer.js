// Who looks at the page: their own sessions are marked, wherever they stand.

const nobody = { userId: null, sessionId: null };
let viewer = nobody;

/** learnViewer takes the answer of GET sessions, or null where nobody looks any more. */
export function learnViewer(answer) {
  const sessions = answer?.sessions ?? [];
  viewer = sessions.length === 0 ? nobody : {
    userId: String(sessions[0].userId),
    sessionId: sessions.find((session) => session.current)?.sessionId ?? null,
  };
}

/** isViewer says whether a user id is the viewer's. */
export const isViewer = (id) => viewer.userId !== null && String(id) === viewer.userId;

/** isCurrent says whether a session is the one that the viewer uses. */
export const isCurrent = (session) => Boolean(session.current) || session.sessionId === viewer.sessionId;
