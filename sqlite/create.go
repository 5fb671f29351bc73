package sqlite

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/sessiontrack/sessiontrack"
)

// Create implements [sessiontrack.Store]. SQLite has one writer at a time, so that the
// limit and the fence are exact without a lock of their own.
func (s *Store) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	if err := n.Check(); err != nil {
		return sessiontrack.CreateResult{}, err
	}
	var out sessiontrack.CreateResult
	err := s.transaction(ctx, "create", func(t *transaction) (err error) {
		if err := t.refuse(&n); err != nil {
			return err
		}
		if out.Ended, err = t.makeRoom(&n); err != nil {
			return err
		}
		if out.Session, err = t.insert(&n); err != nil {
			return err
		}
		if err := t.offline(out.Ended); err != nil {
			return err
		}
		seen := t.now
		if n.Session.ActedBy != "" {
			seen = unseen
		}
		_, err = t.exec(`INSERT INTO user_presence (user_id, last_activity) VALUES (?1, ?2)
			ON CONFLICT (user_id) DO UPDATE SET last_activity = max(last_activity, excluded.last_activity)`,
			out.Session.UserID, seen)
		return err
	})
	if err != nil {
		return sessiontrack.CreateResult{}, err
	}
	return out, nil
}

// refuse looks whether the handle is taken and whether the credential came before its
// user's fence, whose second is part of what is before.
func (t *transaction) refuse(n *sessiontrack.NewSession) error {
	taken := false
	err := t.each(func(*sql.Rows) error { taken = true; return nil },
		"SELECT 1 FROM user_sessions WHERE session_id = ?", string(n.Session.ID))
	if err != nil {
		return err
	}
	if taken {
		return sessiontrack.ErrExists
	}
	reason := ""
	if n.ProviderID != "" {
		err := t.each(func(rows *sql.Rows) error { return rows.Scan(&reason) },
			"SELECT reason FROM user_fences WHERE user_id = ?", providerFence+n.ProviderID)
		if err == nil && reason != "" {
			err = &sessiontrack.EndedError{Reason: sessiontrack.EndReason(reason)}
		}
		if err != nil {
			return err
		}
	}
	if n.IssuedAt.IsZero() {
		return nil
	}
	err = t.each(func(rows *sql.Rows) error { return rows.Scan(&reason) },
		"SELECT reason FROM user_fences WHERE user_id = ? AND at >= ? - ? % 1000000",
		n.Session.UserID, column(n.IssuedAt), column(n.IssuedAt))
	if err == nil && reason != "" {
		return &sessiontrack.EndedError{Reason: sessiontrack.EndReason(reason)}
	}
	return err
}

// makeRoom ends what n replaces and what is over the limit.
func (t *transaction) makeRoom(n *sessiontrack.NewSession) ([]sessiontrack.Session, error) {
	var replaced, over []int64
	if n.Replaces != "" {
		err := t.each(func(rows *sql.Rows) error {
			var id int64
			err := rows.Scan(&id)
			replaced = append(replaced, id)
			return err
		}, "SELECT id FROM user_sessions WHERE session_id = ? AND logout_at IS NULL", string(n.Replaces))
		if err != nil {
			return nil, err
		}
	}
	chosen, err := t.chosen(n, replaced)
	if err != nil {
		return nil, err
	}
	if n.Limit > 0 {
		active, err := t.active(n)
		if err != nil {
			return nil, err
		}
		active = slices.DeleteFunc(active, func(id int64) bool {
			return slices.Contains(replaced, id) || slices.Contains(chosen, id)
		})
		if excess := len(active) + 1 - n.Limit; excess > 0 {
			if n.Policy == sessiontrack.DenyNew {
				return nil, sessiontrack.ErrLimit
			}
			over = active[:excess]
		}
	}
	var ended []sessiontrack.Session
	for _, part := range []struct {
		ids    []int64
		ending sessiontrack.Ending
	}{
		{replaced, sessiontrack.Ending{Reason: sessiontrack.ReasonReplacement}},
		{chosen, sessiontrack.Ending{Reason: sessiontrack.ReasonUser, Actor: n.Session.UserID}},
		{over, sessiontrack.Ending{Reason: sessiontrack.ReasonLimit}},
	} {
		more, err := t.end(part.ids, part.ending)
		if err != nil {
			return nil, err
		}
		ended = append(ended, more...)
	}
	return ended, nil
}

// unseen is the presence of a user who has sessions and uses none of them: administrators act
// in them. Lists have the user, and no window.
const unseen = 1

// chosen returns the user's live sessions that n.Ends names, without those in except.
func (t *transaction) chosen(n *sessiontrack.NewSession, except []int64) (ids []int64, err error) {
	if len(n.Ends) == 0 {
		return nil, nil
	}
	err = t.each(func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		if !slices.Contains(except, id) {
			ids = append(ids, id)
		}
		return err
	}, `SELECT id FROM user_sessions WHERE user_id = ? AND logout_at IS NULL
		AND session_id IN (SELECT value FROM json_each(?)) ORDER BY id`, n.Session.UserID, asJSON(handles(n.Ends)))
	return ids, err
}

// active returns the user's sessions that count towards the limit, the first to be ended first.
func (t *transaction) active(n *sessiontrack.NewSession) (ids []int64, err error) {
	err = t.each(func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		ids = append(ids, id)
		return err
	}, `SELECT id FROM user_sessions AS s WHERE user_id = ?1 AND logout_at IS NULL AND acted_by = ''
		AND (expires_at IS NULL OR expires_at > ?2) AND `+notIdle("?2", "?3")+`
		ORDER BY CASE WHEN ?4 THEN last_activity ELSE login_at END, id`,
		n.Session.UserID, t.now, span(n.IdleTimeout), n.Policy == sessiontrack.EndLeastActive)
	return ids, err
}

// insert adds the row and reads it back.
func (t *transaction) insert(n *sessiontrack.NewSession) (sessiontrack.Session, error) {
	a := &n.Session
	d, l := &a.Device, &a.Location
	var hash, expires any
	if n.SecretHash != ([32]byte{}) {
		hash = n.SecretHash[:]
	}
	if n.Lifetime > 0 {
		expires = min(t.now+span(n.Lifetime), maxMicros)
	}
	_, err := t.exec(
		`INSERT INTO user_sessions (session_id, user_id, derived, secret_hash,
		ip_address, ip_source, country_code, country, region, city, login_ip_address, login_ip_source,
		user_agent, client_hints, device_type, device_source, device_ambiguous,
		browser, browser_version, os, os_version, brand, model,
		login_at, last_activity, expires_at, credential_until,
		client, tenant, acted_by, authenticated_at, methods, idle_timeout, remember, provider_id)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23,
			?24, ?24, ?25, ?26, ?27, ?28, ?29, CASE WHEN ?30 IS NULL AND ?3 THEN NULL ELSE min(coalesce(?30, ?24), ?24) END,
			?31, ?32, ?33, ?34)`,
		string(a.ID),
		a.UserID,
		a.Derived,
		hash,
		addressColumn(
			a.Address,
		),
		short(a.AddressSource),
		short(l.CountryCode),
		short(l.Country),
		short(l.Region),
		short(l.City),
		addressColumn(a.LoginAddress),
		short(a.LoginAddressSource),
		cut(a.UserAgent, maxUserAgent),
		cut(a.ClientHints, maxHints),
		short(d.Type),
		short(d.Source),
		d.Ambiguous,
		short(d.Browser),
		short(d.BrowserVersion),
		short(d.OS),
		short(d.OSVersion),
		short(d.Brand),
		short(d.Model),
		t.now,
		expires,
		columnOrNull(a.CredentialUntil),
		a.Client,
		a.Tenant,
		a.ActedBy,
		columnOrNull(a.AuthenticatedAt),
		strings.Join(a.Methods, " "),
		idleColumn(a.IdleTimeout),
		a.Remember,
		n.ProviderID,
	)
	if err != nil {
		return sessiontrack.Session{}, err
	}
	return t.session(a.ID)
}

// session reads a row of which the caller knows that it is there.
func (t *transaction) session(id sessiontrack.SessionID) (row sessiontrack.Session, err error) {
	err = t.each(func(rows *sql.Rows) (err error) { row, err = scanSession(rows); return err },
		"SELECT "+sessionColumns+" FROM user_sessions AS s WHERE s.session_id = ?", string(id))
	return row, err
}

// offline takes the users of ended sessions off the table of presence who have no live
// session left.
func (t *transaction) offline(ended []sessiontrack.Session) error {
	if len(ended) == 0 {
		return nil
	}
	users := make([]string, len(ended))
	for i := range ended {
		users[i] = ended[i].UserID
	}
	slices.Sort(users)
	list := asJSON(slices.Compact(users))
	_, err := t.exec(`DELETE FROM user_presence WHERE user_id IN (SELECT value FROM json_each(?))
		AND NOT EXISTS (SELECT 1 FROM user_sessions AS s WHERE s.user_id = user_presence.user_id AND s.logout_at IS NULL)`,
		list)
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE user_presence SET last_activity = ?1 WHERE user_id IN (SELECT value FROM json_each(?2))
		AND NOT EXISTS (SELECT 1 FROM user_sessions AS s
			WHERE s.user_id = user_presence.user_id AND s.logout_at IS NULL AND s.acted_by = '')`, unseen, list)
	return err
}
