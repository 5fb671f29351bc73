package sessiontrack

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/sessiontrack/sessiontrack/internal/problem"
)

type historyAnswer struct {
	From      time.Time     `json:"from"`
	To        time.Time     `json:"to"`
	Step      StepSize      `json:"step"`
	TimeZone  string        `json:"time_zone"`
	Timestamp time.Time     `json:"timestamp"`
	Status    string        `json:"status"`
	Series    []pointView   `json:"series"`
	Peaks     []peakView    `json:"peaks"`
	Durations durationsView `json:"durations"`
	SignIns   [7][24]int    `json:"sign_ins_by_hour"`
	Shares    sharesView    `json:"shares"`
}

type pointView struct {
	At              time.Time          `json:"at"`
	OnlineUsers     int                `json:"online_users"`
	PeakOnlineUsers int                `json:"peak_online_users"`
	ActiveSessions  int                `json:"active_sessions"`
	Logins          int                `json:"logins"`
	Ends            int                `json:"ends"`
	Devices         map[DeviceType]int `json:"devices"`
}

type peakView struct {
	Date  string    `json:"date"`
	Users int       `json:"users"`
	At    time.Time `json:"at"`
}

type durationsView struct {
	Count         int    `json:"count"`
	MedianSeconds *int64 `json:"median_seconds"`
	P90Seconds    *int64 `json:"p90_seconds"`
}

type sharesView struct {
	Device  []shareView `json:"device"`
	Browser []shareView `json:"browser"`
	OS      []shareView `json:"os"`
	Country []shareView `json:"country"`
}

type shareView struct {
	Name  string `json:"name"`
	Count int    `json:"count"`
}

// history answers with time series for charts, for administrators.
func (h *userHandler) history(c *call) (any, error) {
	p := parametersOf(c)
	r := HistoryRange{From: p.Time("from"), To: p.Time("to"), Step: p.step(), Zone: p.Zone("tz")}
	if err := p.Err(); err != nil {
		return nil, err
	}
	history, err := h.t.figures.history(c.r.Context(), r)
	for _, mistake := range []error{errHistoryRange, errHistoryStep, errHistoryPoints} {
		if errors.Is(err, mistake) {
			return nil, &problemError{problem.BadRequest(mistake.Error() + ".")}
		}
	}
	if err != nil {
		return nil, err
	}
	return viewOf(&history), nil
}

// step is checked with the range.
func (p parameters) step() StepSize {
	text, _ := p.Raw("step")
	return StepSize(text)
}

func viewOf(h *History) historyAnswer {
	a := historyAnswer{
		From: h.From.UTC(), To: h.To.UTC(), Step: h.Step, TimeZone: h.Zone.String(), Timestamp: h.At, Status: "success",
		Series: make([]pointView, len(h.Points)), Peaks: make([]peakView, len(h.Peaks)),
		Durations: durationsView{Count: h.Durations.Count}, SignIns: h.SignIns,
		Shares: sharesView{shareViews(h.Devices), shareViews(h.Browsers), shareViews(h.Systems), shareViews(h.Countries)},
	}
	for i := range h.Points {
		p := &h.Points[i]
		a.Series[i] = pointView{
			p.At.UTC(), p.OnlineUsers, p.PeakOnlineUsers, p.ActiveSessions, p.Logins, p.Ends, make(map[DeviceType]int),
		}
		for j, n := range p.Devices {
			if n > 0 {
				a.Series[i].Devices[deviceTypes[j]] = n
			}
		}
	}
	for i, peak := range h.Peaks {
		a.Peaks[i] = peakView{peak.Day.Format(time.DateOnly), peak.Users, peak.At}
	}
	if h.Durations.Count > 0 {
		median, p90 := int64(h.Durations.Median/time.Second), int64(h.Durations.P90/time.Second)
		a.Durations.MedianSeconds, a.Durations.P90Seconds = &median, &p90
	}
	return a
}

func shareViews(shares []NameCount) []shareView {
	views := make([]shareView, len(shares))
	for i, s := range shares {
		views[i] = shareView(s)
	}
	return views
}

// endAudited ends sessions, and writes r to the audit trail in the same transaction if there is one.
func (f *family) endAudited(c *call, sel Selector, e Ending, r AuditRecord) (EndResult, error) {
	if f.t.backend.auditor != nil {
		e.Audit = &r
	}
	ended, err := f.t.end(c.r.Context(), sel, e)
	c.recorded = err == nil && e.Audit != nil
	return ended, err
}

// keep appends an attempt to the audit trail, unless that is done.
func (f *family) keep(c *call, err error) error {
	if c.recorded || f.t.backend.auditor == nil {
		return nil
	}
	outcome := AuditFailed
	if err == nil {
		outcome = AuditDone
	} else if status := problemOf(err).Status; status == http.StatusUnauthorized || status == http.StatusForbidden {
		outcome = AuditRefused
	}
	err = f.t.backend.record(detached(c.r.Context()), f.record(c, outcome))
	c.recorded = err == nil
	return err
}

// record describes an attempt at an admin action.
func (f *family) record(c *call, outcome AuditOutcome) AuditRecord {
	a := f.attempt(c)
	r := AuditRecord{
		Action: a.Action, Outcome: outcome, Actor: a.Actor, UserID: cmp.Or(a.TargetUser, c.target),
		SessionID: a.TargetSession, Reason: a.Reason, Count: a.Ended, Filter: a.Filter,
	}
	r.Address, _ = f.t.describer.addressOf(c.r)
	return r
}

// ownRecord describes what a user does with sessions of their own, or an administrator in their
// name.
func (h *userHandler) ownRecord(c *call, action string, reason EndReason) AuditRecord {
	s := c.caller.entry.session()
	r := AuditRecord{
		Action: action, Outcome: AuditDone, Actor: cmp.Or(s.ActedBy, s.UserID), UserID: s.UserID, SessionID: SessionID(c.id),
		Reason: reason,
	}
	r.Address, _ = h.t.describer.addressOf(c.r)
	return r
}

// auditView is a record of the trail. What there is not is null.
type auditView struct {
	At        time.Time    `json:"at"`
	Action    string       `json:"action"`
	Outcome   AuditOutcome `json:"outcome"`
	Actor     *auditActor  `json:"actor"`
	User      *userView    `json:"user"`
	SessionID *string      `json:"sessionId"`
	Reason    *string      `json:"reason"`
	Count     int          `json:"count"`
	Filter    *string      `json:"filter"`
	IPAddress *string      `json:"ipAddress"`
}

type auditActor struct {
	ID   any     `json:"id"`
	Name *string `json:"name"`
}

// trail answers with a page of the audit trail.
func (h *adminHandler) trail(c *call) (any, error) {
	p := parametersOf(c)
	q := AuditQuery{
		Actor: p.Text("actor", maxUserID), User: p.Text("user", maxUserID), Action: p.Text("action", 32),
		From: p.Time("from"), To: p.Time("to"), After: p.cursor(), Limit: p.limit(50),
	}
	if q.Action != "" && !EndReason(q.Action).valid() {
		p.Refuse("action", "want 1 to 32 characters of a-z, 0-9, '_' and '-'")
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.To.After(q.From) {
		p.Refuse("to", "it is not after from")
	}
	if !q.After.IsZero() && q.After.UserID != "" {
		p.Refuse("cursor", "it is from another list")
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	page, err := auditOf(c.r.Context(), &h.t.backend, q)
	if err != nil {
		return nil, err
	}
	return adminAnswer{Success: true, Data: h.auditViews(c, page.Records), Next: page.Next.String()}, nil
}

func (h *adminHandler) auditViews(c *call, records []AuditRecord) []auditView {
	var ids []string
	for i := range records {
		ids = append(ids, records[i].Actor, records[i].UserID)
	}
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return id == "" })
	known := h.t.host.users(c.r.Context(), ids)
	views := make([]auditView, len(records))
	for i := range records {
		r := &records[i]
		v := auditView{
			At: r.At, Action: r.Action, Outcome: r.Outcome, SessionID: textOrNil(string(r.SessionID)),
			Reason: textOrNil(string(r.Reason)), Count: r.Count, Filter: textOrNil(r.Filter),
		}
		if r.Actor != "" {
			v.Actor = &auditActor{h.t.host.jsonUserID(r.Actor), textOrNil(known[r.Actor].fullName())}
		}
		if r.UserID != "" {
			user := h.userView(r.UserID, known[r.UserID])
			v.User = &user
		}
		if r.Address.IsValid() {
			v.IPAddress = textOrNil(r.Address.String())
		}
		views[i] = v
	}
	return views
}
