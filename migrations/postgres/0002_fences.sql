-- One row per user whose sessions were all ended: credentials of theirs that were
-- issued until then, and have not been seen yet, begin no session.
CREATE TABLE user_fences (
    user_id  text COLLATE "C" PRIMARY KEY,
    at       timestamptz NOT NULL,
    reason   text NOT NULL
);

CREATE INDEX user_fences_at ON user_fences (at);
