package sessiontrack

import (
	"errors"
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
