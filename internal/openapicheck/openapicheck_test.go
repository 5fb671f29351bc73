package openapicheck_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/openapicheck"
)

const small = `
paths:
  /things/{thingId}:
    get:
      parameters:
        - {$ref: "#/components/parameters/limit"}
        - {name: thingId, in: path}
      responses:
        "200":
          content:
            application/json:
              schema: {$ref: "#/components/schemas/Thing"}
        "404": {$ref: "#/components/responses/Problem"}
  /things/last:
    get:
      responses:
        "200": {description: nothing}
components:
  parameters:
    limit: {name: limit, in: query}
  responses:
    Problem:
      content:
        application/problem+json:
          schema: {$ref: "#/components/schemas/Problem"}
  schemas:
    Problem:
      type: object
      required: [code]
      additionalProperties: false
      properties:
        code: {$ref: "#/components/schemas/Code"}
    Code: {enum: [not_found]}
    Thing:
      type: object
      required: [id, at, parts]
      additionalProperties: false
      properties:
        id: {type: integer, minimum: 1, maximum: 9}
        at: {type: [string, "null"], format: date-time}
        name: {type: string, pattern: "^[a-z]+$", maxLength: 3}
        ok: {const: true}
        day: {type: string, format: date}
        parts:
          type: array
          items: {type: object, additionalProperties: {type: number}}
        owner:
          oneOf:
            - {type: "null"}
            - {$ref: "#/components/schemas/Problem"}
`

func parse(t *testing.T, text string) *openapicheck.Document {
	t.Helper()
	d, err := openapicheck.Parse(text)
	require.NoError(t, err)
	return d
}

func answer(d *openapicheck.Document, path string, status int, media, body string) error {
	header := http.Header{"Content-Type": {media}}
	return d.CheckAnswer(httptest.NewRequest("GET", path, nil), status, header, []byte(body))
}

const (
	jsonType    = "application/json; charset=utf-8"
	problemType = "application/problem+json"
	good        = `{"id":1,"at":null,"parts":[]}`
)

func TestAnswersThatFit(t *testing.T) {
	t.Parallel()
	d := parse(t, small)
	for _, body := range []string{
		good, `{"id":9,"at":"2026-11-26T09:30:00.5Z","parts":[{"a":1.5},{}],"name":"abc","ok":true,"day":"2026-11-26"}`,
		`{"id":1,"at":null,"parts":[],"owner":null}`, `{"id":1,"at":null,"parts":[],"owner":{"code":"not_found"}}`,
	} {
		assert.NoError(t, answer(d, "/things/7", 200, jsonType, body))
	}
	assert.NoError(t, answer(d, "/things/last", 200, "", ""))
	assert.NoError(t, answer(d, "/things/7", 404, problemType, `{"code":"not_found"}`))
	assert.NoError(t, answer(d, "/nothing", 404, problemType, `{"code":"not_found"}`))
	assert.Equal(t, map[string][]string{"GET /things/{id}": {"limit"}, "GET /things/last": nil}, d.Routes())
	assert.Equal(t, []string{"not_found"}, d.Enum("Code"))
}

func TestAnswersThatDiffer(t *testing.T) {
	t.Parallel()
	d := parse(t, small)
	for name, body := range map[string]string{
		"a field more":         `{"id":1,"at":null,"parts":[],"size":1}`,
		"a field less":         `{"id":1,"at":null}`,
		"a wrong type":         `{"id":"1","at":null,"parts":[]}`,
		"a fraction":           `{"id":1.5,"at":null,"parts":[]}`,
		"too small":            `{"id":0,"at":null,"parts":[]}`,
		"too large":            `{"id":10,"at":null,"parts":[]}`,
		"no time":              `{"id":1,"at":"yesterday","parts":[]}`,
		"no day":               `{"id":1,"at":null,"parts":[],"day":"26.11."}`,
		"a wrong pattern":      `{"id":1,"at":null,"parts":[],"name":"A"}`,
		"too long":             `{"id":1,"at":null,"parts":[],"name":"abcd"}`,
		"another constant":     `{"id":1,"at":null,"parts":[],"ok":false}`,
		"an item of two types": `{"id":1,"at":null,"parts":[{"a":"b"}]}`,
		"no form of several":   `{"id":1,"at":null,"parts":[],"owner":{"code":"forbidden"}}`,
		"no JSON":              `{"id":`,
	} {
		assert.Error(t, answer(d, "/things/7", 200, jsonType, body), name)
	}
	assert.ErrorContains(t, answer(d, "/things/7", 200, "text/html", good), "type")
	assert.ErrorContains(t, answer(d, "/things/7", 201, jsonType, good), "is not described")
	assert.ErrorContains(t, answer(d, "/nothing", 200, jsonType, good), "is not described")
	assert.Error(t, answer(d, "/nothing", 404, problemType, `{"code":"teapot"}`))
}

func TestDocumentsThatAreWrong(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string][2]string{
		"leads nowhere":            {"schemas/Thing\"", "schemas/Thong\""},
		"unknown keyword":          {"minimum: 1", "minimun: 1"},
		"say additionalProperties": {"      additionalProperties: false\n", ""},
		"does not describe it":     {"required: [code]", "required: [code, more]"},
	} {
		text := strings.Replace(small, edit[0], edit[1], 1)
		require.NotEqual(t, small, text)
		_, err := openapicheck.Parse(text)
		assert.ErrorContains(t, err, name)
	}
}

// TestUnseen names what is described and was in no answer.
func TestUnseen(t *testing.T) {
	t.Parallel()
	d := parse(t, small)
	require.NoError(t, answer(d, "/things/7", 200, jsonType, `{"id":1,"at":null,"parts":[{"a":1}],"ok":true}`))
	assert.Equal(t, []string{
		"#/components/schemas/Problem/code", "#/components/schemas/Thing/day", "#/components/schemas/Thing/name",
		"#/components/schemas/Thing/owner", "GET /things/last 200",
	}, d.Unseen())
	require.NoError(t, answer(d, "/things/last", 200, "", ""))
	require.NoError(t, answer(d, "/things/7", 200, jsonType,
		`{"id":1,"at":null,"parts":[],"day":"2026-11-26","name":"a","owner":{"code":"not_found"}}`))
	assert.Empty(t, d.Unseen())
}
