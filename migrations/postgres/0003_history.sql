-- What history is made of, added up once a minute and kept for
-- Options.HistoryRetention.

-- Active sessions by device type at a sample, in the order desktop, mobile, tablet,
-- bot, tv, console, wearable, other, unknown.
ALTER TABLE online_samples ADD COLUMN devices integer[];

-- One row for each minute that has been added up: how many sessions began and ended.
CREATE TABLE session_minutes (
    at      timestamptz PRIMARY KEY,
    logins  integer NOT NULL,
    ends    integer NOT NULL
);

-- One row for each quarter of an hour in which sessions began or ended: days and hours
-- of every time zone begin at one. counts holds how many began, by device type,
-- browser, system and country, and the durations of those that ended, by the number of
-- their bucket.
CREATE TABLE session_quarters (
    at      timestamptz PRIMARY KEY,
    logins  integer NOT NULL,
    counts  jsonb NOT NULL
);
