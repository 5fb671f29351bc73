package account

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"
)

//go:embed web messages.json
var files embed.FS

// asset is one file beside the page.
type asset struct {
	kind    string
	content []byte
	tag     string
}

// assets are the files beside the page, by their names.
var assets = map[string]asset{
	"style.css":  load("web/style.css", "text/css; charset=utf-8"),
	"devices.js": load("web/devices.js", "text/javascript; charset=utf-8"),
	"session.js": load("web/session.js", "text/javascript; charset=utf-8"),
}

func load(name, kind string) asset {
	content, err := files.ReadFile(name)
	if err != nil {
		panic("account: " + err.Error())
	}
	sum := sha256.Sum256(content)
	return asset{kind, content, `"` + hex.EncodeToString(sum[:8]) + `"`}
}

// serve answers with the file. A browser asks again each time and gets 304 where nothing changed.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}

// assetVersion changes with the content of any asset.
func assetVersion() string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(assets)) {
		sum.Write(assets[name].content)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

var english = func() (texts map[string]string) {
	content, err := files.ReadFile("messages.json")
	if err == nil {
		err = json.Unmarshal(content, &texts)
	}
	if err != nil {
		panic("account: messages.json: " + err.Error())
	}
	return texts
}()

// Messages returns the page's texts in English, by the keys that [Options.Messages] takes. Words in
// braces are filled in by the page. The map is the caller's own.
func Messages() map[string]string { return maps.Clone(english) }
