package openapi_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/sessiontrack/sessiontrack/openapi"
)

func ExampleHandler() {
	w := httptest.NewRecorder()
	openapi.Handler(nil).ServeHTTP(w, httptest.NewRequest("GET", "/openapi.yaml", nil))
	fmt.Println(w.Header().Get("Content-Type"))
	fmt.Println(strings.Contains(w.Body.String(), "\nopenapi: 3.1.0\n"))
	// Output:
	// application/yaml; charset=utf-8
	// true
}

// TestDocumentNamesThePaths: the paths are where the application has mounted the families.
func TestDocumentNamesThePaths(t *testing.T) {
	t.Parallel()
	assert.Equal(t, openapi.Document(nil), openapi.Document(&openapi.Options{}))
	text := openapi.Document(&openapi.Options{AdminPath: "/admin/sessions/", OnlinePath: "/who/"})
	assert.Contains(t, text, "\n  /admin/sessions/active-users:\n")
	assert.Contains(t, text, "\n  /who/count:\n")
	assert.NotContains(t, text, "/api/")
	text = openapi.Document(&openapi.Options{OnlinePath: "/who/"})
	assert.Contains(t, text, "\n  /api/user-sessions/active-users:\n")
	assert.NotContains(t, text, "/api/v1/online/")
}
