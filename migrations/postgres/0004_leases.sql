-- The lease of each periodic job, such as the cleanup. One replica at a time holds it.
CREATE TABLE session_leases (
    job       text COLLATE "C" PRIMARY KEY,
    given_at  timestamptz NOT NULL
);
