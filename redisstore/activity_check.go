package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"github.com/sessiontrack/sessiontrack"
)

// ErrUnfit says that a server cannot be used as it is: it is too old, it would evict
// sessions, or it refuses a command. Trying again does not help; the error's text says
// what does. It comes from Check, which [sessiontrack.Tracker.Start] calls.
var ErrUnfit = errors.New("the redis server cannot be used")

// leastMajor is the first version with all commands that the scripts use.
const leastMajor = 7

// Check implements [sessiontrack.Checker]: it names what of Redis, its settings or the
// user's rights cannot work, and then what the durable store says of itself. It has
// presence brought back where Redis has none, which goes on when Check has returned.
func (a *activity) Check(ctx context.Context) error {
	if c, ok := a.durable.(sessiontrack.Checker); ok {
		if err := c.Check(ctx); err != nil {
			return err
		}
	}
	if err := checkServers(ctx, a.client); err != nil {
		return checkFailed(err)
	}
	if err := a.checkRights(ctx); err != nil {
		return checkFailed(err)
	}
	if err := a.ready(ctx); err != nil && !errors.Is(err, errBringing) {
		return checkFailed(err)
	}
	return nil
}

// checkFailed names the verb. What is no lasting fault may pass.
func checkFailed(err error) error {
	if errors.Is(err, ErrUnfit) {
		return fmt.Errorf("redisstore: check: %w: %w", sessiontrack.ErrStoreFault, err)
	}
	return unavailable("check", err)
}

// checkServers looks at every server that the client knows.
func checkServers(ctx context.Context, client rueidis.Client) error {
	var wrong []error
	for addr, node := range client.Nodes() {
		info, err := node.Do(ctx, node.B().Info().Section("server", "memory").Build()).ToString()
		if err != nil {
			return fmt.Errorf("%s: %w", addr, refused(err))
		}
		wrong = append(wrong, fit(addr, infoOf(info)))
	}
	return errors.Join(wrong...)
}

// fit names what of a server cannot work.
func fit(addr string, info map[string]string) error {
	version := info["redis_version"]
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	if err != nil || major < leastMajor {
		return fmt.Errorf("%w: %s has version %q: want %d.0 or later", ErrUnfit, addr, version, leastMajor)
	}
	policy := info["maxmemory_policy"]
	if info["maxmemory"] != "0" && policy != "noeviction" {
		return fmt.Errorf("%w: %s has maxmemory-policy %s: want noeviction, or sessions go missing one by one",
			ErrUnfit, addr, policy)
	}
	return nil
}

// infoOf parses the answer of INFO.
func infoOf(text string) map[string]string {
	info := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// refused makes a right that is missing a lasting fault.
func refused(err error) error {
	e, ok := rueidis.IsRedisErr(err)
	if !ok {
		return err
	}
	for _, sign := range [...]string{"NOPERM", "permission", "can't run this command"} {
		if strings.Contains(e.Error(), sign) {
			return fmt.Errorf("%w: the user lacks a right (the README lists them): %w", ErrUnfit, err)
		}
	}
	return err
}

// checkRights runs every script on a session that nobody has, and takes it away again.
func (a *activity) checkRights(ctx context.Context) error {
	const user = "check"
	name := strings.Repeat("-", handleLength) + user
	b := a.ring.of(user)
	key := func(names ...string) []string { return a.ring.keys(b, names...) }
	for _, try := range []struct {
		s    script
		keys []string
		args []string
	}{
		{enterScript, key("check:act", "check:seen", "check:on", "check:gone", "check:ask", "check:off"),
			[]string{"0", name, "1", "2", "a"}},
		{touchScript, key("check:act", "check:seen", "check:on", "check:state"),
			[]string{"0", name, "2", "3", "0", "0", "a"}},
		{unwrittenScript, key("check:act", "check:state"), []string{"1", "1", "0"}},
		{writtenScript, key("check:state"), []string{"1"}},
		{leaveScript, key("check:act", "check:seen", "check:gone", "check:ask", "check:state"), []string{"1", name, user}},
		{offlineScript, key("check:on", "check:ask", "check:off"), []string{"0", "g" + user}},
		{seedScript, key("check:on", "check:off"), []string{user, "1"}},
	} {
		if _, err := a.ask(ctx, try.s, []call{{try.keys, try.args}}); err != nil {
			return refused(err)
		}
	}
	keys := key("check:act", "check:seen", "check:on", "check:gone", "check:ask", "check:off", "check:state")
	_, err := a.do(ctx, rueidis.Commands{
		a.client.B().Zmscore().Key(keys[0]).Member(name).Build(),
		a.client.B().Hmget().Key(keys[6]).Field("whole").Build(),
		a.client.B().Del().Key(keys...).Build(),
	})
	return refused(err)
}
