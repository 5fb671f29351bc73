package sessiontrack

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	privateAgent = "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UQ1A.240105.004) AppleWebKit/537.36 (KHTML, like " +
		"Gecko) Chrome/131.0.6778.200 Mobile Safari/537.36"
	laterAgent = "Mozilla/5.0 (Linux; Android 15; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) " +
		"Chrome/132.0.6834.79 Mobile Safari/537.36"
)

// These maps hold, for each mode, the texts that must not appear anywhere. Addresses of the
// documentation networks have no location, so the test uses routed addresses. Each text is too
// long, or too specific, to appear by chance in a time or a handle.
var (
	hiddenBelowFull = map[string][]string{
		"address": {"45.76.112.213", "213.112.76.45", "2d4c70d5", "91.198.174.192", "2a02:6b8:1234:5678", "5678:9abc"},
		"agent": {"Mozilla", "AppleWebKit", "Pixel", "UQ1A.2401", "131.0.6778", "132.0.6834", "Chrome/13", "Chrome 13",
			"Chrome,13", "Version:1", `ersion":"1`, "SM-S911B", "Galaxy", "Android 14"},
	}
	hiddenBelowPart = map[string][]string{
		"address": {"45.76.112", "91.198.174", "2a02:6b8", "Jakarta", "Indonesia"},
		"agent":   {"Chrome", "Android", "Google", "Samsung"},
	}
)

const addressKey = "thirty-two bytes that nobody sees"

// placer returns one location for every address, and records the addresses.
type placer struct {
	mu    sync.Mutex
	asked []string
}

func (p *placer) Locate(_ context.Context, addr netip.Addr) (Location, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, addr.String())
	return Location{CountryCode: "ID", Country: "Indonesia", City: "Jakarta"}, nil
}

// TestPrivacyModesLeaveNothing runs a login, a change of network, searches, an end and a failing
// store in each mode. Then it searches every table, log record, event, hook, answer and callback
// argument for data that the mode should remove (docs/checks.md P01, ASVS 14.1.1).
func TestPrivacyModesLeaveNothing(t *testing.T) {
	t.Parallel()
	for _, address := range []AddressMode{AddressFull, AddressTruncated, AddressNone, AddressHashed} {
		for _, agent := range []UserAgentMode{UserAgentFull, UserAgentFamily, UserAgentNone} {
			if address != AddressFull && agent != UserAgentFull && int(address) != int(agent) {
				continue // each mode alone, and both together
			}
			t.Run(fmt.Sprintf("address %v agent %v", address, agent), func(t *testing.T) {
				t.Parallel()
				onEachStore(t, func(t *testing.T, store Store) { testPrivacyMode(t, store, address, agent) })
			})
		}
	}
}

// exhibits collects everything that a run has output, as JSON and in Go's format.
type exhibits struct {
	t    *testing.T
	mu   sync.Mutex
	text strings.Builder
}

func (e *exhibits) add(values ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, value := range values {
		text, err := json.Marshal(value)
		assert.NoError(e.t, err)
		fmt.Fprintf(&e.text, "%s %+v\n", text, value)
	}
}

// signInFrom signs bob in by a request with this address and agent.
func signInFrom(t *testing.T, s *site, from, agent string) Session {
	t.Helper()
	r := request("POST", "/login", "User-Agent", agent, "X-Forwarded-For", from, "Sec-Ch-Ua-Model", `"Pixel 8"`,
		"Sec-Ch-Ua-Platform-Version", `"14"`, "Sec-Ch-Ua", `"Chrome";v="131"`, "Sec-Ch-Ua-Platform", `"Android"`,
		"Sec-Ch-Ua-Mobile", "?1")
	session, token, err := s.Login(httptest.NewRecorder(), r, bob)
	require.NoError(t, err)
	s.tokens[bob] = token
	return session
}

func testPrivacyMode(t *testing.T, store Store, address AddressMode, agent UserAgentMode) {
	log, places := newCapture(), &placer{}
	seen := &exhibits{t: t}
	hook := func(_ context.Context, session Session) { seen.add(session, session.Device.String()) }
	s := newSite(t, store, siteOptions{tracker: func(o *Options) {
		quick(o)
		o.TouchInterval, o.AddressMode, o.UserAgentMode = -1, address, agent
		if o.Logger, o.Locator = slog.New(log), places; address == AddressHashed {
			o.AddressKey = []byte(addressKey)
		}
		o.Hooks = Hooks{Login: hook, End: hook, NewDevice: hook}
		o.ClientIP = TrustedProxies(netip.MustParsePrefix("192.0.2.1/32"))
		record := o.Observer.AdminAction
		o.Observer.AdminAction = func(ctx context.Context, a AdminAction) { seen.add(a); record(ctx, a) }
	}})
	require.NoError(t, s.Start(context.Background()))
	watched, err := s.Subscribe(t.Context(), SubscribeOptions{})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := watched.Next(context.Background())
			if err != nil {
				return
			}
			seen.add(e)
		}
	}()
	s.signIn(t, adam)
	seen.add(signInFrom(t, s, "45.76.112.213", privateAgent))
	seen.add(signInFrom(t, s, "2a02:6b8:1234:5678:9abc::1", laterAgent))
	for _, from := range []string{"91.198.174.192", "45.76.112.213"} { // the session changes its network
		s.as(bob, "GET", onlinePath+"count", "X-Forwarded-For", from, "User-Agent", laterAgent)
	}
	described := func() bool {
		page, err := s.List(t.Context(), Query{UserID: bob, Live: true, Limit: 5})
		return err == nil && len(page.Sessions) == 2 && !slices.ContainsFunc(page.Sessions, func(s Session) bool {
			return s.Device.Source == ""
		})
	}
	require.Eventually(t, described, patience, 20*time.Millisecond, "devices are named")
	target := s.tokens[bob].ID()
	for _, route := range append(routesUnderTest(target), routeUnderTest{"GET", adminPath + "user/2/sessions?ended=true",
		""},
		routeUnderTest{"GET", adminPath + "active-users?q=45.76.112.213", ""}) {
		for _, user := range []string{adam, bob} {
			w := s.as(user, route.method, route.path, "X-Forwarded-For", "45.76.112.213", "User-Agent", privateAgent)
			seen.add(w.Body.String(), w.Header())
		}
	}
	require.NoError(t, s.Shutdown(t.Context()))
	<-done

	// The text is everything that a host or an operator can see.
	text := seen.text.String() + log.checked(t) + strings.Join(places.asked, " ") + tables(t, store)
	requireMode(t, text, "address", int(address), int(AddressTruncated))
	assert.NotContains(t, text, addressKey)
	pseudonym := hashAddress(netip.MustParseAddr("45.76.112.213"), []byte(addressKey)).String()
	assert.Equal(t, address == AddressHashed, strings.Contains(text, pseudonym), "the pseudonym replaces the address")
	requireMode(t, text, "agent", int(agent), int(UserAgentFamily))
}

// requireMode compares a text with a mode. The text must not have what the mode removes. It must
// have what the mode allows, or the run proved nothing. part is the mode between all and nothing.
func requireMode(t *testing.T, text, kind string, mode, part int) {
	t.Helper()
	if mode > 0 {
		for _, hidden := range hiddenBelowFull[kind] {
			assert.NotContains(t, text, hidden)
		}
	} else {
		assert.Contains(t, text, hiddenBelowFull[kind][0], "the run outputs it")
	}
	for _, hidden := range hiddenBelowPart[kind] {
		if mode > part {
			assert.NotContains(t, text, hidden)
		}
	}
	if mode == part {
		assert.Contains(t, text, hiddenBelowPart[kind][0], "the allowed part is output")
	}
}

// tables returns everything that a store holds.
func tables(t *testing.T, store Store) string {
	t.Helper()
	bunStore, ok := store.(*BunStore)
	if !ok {
		return fmt.Sprintf("%+v", memoryRows(t, store))
	}
	var names []string
	ctx := context.Background()
	require.NoError(t, bunStore.db.NewRaw(
		"SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").Scan(ctx, &names))
	require.Greater(t, len(names), 3)
	var all strings.Builder
	for _, name := range names {
		var rows []string
		// name comes from the catalogue, so this is safe.
		require.NoError(t, bunStore.db.NewRaw("SELECT t::text FROM "+name+" AS t").Scan(ctx, &rows))
		fmt.Fprintln(&all, name, rows)
	}
	return all.String()
}

func memoryRows(t *testing.T, store Store) (all []Record) {
	t.Helper()
	for _, user := range []string{alice, bob, adam} {
		page, err := store.List(context.Background(), Query{UserID: user, Limit: 100})
		require.NoError(t, err)
		for _, session := range page.Sessions {
			record, err := store.Get(context.Background(), session.ID)
			require.NoError(t, err)
			all = append(all, record)
		}
	}
	return all
}

// dialers are the functions of the standard library that open connections.
var dialers = map[string][]string{
	"net": {"Dial", "DialTimeout", "DialTCP", "DialUDP", "DialIP", "DialUnix", "Dialer", "DefaultResolver", "Resolver",
		"LookupHost", "LookupIP", "LookupAddr", "LookupCNAME", "LookupTXT", "ResolveTCPAddr", "ResolveUDPAddr",
		"ResolveIPAddr"},
	"http": {"Get", "Post", "PostForm", "Head", "Client", "DefaultClient", "Transport", "DefaultTransport", "NewRequest",
		"NewRequestWithContext"},
	"tls":  {"Dial", "DialWithDialer", "Dialer"},
	"smtp": {"Dial", "SendMail"}, "rpc": {"Dial", "DialHTTP"}, "exec": {"Command", "CommandContext"},
	"websocket": {"Dial"}, "syslog": {"Dial", "New"},
}

// TestNothingDials reads the source of everything that a host links (docs/checks.md P05, ASVS
// 13.2.4). The library uses only its database handle; the listener and the command connect only to
// their database. Nothing else opens a connection.
func TestNothingDials(t *testing.T) {
	t.Parallel()
	read := 0
	for _, folder := range []string{".", "dashboard", "geoip", "internal/jwtverify", "migrations", "pglisten",
		"cmd/sessiontrack"} {
		files, err := filepath.Glob(filepath.Join(folder, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files, folder)
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			read++
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil {
						assert.NotContains(t, dialers[x.Name], s.Sel.Name, "%s uses %s.%s", name, x.Name, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
	assert.Greater(t, read, 80)
	t.Logf("figure P05: no dialer in %d files", read)
}
