// Package openapi has the description of the HTTP contract: an OpenAPI 3.1 document of the
// families that [sessiontrack.Tracker.AdminHandler] and [sessiontrack.Tracker.UserHandler] serve.
// Generate types and clients for other languages from it.
//
//	mux.Handle("GET /openapi.yaml", openapi.Handler(nil))
package openapi

import (
	_ "embed"
	"net/http"
	"strings"
)

//go:embed openapi.yaml
var document string

// These are the default prefixes of the two families.
const (
	adminPath  = "/api/user-sessions/"
	onlinePath = "/api/v1/online/"
)

// Options say where the application has mounted the families. The zero value and nil mean the
// defaults.
type Options struct {
	// AdminPath and OnlinePath are the prefixes of the families as clients see them: with a slash at
	// both ends. The defaults are /api/user-sessions/ and /api/v1/online/.
	AdminPath, OnlinePath string
}

// Document returns the description in YAML.
func Document(o *Options) string {
	if o == nil {
		return document
	}
	var places []string
	for _, p := range [...]struct{ from, to string }{{adminPath, o.AdminPath}, {onlinePath, o.OnlinePath}} {
		if p.to != "" {
			places = append(places, "\n  "+p.from, "\n  "+p.to)
		}
	}
	return strings.NewReplacer(places...).Replace(document)
}

// Handler serves the description in YAML (RFC 9512). It holds no data of anybody, and answers
// everybody; let the application's router restrict the method.
func Handler(o *Options) http.Handler {
	text := Document(o)
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write([]byte(text))
	})
}
