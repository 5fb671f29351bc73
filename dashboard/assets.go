package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
)

//go:embed web
var web embed.FS

const (
	// forGood is for files whose path changes with what is in them.
	forGood = "public, max-age=31536000, immutable"
	// askAgain is for the page itself: it is kept, and asked for again by its tag.
	askAgain = "no-cache"
)

// asset is one file as it is sent.
type asset struct {
	body, zipped []byte
	mediaType    string
	etag         string
	caching      string
}

func newAsset(name string, body []byte, caching string) asset {
	file := asset{body: body, mediaType: mediaType(name), etag: `"` + digest(body) + `"`, caching: caching}
	if zipped := zip(body); len(zipped) < len(body) {
		file.zipped = zipped
	}
	return file
}

// bundle returns all that the handler serves, by path below the prefix; "" is the page.
// brand is style that comes after the page's own.
// All other files lie in one folder, which is named by what is in it: references between
// them are relative, so a page never mixes files of two versions.
func bundle(config, brand []byte) map[string]asset {
	bodies := map[string][]byte{"config.json": config}
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := web.ReadFile(name)
		bodies[strings.TrimPrefix(name, "web/")] = slim(name, body)
		return err
	})
	if err != nil { // embedded: it cannot be
		panic("dashboard: " + err.Error())
	}
	bodies["style.css"] = append(bodies["style.css"], brand...)
	folder := folderOf(bodies)
	files := map[string]asset{}
	for name, body := range bodies {
		files[folder+"/"+name] = newAsset(name, body, forGood)
	}
	page := strings.Replace(string(bodies["index.html"]), "{preloads}", preloads(bodies), 1)
	page = strings.ReplaceAll(page, "{assets}", folder)
	delete(files, folder+"/index.html")
	files[""] = newAsset("index.html", []byte(page), askAgain)
	return files
}

var imports = regexp.MustCompile(`(?m)^import [^"]*"([^"]+)"`)

// preloads names the modules that the first view needs: they are asked for at once, and
// not one after the other as each is found to import the next.
func preloads(bodies map[string][]byte) string {
	wanted := []string{"js/main.js", "js/overview.js"}
	var links []string
	for i := 0; i < len(wanted); i++ {
		links = append(links, `<link rel="modulepreload" href="{assets}/`+wanted[i]+`">`)
		for _, found := range imports.FindAllSubmatch(bodies[wanted[i]], -1) {
			name := path.Join(path.Dir(wanted[i]), string(found[1]))
			if !slices.Contains(wanted, name) {
				wanted = append(wanted, name)
			}
		}
	}
	return strings.Join(links, "\n")
}

func folderOf(bodies map[string][]byte) string {
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		sums.WriteString(name + " " + digest(bodies[name]) + "\n")
	}
	return digest([]byte(sums.String()))
}

func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

var comments = regexp.MustCompile(`(?s)/\*.*?\*/`)

// slim leaves out what only readers of the source need: comments that have their own
// lines, and the space before a line. The lines of a module keep their numbers.
func slim(name string, body []byte) []byte {
	switch {
	case strings.Contains(name, "/uplot/"):
		return body
	case strings.HasSuffix(name, ".css"):
		body = comments.ReplaceAll(body, nil)
	case strings.HasSuffix(name, ".js"):
	default:
		return body
	}
	lines := strings.Split(string(body), "\n")
	inComment := false
	for i, line := range lines {
		lines[i], inComment = slimLine(strings.TrimSpace(line), inComment)
	}
	return []byte(strings.Join(lines, "\n"))
}

func slimLine(line string, inComment bool) (rest string, still bool) {
	if !inComment && strings.HasPrefix(line, "//") {
		return "", false
	}
	if !inComment && !strings.HasPrefix(line, "/*") {
		return line, false
	}
	_, after, ends := strings.Cut(line, "*/")
	return strings.TrimSpace(after), !ends
}

// mediaType does not ask the machine's own table, which may say anything.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".json":
		return "application/json; charset=utf-8"
	case ".png":
		return "image/png"
	}
	return mime.FormatMediaType("text/plain", map[string]string{"charset": "utf-8"})
}

func zip(body []byte) []byte {
	var out bytes.Buffer
	writer, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // a known level
	_, _ = writer.Write(body)                                    // a buffer does not fail
	_ = writer.Close()
	return out.Bytes()
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", a.mediaType)
	header.Set("Cache-Control", a.caching)
	header.Set("Vary", "Accept-Encoding")
	body, tag := a.body, a.etag
	if a.zipped != nil && acceptsGzip(r) {
		body, tag = a.zipped, strings.TrimSuffix(a.etag, `"`)+`-gz"`
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", tag)
	if matches(r.Header.Get("If-None-Match"), tag) {
		header.Del("Content-Encoding")
		header.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client has gone: nobody to tell
	}
}

// acceptsGzip is true where the header names gzip and does not refuse it
// (RFC 9110 §12.5.3).
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(part), " ", ""), ";")
		if coding == "gzip" && strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" {
			return true
		}
		if coding == "gzip" && weight == "" {
			return true
		}
	}
	return false
}

// matches compares tags weakly (RFC 9110 §13.1.2).
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}
