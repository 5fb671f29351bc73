package sqlite

import (
	"context"

	"github.com/sessiontrack/sessiontrack"
)

const (
	describeDeviceSQL = `UPDATE user_sessions SET device_type = ?2, device_source = ?3, device_ambiguous = ?4,
		browser = ?5, browser_version = ?6, os = ?7, os_version = ?8, brand = ?9, model = ?10
		WHERE session_id = ?1 AND logout_at IS NULL`
	describeNetworkSQL = `UPDATE user_sessions SET ip_address = ?2, ip_source = ?3,
		country_code = ?4, country = ?5, region = ?6, city = ?7 WHERE session_id = ?1 AND logout_at IS NULL`
	describeUntilSQL = `UPDATE user_sessions SET credential_until = ?2
		WHERE session_id = ?1 AND logout_at IS NULL AND coalesce(credential_until, 0) < ?2`
)

// Describe implements [sessiontrack.Store]. Of two updates of one session the later one
// in the batch counts.
func (s *Store) Describe(ctx context.Context, batch []sessiontrack.SessionUpdate) error {
	if len(batch) == 0 {
		return failed("describe", ctx.Err())
	}
	return s.transaction(ctx, "describe", func(t *transaction) error {
		for i := range batch {
			if _, err := sessiontrack.ParseSessionID(string(batch[i].ID)); err != nil {
				continue // not a valid handle; it must not make the batch fail
			}
			if err := t.describe(&batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *transaction) describe(u *sessiontrack.SessionUpdate) error {
	id := string(u.ID)
	if d := u.Device; d != nil {
		_, err := t.exec(describeDeviceSQL, id, short(d.Type), short(d.Source), d.Ambiguous, short(d.Browser),
			short(d.BrowserVersion), short(d.OS), short(d.OSVersion), short(d.Brand), short(d.Model))
		if err != nil {
			return err
		}
	}
	if n := u.Network; n != nil {
		l := &n.Location
		_, err := t.exec(describeNetworkSQL, id, addressColumn(n.Address), short(n.Source),
			short(l.CountryCode), short(l.Country), short(l.Region), short(l.City))
		if err != nil {
			return err
		}
	}
	if u.CredentialUntil.IsZero() {
		return nil
	}
	_, err := t.exec(describeUntilSQL, id, column(u.CredentialUntil))
	return err
}
