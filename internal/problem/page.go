package problem

import (
	"html"
	"net/http"
	"strings"
)

// page is a problem for a person: a heading and a sentence, without style or script.
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>TITLE</title>
</head>
<body>
<main>
<h1>TITLE</h1>
<p>DETAIL</p>
</main>
</body>
</html>
`

// WritePage answers as Write does, with a page of HTML in place of JSON.
func (p Problem) WritePage(w http.ResponseWriter) {
	h := w.Header()
	p.setHeaders(h)
	private(h, "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	body := strings.NewReplacer("TITLE", html.EscapeString(p.Title), "DETAIL", html.EscapeString(p.Detail)).Replace(page)
	w.WriteHeader(p.Status)
	_, _ = w.Write([]byte(body))
}
