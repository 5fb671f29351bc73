// Package openapicheck holds HTTP answers to an OpenAPI 3.1 document, and the document to what was
// answered. It is for tests. It knows the keywords that openapi.yaml uses and refuses any other.
package openapicheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// Document is a description with a note of what was seen of it. It may be used concurrently.
type Document struct {
	root       map[string]any
	operations []*operation

	mu   sync.Mutex
	seen map[string]bool // by place in the document
}

// operation is one method of one path.
type operation struct {
	method, path string
	segments     []string // "" stands for any one segment
	query        []string
	responses    map[string]any
}

// Parse reads a document. It fails on a reference that leads nowhere and on an unknown keyword of
// a schema.
func Parse(text string) (*Document, error) {
	d := &Document{seen: map[string]bool{}}
	if err := yaml.Unmarshal([]byte(text), &d.root); err != nil {
		return nil, err
	}
	for path, item := range object(d.root["paths"]) {
		for method, o := range object(item) {
			op, err := d.operation(strings.ToUpper(method), path, object(o))
			if err != nil {
				return nil, err
			}
			d.operations = append(d.operations, op)
		}
	}
	for name, schema := range object(object(d.root["components"])["schemas"]) {
		if err := d.knows(schemaPlace+name, object(schema)); err != nil {
			return nil, err
		}
	}
	for place, schema := range d.answers() {
		if err := d.knows(place, schema); err != nil {
			return nil, err
		}
	}
	return d, nil
}

const schemaPlace = "#/components/schemas/"

var anySegment = regexp.MustCompile(`\{\w+\}`)

func (d *Document) operation(method, path string, o map[string]any) (*operation, error) {
	op := &operation{method: method, path: path, responses: object(o["responses"])}
	op.segments = strings.Split(anySegment.ReplaceAllString(path, ""), "/")[1:]
	for _, p := range array(o["parameters"]) {
		_, parameter, err := d.resolve("", object(p))
		if err != nil {
			return nil, err
		}
		if parameter["in"] == "query" {
			op.query = append(op.query, parameter["name"].(string))
		}
	}
	slices.Sort(op.query)
	return op, nil
}

// Routes returns the described routes, such as "GET /users/{id}" with every name of an id replaced
// by id, and the parameters of their queries, sorted.
func (d *Document) Routes() map[string][]string {
	routes := make(map[string][]string, len(d.operations))
	for _, op := range d.operations {
		routes[op.method+" "+anySegment.ReplaceAllString(op.path, "{id}")] = op.query
	}
	return routes
}

// Enum returns the words of a named schema.
func (d *Document) Enum(name string) (words []string) {
	schema := object(object(object(d.root["components"])["schemas"])[name])
	for _, word := range array(schema["enum"]) {
		words = append(words, fmt.Sprint(word))
	}
	return words
}

// find returns the operation of a request, one without ids in its path before one with, or nil.
func (d *Document) find(method, path string) (found *operation) {
	segments := strings.Split(path, "/")[1:]
	for _, op := range d.operations {
		if op.method == method && fits(op.segments, segments) && (found == nil || !strings.Contains(op.path, "{")) {
			found = op
		}
	}
	return found
}

func fits(want, segments []string) bool {
	if len(want) != len(segments) {
		return false
	}
	for i, segment := range segments {
		segment, err := url.PathUnescape(segment)
		if err != nil || segment == "" || want[i] != "" && want[i] != segment {
			return false
		}
	}
	return true
}

// CheckAnswer holds one answer to the document: its status, its type and its body. A request that is
// not described must get a Problem, and 405 is described nowhere: another path may know the method.
func (d *Document) CheckAnswer(r *http.Request, status int, header http.Header, body []byte) error {
	op := d.find(r.Method, r.URL.EscapedPath())
	if op == nil || status == http.StatusMethodNotAllowed {
		if status >= http.StatusBadRequest {
			return d.CheckSchema("Problem", body)
		}
		return fmt.Errorf("%s %s is not described, and answers %d", r.Method, r.URL.Path, status)
	}
	where := op.method + " " + op.path + " " + fmt.Sprint(status)
	found, ok := op.responses[fmt.Sprint(status)]
	if !ok {
		return fmt.Errorf("%s is not described: %s", where, body)
	}
	place, response, err := d.resolve(where, object(found))
	if err != nil {
		return err
	}
	content := object(response["content"])
	if len(content) == 0 && len(body) == 0 {
		d.note(where)
		return nil
	}
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	described, ok := content[media]
	if !ok {
		return fmt.Errorf("%s: the type %q is not described", where, media)
	}
	d.note(where)
	if !strings.HasSuffix(media, "json") {
		return nil
	}
	return d.checkJSON(place+" "+media, object(object(described)["schema"]), body)
}

// CheckSchema holds JSON to a named schema.
func (d *Document) CheckSchema(name string, body []byte) error {
	schema := object(object(d.root["components"])["schemas"])[name]
	return d.checkJSON(schemaPlace+name, object(schema), body)
}

func (d *Document) checkJSON(place string, schema map[string]any, body []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return err
	}
	notes := map[string]bool{}
	if err := d.check(place, schema, value, notes); err != nil {
		return fmt.Errorf("%s\n%s", err, body)
	}
	d.note(slices.Collect(maps.Keys(notes))...)
	return nil
}

func (d *Document) note(places ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, place := range places {
		d.seen[place] = true
	}
}

// Unseen returns what is described and was in no answer: operations without a good answer, and
// fields, sorted.
func (d *Document) Unseen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	described := map[string]bool{}
	for _, op := range d.operations {
		described[op.method+" "+op.path+" 200"] = true
	}
	for place, schema := range d.answers() {
		d.fields(place, schema, described)
	}
	for name := range object(object(d.root["components"])["schemas"]) {
		schema := object(object(object(d.root["components"])["schemas"])[name])
		d.fields(schemaPlace+name, schema, described)
	}
	maps.DeleteFunc(described, func(place string, _ bool) bool { return d.seen[place] })
	return slices.Sorted(maps.Keys(described))
}

// answers are the schemas that stand in responses, by their place.
func (d *Document) answers() map[string]map[string]any {
	found := map[string]map[string]any{}
	add := func(place string, response map[string]any) {
		for media, content := range object(response["content"]) {
			found[place+" "+media] = object(object(content)["schema"])
		}
	}
	for _, op := range d.operations {
		for status, response := range op.responses {
			if _, shared := object(response)["$ref"]; !shared {
				add(op.method+" "+op.path+" "+status, object(response))
			}
		}
	}
	for name, response := range object(object(d.root["components"])["responses"]) {
		add("#/components/responses/"+name, object(response))
	}
	return found
}

// resolve follows a reference, and returns where it leads.
func (d *Document) resolve(place string, o map[string]any) (string, map[string]any, error) {
	ref, ok := o["$ref"].(string)
	if !ok {
		return place, o, nil
	}
	at := any(d.root)
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = object(at)[name]
	}
	if at == nil {
		return "", nil, fmt.Errorf("%s: %s leads nowhere", place, ref)
	}
	return d.resolve(ref, object(at))
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func array(v any) []any {
	a, _ := v.([]any)
	return a
}
