package sessiontrack_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/sessiontrack/sessiontrack"
)

func ExampleClassifyDevice() {
	h := http.Header{}
	h.Set("User-Agent", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36")
	fmt.Println(sessiontrack.ClassifyDevice(h))

	h.Set("Sec-CH-UA-Platform", `"Android"`)
	h.Set("Sec-CH-UA-Platform-Version", `"14.0.0"`)
	h.Set("Sec-CH-UA-Model", `"SM-S911B"`)
	device := sessiontrack.ClassifyDevice(h)
	fmt.Println(device.Type, device.Source)
	fmt.Println(device)
	fmt.Println(device.Family())
	// Output:
	// Chrome 131 on Android
	// mobile client_hints
	// Chrome 131 on Android 14 (Samsung Galaxy S23)
	// Chrome on Android (Samsung Galaxy S23)
}

func ExampleAcceptClientHints() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a form") })

	answer := httptest.NewRecorder()
	sessiontrack.AcceptClientHints(mux).ServeHTTP(answer, httptest.NewRequest("GET", "/login", nil))
	fmt.Println(answer.Header().Get("Accept-CH"))
	// Output: Sec-CH-UA, Sec-CH-UA-Mobile, Sec-CH-UA-Platform, Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Form-Factors
}
