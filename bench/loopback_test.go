//go:build unix

package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

const connections = 32

// originalSession is the row that an application without this library reads and writes in each
// request.
type originalSession struct {
	bun.BaseModel `bun:"table:original_sessions,alias:s"`

	ID           int64 `bun:",pk,autoincrement"`
	UserID       string
	SessionID    string
	IPAddress    string
	UserAgent    string
	DeviceType   string
	IsActive     bool
	LastActivity time.Time
	LoginAt      time.Time
}

// originals works like an application without this library: before each request it SELECTs the
// session and UPDATEs its activity through Bun.
func originals(t testing.TB) *stack {
	t.Helper()
	db := bun.NewDB(pgtest.Open(t), pgdialect.New())
	_, err := db.NewCreateTable().Model((*originalSession)(nil)).Exec(t.Context())
	require.NoError(t, err)
	_, err = db.ExecContext(t.Context(), `CREATE UNIQUE INDEX ON original_sessions (session_id);
		CREATE INDEX ON original_sessions (user_id); CREATE INDEX ON original_sessions (last_activity);
		INSERT INTO original_sessions (user_id, session_id, ip_address, user_agent, device_type, is_active,
			last_activity, login_at)
		SELECT i, md5(i::text), '192.0.2.1', repeat('x', 120), 'desktop', true, now(), now()
			FROM generate_series(1, 10000) AS i`)
	require.NoError(t, err)
	type key struct{}
	r := newRequest()
	r.Header.Set("X-Session-Id", "a1d0c6e83f027327d8461063f4ac58a6") // md5 of 42
	return &stack{
		name: "SELECT + UPDATE through Bun", does: "as applications do it by hand: every request waits for PostgreSQL twice",
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				s := new(originalSession)
				err := db.NewSelect().Model(s).Where("session_id = ?",
					r.Header.Get("X-Session-Id")).Where("is_active").Scan(r.Context())
				if err == nil {
					_, err = db.NewUpdate().Model(s).Set("last_activity = ?", time.Now()).WherePK().Exec(r.Context())
				}
				if err != nil {
					http.Error(w, "", http.StatusUnauthorized)
					return
				}
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, s)))
			})
		},
		user:    func(r *http.Request) string { return r.Context().Value(key{}).(*originalSession).UserID },
		request: r,
	}
}

// bareFor is net/http alone with the same request bytes as s: parsing the token's header costs time
// in any case.
func bareFor(s *stack, request string) *stack {
	b := bare()
	b.name, b.request = "bare net/http, the request with "+request, s.request
	return b
}

// rate is the number of answered requests per second of the clock and per second of this process's
// CPU time. The CPU time includes client and server, and excludes other processes.
type rate struct{ wall, cpu float64 }

// processTime returns the CPU time of this process.
func processTime(t testing.TB) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// load sends requests over loopback connections for the time d.
func load(t testing.TB, s *stack, d time.Duration) rate {
	t.Helper()
	server := httptest.NewServer(s.wrap(inner))
	defer server.Close()
	var wire bytes.Buffer
	r := s.request.Clone(t.Context())
	r.Host = "localhost"
	require.NoError(t, r.Write(&wire))
	var answered atomic.Int64
	var failed atomic.Value
	var wait sync.WaitGroup
	began, used := time.Now(), processTime(t)
	for range connections {
		wait.Go(func() {
			n, err := pump(server.Listener.Addr().String(), wire.Bytes(), began.Add(d))
			answered.Add(n)
			if err != nil {
				failed.Store(err)
			}
		})
	}
	wait.Wait()
	require.Nil(t, failed.Load(), s.name)
	n := float64(answered.Load())
	return rate{n / time.Since(began).Seconds(), n / (processTime(t) - used).Seconds()}
}

// pump sends requests on one connection, one after the other, until a time.
func pump(address string, request []byte, until time.Time) (n int64, err error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for time.Now().Before(until) {
		if _, err := conn.Write(request); err != nil {
			return n, err
		}
		if err := readAnswer(answers); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// readAnswer reads one answer with little work, because client and server share the cores.
func readAnswer(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 20")) {
		return fmt.Errorf("answered %q", bytes.TrimSpace(status))
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			_, err = r.Discard(length)
			return err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}

// TestLoopback compares whole servers (goal 5).
func TestLoopback(t *testing.T) {
	hs := signingKeys(t)[0]
	store := sessiontrack.NewMemoryStore()
	header, token := oursInMemory(t, "header"), ours(t, store, "verified JWT", hs.identifier(t, 0), hs)
	stacks := []*stack{
		bareFor(header, "header"), header, bareFor(token, "JWT"), token,
		ours(t, store, "HS256 each time", hs.identifier(t, -1), hs), scsStack(t), gorillaStack(t), originals(t),
	}
	for _, s := range stacks {
		s.prove(t)
	}
	turns, each := 1, 50*time.Millisecond
	if *long {
		turns, each = 21, 200*time.Millisecond
	}
	rates := make([][]rate, len(stacks))
	for range turns {
		for i, s := range stacks {
			rates[i] = append(rates[i], load(t, s, each))
		}
	}
	if !*long {
		return
	}
	share := func(i, of int, by func(rate) float64) float64 {
		ratios := make([]float64, turns)
		for turn := range ratios {
			ratios[turn] = by(rates[i][turn]) / by(rates[of][turn])
		}
		return median(ratios)
	}
	wall, cpu := func(r rate) float64 { return r.wall }, func(r rate) float64 { return r.cpu }
	fmt.Printf("\nOver loopback, %d connections, client and server on the same cores\n\n", connections)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "server\trequests/s\tof bare\trequests per CPU second\tof bare\twhat it does, and does not")
	for i, s := range stacks {
		walls, cpus := make([]float64, turns), make([]float64, turns)
		for turn, r := range rates[i] {
			walls[turn], cpus[turn] = r.wall, r.cpu
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.0f\t%.2f\t%s\n", s.name, median(walls), share(i, 0, wall), median(cpus),
			share(i, 0, cpu), s.does)
	}
	w.Flush()
	fmt.Printf("\ngoal 5: bare net/http with the same request, by CPU; SELECT + UPDATE on each request, by the clock\n")
	for _, i := range []int{1, 3} {
		atLeast(stacks[i].name+", of bare", share(i, i-1, cpu), 0.85)
		atLeast(stacks[i].name+", against the originals", share(i, len(stacks)-1, wall), 8)
	}
}
