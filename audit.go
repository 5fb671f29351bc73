package sessiontrack

import (
	"context"
	"net/netip"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// Auditor keeps the audit trail (OWASP ASVS 16.2.1, 16.3.2). Without it admin actions go to the log
// and to Observer.AdminAction only.
//
// The trail is append-only: a record never changes, except that its personal data may be blanked,
// and only PurgeAudit deletes records. End of an Auditor writes Ending.Audit.
type Auditor interface {
	// Record appends a record. Its At is the store's time.
	Record(ctx context.Context, r AuditRecord) error

	// Audit returns a page of the trail, newest first.
	Audit(ctx context.Context, q AuditQuery) (AuditPage, error)

	// PurgeAudit deletes the oldest records that are older than keep, at most limit of them, and
	// returns how many it has deleted.
	PurgeAudit(ctx context.Context, keep time.Duration, limit int) (int, error)
}

// AuditOutcome says how an action went.
type AuditOutcome string

// These are the outcomes. AuditRefused is an attempt of somebody who may not do it. AuditFailed is
// one that was not carried out for another reason, such as a wrong parameter.
const (
	AuditDone    AuditOutcome = "done"
	AuditRefused AuditOutcome = "refused"
	AuditFailed  AuditOutcome = "failed"
)

// These are the actions that a Tracker records.
const (
	actionForceLogout     = "force_logout"
	actionForceLogoutUser = "force_logout_user"
	actionEndMany         = "end_sessions"
	actionExport          = "export_sessions"
	actionCleanup         = "cleanup"
	actionEndOwn          = "end_own"
	actionEndOthers       = "end_others"
	actionReport          = "report"
	actionStepUp          = "step_up"
	actionImpersonate     = "impersonate"
)

// AuditRecord is one record of the trail.
type AuditRecord struct {
	// At is the store's time of the record. A caller leaves it zero.
	At time.Time
	// Action is "force_logout", "force_logout_user", "end_sessions", "export_sessions", "cleanup",
	// "end_own", "end_others", "report", "step_up", "impersonate", or a word of the host's: 1 to 32
	// characters of a-z, 0-9, '_' and '-'.
	Action  string
	Outcome AuditOutcome
	// Actor is the user id of the person who acts; empty if unknown. UserID and SessionID are whom
	// and what it is about; empty for an action on many.
	Actor     string
	UserID    string
	SessionID SessionID
	// Reason is the end reason that was or would have been stored; empty for none.
	Reason EndReason
	// Count is how many sessions ended. End adds those that its call ended.
	Count int
	// Filter is the filter of what was ended or exported, as [Filter.String] writes it.
	Filter string
	// Address is the actor's, as Options.AddressMode keeps it; not valid if it is not kept.
	Address netip.Addr
}

// AuditQuery selects a page of the trail. Empty fields select everything.
type AuditQuery struct {
	Actor, User, Action string
	// From and To bound At: from From on, and before To.
	From, To time.Time
	// After is the Next of the page before. Limit is 1 to 100.
	After Cursor
	Limit int
}

// AuditPage is one page of the trail.
type AuditPage struct {
	Records []AuditRecord
	// Next is where the next page begins; zero means that there is none.
	Next Cursor
}

// maxAuditFilter bounds AuditRecord.Filter, in bytes. A longer one is refused.
const maxAuditFilter = 128 << 10

// Check returns an error for values that no store may write. It names the field and its bound.
func (r *AuditRecord) Check() error {
	if !EndReason(r.Action).valid() {
		return mistake("record: Action is %.40q: want 1 to 32 characters of a-z, 0-9, '_' and '-'", r.Action)
	}
	switch r.Outcome {
	case AuditDone, AuditRefused, AuditFailed:
	default:
		return mistake("record: Outcome is %.40q: want done, refused or failed", string(r.Outcome))
	}
	if r.Reason != "" && !r.Reason.valid() {
		return mistake("record: Reason is %.40q: want none, or 1 to 32 characters of a-z, 0-9, '_' and '-'", string(r.Reason))
	}
	if _, ok := parseHandle(r.SessionID); !ok && r.SessionID != "" {
		return mistake("record: SessionID is not %d characters of canonical base64url", idChars)
	}
	if err := checkAuditIDs("record", r.Actor, r.UserID); err != nil {
		return err
	}
	if r.Count < 0 {
		return mistake("record: Count is %d: want 0 or more", r.Count)
	}
	if len(r.Filter) > maxAuditFilter || !text.Valid(r.Filter) {
		return mistake("record: Filter has %d bytes: want at most %d of valid UTF-8 without control characters",
			len(r.Filter), maxAuditFilter)
	}
	return nil
}

// checkAuditIDs checks user ids that may be empty.
func checkAuditIDs(verb, actor, user string) error {
	for _, id := range [...]struct{ field, value string }{{"Actor", actor}, {"User", user}} {
		if id.value != "" && !validUserID(id.value) {
			return mistake("%s: %s: want none, or at most %d bytes of valid UTF-8 without control characters", verb,
				id.field, maxUserID)
		}
	}
	return nil
}

// Check returns an error for a limit outside of 1 to 100, an id or an action that no record has, or
// a To that is not after From.
func (q *AuditQuery) Check() error {
	if err := checkLimit("audit", q.Limit); err != nil {
		return err
	}
	if err := checkAuditIDs("audit", q.Actor, q.User); err != nil {
		return err
	}
	if q.Action != "" && !EndReason(q.Action).valid() {
		return mistake("audit: Action is %.40q: want none, or 1 to 32 characters of a-z, 0-9, '_' and '-'", q.Action)
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.To.After(q.From) {
		return mistake("audit: To is not after From")
	}
	return nil
}

// CheckPurgeAudit returns an error for arguments that no PurgeAudit takes: a limit below 1, or a
// negative duration.
func CheckPurgeAudit(keep time.Duration, limit int) error {
	if limit < 1 {
		return mistake("purge audit: limit is %d: want 1 or more", limit)
	}
	return notNegative("purge audit", span{"keep", keep})
}

// checkAudit checks the record of an end.
func (e Ending) checkAudit() error {
	if e.Audit == nil {
		return nil
	}
	return e.Audit.Check()
}

// counted returns the record of an end that has ended n sessions.
func (r *AuditRecord) counted(n int) AuditRecord {
	out := *r
	out.Count += n
	return out
}

// matches reports whether a query selects a record with that serial.
func (q *AuditQuery) matches(r *AuditRecord, serial int64) bool {
	switch {
	case q.Actor != "" && r.Actor != q.Actor, q.User != "" && r.UserID != q.User, q.Action != "" && r.Action != q.Action:
		return false
	case !q.From.IsZero() && r.At.Before(q.From), !q.To.IsZero() && !r.At.Before(q.To):
		return false
	case q.After.IsZero():
		return true
	}
	return r.At.Before(q.After.At) || r.At.Equal(q.After.At) && serial < q.After.Serial
}
