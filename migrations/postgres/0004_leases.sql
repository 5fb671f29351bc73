-- Who may do a periodic job, such as the cleanup: one replica at a time.
CREATE TABLE session_leases (
    job       text COLLATE "C" PRIMARY KEY,
    given_at  timestamptz NOT NULL
);
