package faults

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	st "github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// envReplica makes the test binary run as one application process. Its value names the database.
const envReplica = "SESSIONTRACK_FAULTS_REPLICA"

const (
	killTouch = time.Second            // T, the touch interval
	killFlush = 500 * time.Millisecond // F, the flush interval
)

func killOptions() st.Options {
	return background(st.Options{TouchInterval: killTouch, FlushInterval: killFlush, MaxSessions: 3})
}

// TestHelperReplica is the child process of TestF07KilledReplica. It serves requests until its
// standard input closes.
func TestHelperReplica(t *testing.T) {
	dsn := os.Getenv(envReplica)
	if dsn == "" {
		t.Skip("run by TestF07KilledReplica")
	}
	r := over(t, storeOver(t, pgtest.OpenDSN(t, dsn)), killOptions()).start(t)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login/{user}", func(w http.ResponseWriter, req *http.Request) {
		_, token, err := r.Login(w, req, req.PathValue("user"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, token.Reveal())
	})
	mux.Handle("GET /", r.Require(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	server := newServer(t, r.Middleware(mux))
	fmt.Printf("listening %s\n", server)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// process is one child process that runs TestHelperReplica.
type process struct {
	cmd *exec.Cmd
	url string
}

func startProcess(t *testing.T, dsn string) *process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestHelperReplica$", "-test.v")
	cmd.Env = append(os.Environ(), envReplica+"="+dsn)
	_, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			return &process{cmd, url}
		}
	}
	t.Fatal("the process did not start")
	return nil
}

func (p *process) do(t *testing.T, method, path, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("X-Session-Id", token)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

// TestF07KilledReplica kills one of three processes while it holds unwritten touches. At most T + F
// of activity is lost, and no other data.
func TestF07KilledReplica(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	db := pgtest.OpenDSN(t, dsn)
	require.NoError(t, storeOver(t, db).Migrate(t.Context()))
	var all [3]*process
	for i := range all {
		all[i] = startProcess(t, dsn)
	}
	const users, each = 10, 5 // each user exceeds the limit by two
	var tokens []string
	for i := range users * each {
		code, token := all[i%3].do(t, "POST", fmt.Sprintf("/login/user%d", i%users), "")
		require.Equal(t, 200, code, token)
		tokens = append(tokens, token)
	}
	tokens = tokens[users*2:] // the limit has ended each user's first two sessions
	last := map[string]time.Time{}
	until := time.Now().Add(scaled(3*time.Second, 30*time.Second))
	for i := 0; time.Now().Before(until); i++ {
		token, used := tokens[i%len(tokens)], time.Now()
		code, _ := all[0].do(t, "GET", "/", token)
		require.Equal(t, 200, code)
		last[token] = used
	}
	require.NoError(t, all[0].cmd.Process.Kill())
	_ = all[0].cmd.Wait()
	worst := time.Duration(0)
	for token, used := range last {
		stored := one[time.Time](t, db, "SELECT last_activity FROM user_sessions WHERE session_id = $1", token[:22])
		worst = max(worst, used.Sub(stored))
	}
	timely(t, worst, killTouch+killFlush+250*time.Millisecond, "activity that was lost: T + F, and the time of a flush")
	assert.Equal(t, users*3, one[int](t, db, "SELECT count(*) FROM user_sessions WHERE logout_at IS NULL"),
		"limit and counts are intact")
	assert.Zero(t, one[int](t, db, "SELECT count(*) FROM user_sessions WHERE end_reason <> 'limit'"),
		"nothing is wrongly ended")
	assert.Equal(t, users, one[int](t, db, "SELECT count(*) FROM user_presence"))
	for i, token := range tokens {
		code, _ := all[1+i%2].do(t, "GET", "/", token)
		require.Equal(t, 200, code, "the other processes still serve")
	}
	t.Logf("F07: at most %v of activity lost, T+F is %v; %d sessions live on", worst.Round(time.Millisecond),
		killTouch+killFlush, len(tokens))
}
