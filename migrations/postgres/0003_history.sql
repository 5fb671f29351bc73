-- The data of the history. They are rolled up once a minute and kept for Options.HistoryRetention.

-- The active sessions of a sample by device type, in the order desktop, mobile, tablet, bot, tv,
-- console, wearable, other, unknown.
ALTER TABLE online_samples ADD COLUMN devices integer[];

-- One row per minute that was rolled up: the numbers of sessions that began and ended.
CREATE TABLE session_minutes (
    at      timestamptz PRIMARY KEY,
    logins  integer NOT NULL,
    ends    integer NOT NULL
);

-- One row per quarter of an hour in which sessions began or ended, because in every time zone days
-- and hours begin at a quarter. counts holds the numbers of begun sessions by device type, browser,
-- system and country. It also holds the durations of ended sessions, by the number of their bucket.
CREATE TABLE session_quarters (
    at      timestamptz PRIMARY KEY,
    logins  integer NOT NULL,
    counts  jsonb NOT NULL
);
