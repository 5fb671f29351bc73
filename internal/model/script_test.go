package model

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/sessiontrack/sessiontrack"
)

// kind is the operation of a step.
type kind int

const (
	opRequest kind = iota // a session's token in the header
	opPassive             // the same, but not counted as activity
	opBearer              // a credential that names no session of the store
	opBoth                // a session's token with the credential of some user
	opForge               // a stored, visible or guessed value as a token
	opLogin
	opReplace // a login that proves another session
	opLogout
	opEnd
	opEndUser
	opEndOthers
	opGet  // an uncached read
	opList // a user's live sessions, uncached
	opKick
	opCleanup
	opStray // a touch by a process whose clock is an hour off
	opMint  // a new credential
	opRenew // a later expiry for a credential of the same derived session
	opCut   // the replica's calls do not reach the store
	opLose  // the store carries the calls out, and the replies are lost
	opHang  // the calls get no answer before their timeout
	opSlowReads
	opSlowAll
	opHeal
	opCrash
	opRestart // shuts down cleanly and starts again
	opSleep
	kinds
)

var kindNames = [kinds]string{
	"request", "passive", "bearer", "both", "forge", "login", "replace", "logout", "end", "endUser", "endOthers",
	"get", "list", "kick", "cleanup", "stray", "mint", "renew", "cut", "lose", "hang", "slowReads", "slowAll", "heal",
	"crash", "restart", "sleep",
}

// weights are the relative frequencies of the kinds.
var weights = [kinds]int{
	opRequest: 16, opPassive: 2, opBearer: 10, opBoth: 2, opForge: 2, opLogin: 8, opReplace: 2, opLogout: 2, opEnd: 5,
	opEndUser: 2, opEndOthers: 2,
	opGet: 2, opList: 1, opKick: 2, opCleanup: 2, opStray: 1, opMint: 2, opRenew: 1, opCut: 2, opLose: 1, opHang: 1,
	opSlowReads: 3, opSlowAll: 1, opHeal: 5, opCrash: 1, opRestart: 1, opSleep: 24,
}

// step is one operation. Its numbers are taken modulo the number of objects at that moment, so that
// a script stays valid when rapid removes some of its steps.
type step struct {
	kind             kind
	replica, user, n int
	sleep            time.Duration
}

func (s step) String() string {
	if s.kind == opSleep {
		return fmt.Sprintf("sleep %v", s.sleep)
	}
	return fmt.Sprintf("%s r%d u%d #%d", kindNames[s.kind], s.replica, s.user, s.n)
}

// setting is the configuration of a script's Trackers.
type setting struct {
	name     string
	options  sessiontrack.Options
	feedless bool
	skew     time.Duration // the difference between the replicas' clocks
	lives    []time.Duration
	sleeps   []time.Duration
}

type script struct {
	setting setting
	steps   []step
}

func (s script) String() string {
	lines := make([]string, 0, len(s.steps)+1)
	lines = append(lines, fmt.Sprintf("%s feedless=%t max=%d policy=%d cleanup=%v skew=%v", s.setting.name,
		s.setting.feedless,
		s.setting.options.MaxSessions, s.setting.options.LimitPolicy, s.setting.options.CleanupInterval, s.setting.skew))
	for i, step := range s.steps {
		lines = append(lines, fmt.Sprintf("%2d %v", i, step))
	}
	return strings.Join(lines, "\n")
}

// seconds is a setting near the defaults. Its limits are minutes.
func seconds() setting {
	return setting{
		name: "seconds",
		options: sessiontrack.Options{
			IdleTimeout: 2 * time.Minute, Lifetime: 12 * time.Minute, Retention: 2 * time.Minute, KeepEnded: 6 * time.Minute,
			TouchInterval: 15 * time.Second, FlushInterval: 2 * time.Second, FeedInterval: time.Second,
			MaxStaleness: 5 * time.Second, StaleGrace: 30 * time.Second, StoreTimeout: 500 * time.Millisecond,
			CleanupInterval: 30 * time.Second, SampleInterval: -1, CacheSize: 512,
		},
		lives: []time.Duration{20 * time.Second, 5 * time.Minute, 20 * time.Minute},
		sleeps: []time.Duration{
			time.Millisecond, 200 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second,
			35 * time.Second, time.Minute, 2 * time.Minute, 137 * time.Second, 5 * time.Minute,
		},
	}
}

// days has limits of hours and days. Every interval is as long as is allowed.
func days() setting {
	return setting{
		name: "days",
		options: sessiontrack.Options{
			IdleTimeout: 8 * time.Hour, Lifetime: 3 * 24 * time.Hour, Retention: 24 * time.Hour, KeepEnded: 4 * 24 * time.Hour,
			TouchInterval: 20 * time.Minute, FlushInterval: 10 * time.Minute, PresenceStep: 10 * time.Minute,
			FeedInterval: 30 * time.Second, MaxStaleness: time.Minute, StaleGrace: time.Hour, StoreTimeout: 20 * time.Second,
			VeryActive: time.Hour, Online: 2 * time.Hour, RecentlyActive: 3 * time.Hour,
			CleanupInterval: time.Hour, SampleInterval: -1, CacheSize: 512,
		},
		lives: []time.Duration{time.Hour, 12 * time.Hour, 5 * 24 * time.Hour},
		sleeps: []time.Duration{
			time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 10 * time.Minute, 20 * time.Minute,
			time.Hour, 2 * time.Hour, 8 * time.Hour, 9 * time.Hour, 24 * time.Hour,
		},
	}
}

// settings draws a configuration.
func settings() *rapid.Generator[setting] {
	return rapid.Custom(func(t *rapid.T) setting {
		s := seconds()
		variant := rapid.IntRange(0, 9).Draw(t, "setting")
		if variant >= 7 {
			s = days()
		}
		s.feedless = variant == 0 || variant == 9
		s.options.MaxSessions = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "max")
		if rapid.Bool().Draw(t, "deny") {
			s.options.LimitPolicy = sessiontrack.DenyNew
		}
		if rapid.IntRange(0, 2).Draw(t, "cleanup") == 0 {
			s.options.CleanupInterval = -1
		}
		s.skew = rapid.SampledFrom([]time.Duration{0, time.Hour, -time.Hour}).Draw(t, "skew")
		return s
	})
}

// kindsDrawn holds every kind as often as its weight.
var kindsDrawn = func() (all []kind) {
	for k, n := range weights {
		for range n {
			all = append(all, kind(k))
		}
	}
	return all
}()

// jitters put a sleep just before, at and just after a bound.
var jitters = []time.Duration{0, 0, -time.Microsecond, time.Microsecond, -time.Second, time.Second,
	300 * time.Millisecond}

// scripts draws a configuration and up to 60 steps. Most steps are random. Some form scenes, whose
// steps concern the same session, because random steps rarely do.
func scripts() *rapid.Generator[script] {
	return rapid.Custom(func(t *rapid.T) script {
		s := script{setting: settings().Draw(t, "setting")}
		one := rapid.Custom(func(t *rapid.T) []step {
			if scene := rapid.IntRange(0, 63).Draw(t, "scene"); scene >= 64-2*len(scenes) {
				return drawScene(t, scenes[scene%len(scenes)], s.setting)
			}
			st := step{kind: rapid.SampledFrom(kindsDrawn).Draw(t, "kind")}
			if st.kind == opSleep {
				st.sleep = drawSleep(t, s.setting.sleeps)
				return []step{st}
			}
			st.replica = rapid.IntRange(0, replicas-1).Draw(t, "replica")
			st.user = rapid.IntRange(0, users-1).Draw(t, "user")
			st.n = rapid.IntRange(0, 7).Draw(t, "n")
			return []step{st}
		})
		least := rapid.SampledFrom([]int{1, 20, 40}).Draw(t, "least")
		for _, some := range rapid.SliceOfN(one, least, 60).Draw(t, "steps") {
			s.steps = append(s.steps, some...)
		}
		s.steps = s.steps[:min(len(s.steps), 60)]
		return s
	})
}

func drawSleep(t *rapid.T, from []time.Duration) time.Duration {
	return max(rapid.SampledFrom(from).Draw(t, "sleep")+rapid.SampledFrom(jitters).Draw(t, "jitter"), 0)
}

// here and there are the two replicas of a scene.
const (
	here = iota
	there
)

// beat is a step of a scene. It runs on one of the scene's two replicas; a sleep lasts about as
// long as one bound of the setting.
type beat struct {
	kind  kind
	where int
	sleep func(*sessiontrack.Options) time.Duration
}

func short(o *sessiontrack.Options) time.Duration { return o.StoreTimeout / 2 }
func bound(o *sessiontrack.Options) time.Duration { return o.MaxStaleness }
func grace(o *sessiontrack.Options) time.Duration { return o.MaxStaleness + o.StaleGrace }
func flush(o *sessiontrack.Options) time.Duration { return o.TouchInterval + o.FlushInterval }
func idle(o *sessiontrack.Options) time.Duration  { return o.IdleTimeout }
func old(o *sessiontrack.Options) time.Duration   { return o.Retention }

var scenes = [][]beat{
	{{kind: opLogin}, {kind: opSlowReads, where: there}, {kind: opRequest, where: there}, {kind: opEnd}, {sleep: short},
		{kind: opHeal, where: there}, {sleep: bound}, {kind: opRequest, where: there}},
	{{kind: opLogin}, {kind: opRequest, where: there}, {kind: opCut, where: there}, {kind: opEnd}, {sleep: grace},
		{kind: opRequest, where: there}},
	{{kind: opLogin}, {kind: opRequest, where: there}, {kind: opSlowAll, where: there}, {sleep: bound},
		{kind: opCut, where: there}, {kind: opEnd}, {sleep: grace}, {kind: opRequest, where: there}},
	{{kind: opRequest}, {sleep: flush}, {kind: opRequest}, {kind: opEnd, where: there}, {sleep: flush}, {kind: opRequest}},
	{{kind: opRequest, where: there}, {kind: opRequest}, {sleep: idle}, {kind: opRequest, where: there},
		{kind: opRequest}},
	{{kind: opMint}, {kind: opBearer}, {kind: opEndUser, where: there}, {sleep: old}, {kind: opCleanup}, {sleep: bound},
		{kind: opBearer, where: there}},
}

// drawScene draws a scene for one user, or for the latest session.
func drawScene(t *rapid.T, beats []beat, s setting) (steps []step) {
	where := [2]int{rapid.IntRange(0, replicas-1).Draw(t, "here"), rapid.IntRange(0, replicas-1).Draw(t, "there")}
	user := rapid.IntRange(0, users-1).Draw(t, "user")
	n := 2 * rapid.IntRange(0, 2).Draw(t, "n")
	for _, b := range beats {
		st := step{kind: b.kind, replica: where[b.where], user: user, n: n}
		if b.sleep != nil {
			st = step{kind: opSleep, sleep: drawSleep(t, []time.Duration{b.sleep(&s.options)})}
		}
		if steps = append(steps, st); b.kind == opLogin {
			n = 0
		}
	}
	return steps
}

const (
	replicas = 3
	users    = 2
)
