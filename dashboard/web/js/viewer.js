// Who looks at the page: their own sessions are marked, wherever they stand, and those
// that they may not end.

const nobody = { userId: null, sessionId: null };
let viewer = nobody;

const protectedUsers = new Set(); // whose sessions the viewer may not end, as the server has said

/** learnViewer takes the answer of GET sessions, or null where nobody looks any more. */
export function learnViewer(answer) {
  const sessions = answer?.sessions ?? [];
  if (!answer) protectedUsers.clear();
  viewer = sessions.length === 0 ? nobody : {
    userId: String(sessions[0].userId),
    sessionId: sessions.find((session) => session.current)?.sessionId ?? null,
  };
}

/** viewerId is the user id of who looks, or null. */
export const viewerId = () => viewer.userId;

/** isViewer says whether a user id is the viewer's. */
export const isViewer = (id) => viewer.userId !== null && String(id) === viewer.userId;

/** learnProtected takes what the server says of a user: whether the viewer may not end their sessions. */
export function learnProtected(id, is) {
  if (is) protectedUsers.add(String(id));
  else protectedUsers.delete(String(id));
}

/** isProtected says whether the viewer may not end a user's sessions, as far as is known. */
export const isProtected = (id) => protectedUsers.has(String(id));

/** isCurrent says whether a session is the one that the viewer uses. */
export const isCurrent = (session) => Boolean(session.current) || session.sessionId === viewer.sessionId;
