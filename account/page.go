package account

import (
	"bytes"
	"cmp"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// content is what the template shows.
type content struct {
	h       *handler
	Lang    string
	Dir     string
	Home    string
	Version string
	Body    template.HTML
	Note    string // what an action has done
	Error   string
	Active  []card
	Ended   []card
	Older   string // the cursor of older ended ones
	Others  bool   // there are live sessions besides the current one
	Confirm *confirm
}

// T returns a text of the page.
func (c content) T(key string) string { return c.h.text(key) }

// text returns a text by its key.
func (h *handler) text(key string) string { return h.messages[key] }

// known returns the text of a word, or that of "unknown" in its place.
func (h *handler) known(family, word string) string {
	if text, ok := h.messages[family+"."+word]; ok {
		return text
	}
	return h.messages[family+".unknown"]
}

// card is one session as the page shows it.
type card struct {
	device
	Name    string
	Icon    string
	Where   string
	IP      string
	By      string // how the user authenticated
	Why     string
	Who     string
	Support bool
}

func (h *handler) card(d device) card {
	c := card{device: d, Name: h.name(d), Icon: iconOf(d.Type), Where: h.text("place.unknown"), Support: d.ActedBy != nil}
	if d.Place != nil && d.Place.String() != "" {
		c.Where = d.Place.String()
	}
	if d.Address != nil {
		c.IP = *d.Address
	}
	var methods []string
	for _, method := range d.Methods {
		methods = append(methods, cmp.Or(h.text("method."+method), method))
	}
	c.By = strings.Join(methods, ", ")
	if d.EndReason != nil {
		c.Why = h.known("reason", *d.EndReason)
	}
	if d.EndedBy != nil {
		c.Who = h.text("by." + *d.EndedBy)
	}
	return c
}

// name is what a person calls the device: its model where it is known, else its kind.
func (h *handler) name(d device) string {
	name := cmp.Or(d.Model, h.known("device", d.Type))
	switch {
	case d.Browser != "" && d.OS != "":
		return strings.NewReplacer("{browser}", d.Browser, "{os}", d.OS).Replace(h.text("device.on")) + " · " + name
	case d.Browser != "" || d.OS != "":
		return d.Browser + d.OS + " · " + name
	}
	return name
}

func iconOf(kind string) string {
	switch kind {
	case "mobile", "tablet", "tv", "console", "wearable", "desktop":
		return kind
	}
	return "unknown"
}

// page answers with the list.
func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	cursor := query.Get("older")
	active, _, err := h.devices(r, "active", "")
	var ended []device
	var older string
	if err == nil {
		ended, older, err = h.devices(r, "ended", cursor)
	}
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	c := content{Older: older, Note: h.note(query.Get("done")), Others: len(active) > 1}
	slices.SortStableFunc(active, func(a, b device) int {
		if a.Current != b.Current {
			return map[bool]int{true: -1, false: 1}[a.Current]
		}
		return b.LastActivity.Compare(a.LastActivity)
	})
	for _, d := range active {
		c.Active = append(c.Active, h.card(d))
	}
	for _, d := range ended {
		c.Ended = append(c.Ended, h.card(d))
	}
	h.write(w, r, http.StatusOK, "list", c)
}

// note is the sentence about what has been done. The word comes from the address, so only known ones
// are shown.
func (h *handler) note(done string) string {
	switch done {
	case "end", "others", "report", "none":
		return h.text("done." + done)
	}
	return ""
}

// refuse answers where the online family did. Its redirects and pages are the host's (see
// Options.Refuse); its problems become a page where a browser asks for one.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusServiceUnavailable
	var refused *refusedError
	if errors.As(err, &refused) {
		a := refused.answer
		status = a.status
		problem := strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json")
		if !problem || !wantsPage(r) {
			for name, values := range a.header {
				w.Header()[name] = values
			}
			w.WriteHeader(status)
			_, _ = w.Write(a.body.Bytes())
			return
		}
		for _, name := range []string{"WWW-Authenticate", "Retry-After", "Set-Cookie"} {
			if values, ok := a.header[name]; ok {
				w.Header()[name] = values
			}
		}
	}
	h.write(w, r, status, "list", content{Error: h.errorText(status)})
}

func (h *handler) errorText(status int) string {
	if text, ok := h.messages["error."+strconv.Itoa(status)]; ok {
		return text
	}
	return h.text("error.500")
}

// wantsPage reports whether a browser will show the answer to a person.
func wantsPage(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// write renders a body, in the host's layout or the page's own.
func (h *handler) write(w http.ResponseWriter, r *http.Request, status int, name string, c content) {
	c.h, c.Lang, c.Dir, c.Home, c.Version = h, h.o.Language, h.dir, h.o.Home, h.version
	var body bytes.Buffer
	if err := templates.ExecuteTemplate(&body, name, c); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	c.Body = template.HTML(body.String()) //nolint:gosec // made by the template above
	if h.o.Layout != nil {
		w.WriteHeader(status)
		h.o.Layout(w, r, c.Body)
		return
	}
	var page bytes.Buffer
	if err := templates.ExecuteTemplate(&page, "page", c); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(page.Bytes())
	}
}

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"iso":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"when": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" },
}).ParseFS(files, "web/*.html"))
