package sessiontrack

import (
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	codec "github.com/sessiontrack/sessiontrack/internal/handle"
	"github.com/sessiontrack/sessiontrack/internal/query"
)

const (
	// previewLife is how long a preview may be used.
	previewLife = time.Hour
	// maxBody bounds the body of a request, in bytes: a preview of 100 user ids, or 1,000 handles.
	maxBody = 128 << 10
)

// preview is a count that can be ended: a filter as of a time. Its text is self-contained, so that
// every replica can read it. It grants nothing: whoever sends it needs the right to end sessions.
type preview struct {
	filter Filter
	count  Count
}

func (p preview) String() string {
	v := url.Values{"filter": {p.filter.String()}, "at": {strconv.FormatInt(micros(p.count.AsOf), 10)}}
	if p.count.Exact {
		v.Set("n", strconv.Itoa(p.count.N))
	}
	return base64.RawURLEncoding.EncodeToString([]byte(v.Encode()))
}

// parsePreview reads a preview. now is the store's time.
func parsePreview(s string, now time.Time) (p preview, err error) {
	wrong := &query.Mistake{Detail: "preview: want what the count gave as preview."}
	raw, err := codec.Encoding.DecodeString(s)
	if err != nil {
		return p, wrong
	}
	v, err := url.ParseQuery(string(raw))
	if err != nil {
		return p, wrong
	}
	at, err := strconv.ParseInt(v.Get("at"), 10, 64)
	if err != nil || at <= 0 || at > maxMicros {
		return p, wrong
	}
	p.count.AsOf = fromMicros(at)
	if n, err := strconv.Atoi(v.Get("n")); err == nil && n >= 0 && n <= exactCount {
		p.count.N, p.count.Exact = n, true
	}
	if p.filter, err = ParseFilter(v.Get("filter")); err != nil || p.filter.state() != StateActive {
		return p, wrong
	}
	if age := now.Sub(p.count.AsOf); age > previewLife {
		return p, &query.Mistake{Detail: "preview: it is older than an hour; count again."}
	} else if age < -time.Minute {
		return p, wrong
	}
	return p, nil
}

// endRequest is the body of a bulk end.
type endRequest struct {
	Preview string      `json:"preview"`
	IDs     []SessionID `json:"ids"`
	Reason  *EndReason  `json:"reason"`
}

// body reads the body of a request, as JSON with known fields only.
func (c *call) body(into any) error {
	d := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &query.Mistake{Detail: "The body: want one JSON object with the fields of this path, at most 128 KiB."}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return &query.Mistake{Detail: "The body: want one JSON object and nothing behind it."}
	}
	return nil
}

// ending returns what a bulk end writes.
func (r *endRequest) ending(c *call) (Ending, error) {
	e := Ending{Reason: ReasonAdmin, Actor: c.caller.entry.user}
	if r.Reason != nil {
		e.Reason = *r.Reason
	}
	switch e.Reason {
	case ReasonIdle, ReasonLifetime, ReasonLimit, ReasonReplacement:
		return e, &query.Mistake{Detail: "reason: only the library itself gives this one."}
	}
	if !e.Reason.valid() {
		return e, &query.Mistake{Detail: "reason: want 1 to 32 characters of a-z, 0-9, '_' and '-'."}
	}
	return e, nil
}

type bulkView struct {
	Ended   int  `json:"ended"`
	Skipped int  `json:"skipped"`
	More    bool `json:"more"`
}

// endMany ends what a preview showed, or sessions by their handles.
func (h *adminHandler) endMany(c *call) (any, error) {
	var r endRequest
	if err := c.body(&r); err != nil {
		return nil, err
	}
	e, err := r.ending(c)
	if err != nil {
		return nil, err
	}
	c.action.Reason = e.Reason
	var out bulkView
	switch {
	case (r.Preview == "") == (len(r.IDs) == 0):
		return nil, &query.Mistake{Detail: "The body: want either preview or ids."}
	case len(r.IDs) > bulkLimit:
		return nil, &query.Mistake{Detail: "ids: want at most " + strconv.Itoa(bulkLimit) + "."}
	case r.Preview != "":
		out, err = h.endPreview(c, r.Preview, e)
	default:
		out, err = h.endIDs(c, r.IDs, e)
	}
	c.action.Ended, c.action.Skipped = out.Ended, out.Skipped
	if err != nil {
		return nil, err
	}
	return adminAnswer{Success: true, Data: out}, nil
}

// endPreview ends some of what a preview showed. What it showed and does not match any more is
// skipped; a preview of more sessions than one call looks at does not say how many those are.
func (h *adminHandler) endPreview(c *call, text string, e Ending) (out bulkView, err error) {
	p, err := parsePreview(text, fromMicros(h.t.clock.Now()))
	if err != nil {
		return out, err
	}
	c.action.Filter = p.filter.String()
	h.t.touches.flushBeforeRead(c.r.Context())
	b := &bulkEnd{
		t: h.t, filter: p.filter, asOf: p.count.AsOf, ending: e, most: bulkLimit,
		allowed: func(found []Session) error { return h.maySignOutAll(c, found) },
	}
	if h.t.backend.auditor != nil {
		r := h.record(c, AuditDone)
		b.audit = &r
	}
	ended, err := b.step(c.r.Context())
	c.recorded = ended.recorded
	out = bulkView{Ended: len(ended.sessions), Skipped: ended.skipped, More: ended.more}
	if p.count.Exact && p.count.N <= bulkLimit && !out.More {
		out.Skipped = max(0, p.count.N-out.Ended)
	}
	return out, err
}

// endIDs ends sessions by their handles. Unknown ones and those that had ended are skipped.
func (h *adminHandler) endIDs(c *call, ids []SessionID, e Ending) (out bulkView, err error) {
	ctx := c.r.Context()
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	var found []Session
	for _, id := range ids {
		s, err := h.t.gate.stored(ctx, id)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return out, err
		}
		if err == nil && !s.Ended() {
			found = append(found, s)
		}
	}
	if err := h.maySignOutAll(c, found); err != nil {
		return out, err
	}
	if len(found) > 0 {
		known := make([]SessionID, len(found))
		for i := range found {
			known[i] = found[i].ID
		}
		ended, err := h.endAudited(c, IDs(known...), e, h.record(c, AuditDone))
		if err != nil {
			return out, err
		}
		out.Ended = len(ended.Sessions)
	}
	out.Skipped = len(ids) - out.Ended
	return out, nil
}

// maySignOutAll asks once for each user.
func (h *adminHandler) maySignOutAll(c *call, sessions []Session) error {
	asked := map[string]struct{}{}
	for i := range sessions {
		user := sessions[i].UserID
		if _, again := asked[user]; again {
			continue
		}
		asked[user] = struct{}{}
		if err := h.maySignOut(c, user); err != nil {
			return err
		}
	}
	return nil
}

// maxExport bounds the rows of an export.
const maxExport = 100_000

// exportCSV streams a list as CSV (RFC 4180). The last line says so where it is not complete.
func (h *adminHandler) exportCSV(c *call) (any, error) {
	f, err := h.filter(c)
	if err != nil {
		return nil, err
	}
	c.action.Filter = f.String()
	q := Query{Filter: f, Sort: SortLogin, Limit: maxPage}
	page, err := h.t.list(c.r.Context(), q)
	if err != nil {
		return nil, err
	}
	if err := h.keep(c, nil); err != nil { // what has been streamed cannot be taken back
		return nil, err
	}
	header := c.w.Header()
	header.Set("Content-Type", "text/csv; charset=utf-8; header=present")
	header.Set("Content-Disposition", `attachment; filename="sessions.csv"`)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if c.r.Method == http.MethodHead {
		return served{}, nil
	}
	w := csv.NewWriter(c.w)
	w.UseCRLF = true
	_ = w.Write(csvHeader) // Flush keeps the error
	for rows := 0; ; {
		for _, v := range h.adminViews(page.Sessions, c, h.opts.Online) {
			_ = w.Write(csvRow(&v))
		}
		rows += len(page.Sessions)
		w.Flush()
		switch {
		case w.Error() != nil || page.Next.IsZero():
			return served{}, nil
		case rows >= maxExport:
			return served{}, csvEnd(w, fmt.Sprintf("cut off after %d rows: narrow the filter", rows))
		}
		if q.After = page.Next; q.AsOf.IsZero() {
			q.AsOf = page.Now
		}
		if page, err = h.t.list(c.r.Context(), q); err != nil {
			h.t.host.logOutage(c.r.Context(), err)
			return served{}, csvEnd(w, "cut off: the store could not be read")
		}
	}
}

// csvEnd writes a last line that no program takes for a session. A failure has no reader any more.
func csvEnd(w *csv.Writer, text string) error {
	_ = w.Write(append([]string{"# " + text}, make([]string, len(csvHeader)-1)...))
	w.Flush()
	return nil
}

var csvHeader = []string{
	"sessionId", "userId", "email", "fullName", "isActive", "loginAt", "lastActivity", "logoutAt", "endReason", "endedBy",
	"ipAddress", "country", "region", "city", "deviceType", "browser", "os", "device", "userAgent",
}

func csvRow(v *adminSessionView) []string {
	moment := func(t *time.Time) string {
		if t == nil {
			return ""
		}
		return t.Format(time.RFC3339Nano)
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	place, reason, by := Location{}, "", ""
	if v.Location != nil {
		place = *v.Location
	}
	if v.EndReason != nil {
		reason = string(*v.EndReason)
	}
	if v.EndedBy != nil {
		by = fmt.Sprint(v.EndedBy)
	}
	row := []string{
		string(v.SessionID), fmt.Sprint(v.UserID), text(v.User.Email), text(v.User.FullName),
		strconv.FormatBool(v.IsActive), moment(&v.LoginAt), moment(&v.LastActivity), moment(v.LogoutAt), reason, by,
		text(v.IPAddress), place.CountryCode, place.Region, place.City, string(v.DeviceType), v.Browser, v.OS, v.Device,
		v.UserAgent,
	}
	for i := range row {
		row[i] = defused(row[i])
	}
	return row
}

// defused is a value that no spreadsheet takes for a formula (OWASP ASVS 1.2.10).
func defused(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}
