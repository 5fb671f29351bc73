package sqlite

import (
	"context"

	"github.com/sessiontrack/sessiontrack"
)

// rememberSQL says whether the handle of an ended row must still be known: its
// credential may be good. ?1 is the time, ?2 the retention and ?3 KeepEnded.
const rememberSQL = `(s.derived AND ?1 < coalesce(s.credential_until, s.logout_at + max(?2, ?3)))`

const dueSQL = `SELECT s.id FROM user_sessions AS s WHERE s.logout_at <= ?1 - ?2 AND s.user_id <> ''
	ORDER BY s.logout_at LIMIT ?4`

const deleteSQL = `DELETE FROM user_sessions AS s WHERE s.id IN (` + dueSQL + `) AND NOT ` + rememberSQL

const blankSQL = `UPDATE user_sessions AS s SET user_id = '', secret_hash = NULL,
	ip_address = '', ip_source = '', country_code = '', country = '', region = '', city = '',
	login_ip_address = '', login_ip_source = '', user_agent = '', client_hints = '',
	device_type = '', device_source = '', device_ambiguous = 0,
	browser = '', browser_version = '', os = '', os_version = '', brand = '', model = '',
	login_at = NULL, last_activity = NULL, expires_at = NULL, ended_by = '',
	client = '', tenant = '', acted_by = '', authenticated_at = NULL, methods = '', last_seen = NULL, remember = 0,
	renewed_at = NULL, provider_id = ''
	WHERE s.id IN (` + dueSQL + `) AND ` + rememberSQL

// forgetSQL deletes what is left of derived sessions once nothing can present their
// credentials. The index is named: by itself SQLite takes the users' index for user_id = ”
// and sorts every handle that is still remembered.
const forgetSQL = `DELETE FROM user_sessions WHERE id IN (
	SELECT id FROM (SELECT id FROM user_sessions INDEXED BY user_sessions_remembered WHERE logout_at IS NOT NULL
		AND user_id = ''
		AND credential_until <= ?1 AND logout_at <= ?1 - ?2 ORDER BY credential_until LIMIT ?4)
	UNION ALL SELECT id FROM (SELECT id FROM user_sessions INDEXED BY user_sessions_remembered
		WHERE logout_at IS NOT NULL AND user_id = ''
		AND credential_until IS NULL AND logout_at <= ?1 - max(?2, ?3) ORDER BY logout_at LIMIT ?4)
	LIMIT ?4)`

// unfenceSQL deletes fences that every credential from before them has outlived.
const unfenceSQL = `DELETE FROM user_fences WHERE user_id IN (
	SELECT user_id FROM user_fences WHERE at < ? ORDER BY at LIMIT 2000)`

// Purge implements [sessiontrack.Store].
func (s *Store) Purge(ctx context.Context, p sessiontrack.PurgeOptions) (int, error) {
	if err := p.Check(); err != nil {
		return 0, err
	}
	retention, keep := span(p.Retention), span(p.KeepEnded)
	changed := 0
	err := s.transaction(ctx, "purge", func(t *transaction) error {
		// Rows that are blanked leave the range of those that are due, so they go first
		// and the deletion gets what is left of the limit.
		for _, step := range [...]string{blankSQL, deleteSQL, forgetSQL} {
			n, err := t.exec(step, t.now, retention, keep, p.Limit-changed)
			if changed += n; err != nil || changed == p.Limit {
				return err
			}
		}
		_, err := t.exec(unfenceSQL, t.now-keep)
		return err
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}
