-- One row per user whose sessions were all ended. A credential of that user that was issued before,
-- and was never used, begins no session.
CREATE TABLE user_fences (
    user_id  text COLLATE "C" PRIMARY KEY,
    at       timestamptz NOT NULL,
    reason   text NOT NULL
);

CREATE INDEX user_fences_at ON user_fences (at);
