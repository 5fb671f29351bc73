package redisstore

import (
	"context"
	"crypto/sha1"
	"embed"
	"encoding/hex"

	"github.com/redis/rueidis"
)

//go:embed lua
var luaFiles embed.FS

// script is a Lua script with the name by which a server that has run it knows it. Every
// script may be run again after a lost answer unless its comment says otherwise.
type script struct{ text, sha string }

// load returns a script of the folder lua, behind what all scripts share.
func load(name string) script {
	text := ""
	for _, file := range [...]string{"lib", name} {
		part, err := luaFiles.ReadFile("lua/" + file + ".lua")
		if err != nil {
			panic("redisstore: " + err.Error()) // the files are part of the program
		}
		text += string(part)
	}
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// call is one run of a script in one bucket.
type call struct{ keys, args []string }

// run runs a script several times, pipelined by node. A server that does not know the
// script is sent its text.
func (s script) run(ctx context.Context, client rueidis.Client, calls []call) []rueidis.RedisResult {
	commands := make(rueidis.Commands, len(calls))
	for i, c := range calls {
		commands[i] = client.B().Evalsha().Sha1(s.sha).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
	}
	results := client.DoMulti(ctx, commands...)
	var unknown []int
	for i, r := range results {
		if err, ok := rueidis.IsRedisErr(r.Error()); ok && err.IsNoScript() {
			unknown = append(unknown, i)
		}
	}
	if len(unknown) == 0 {
		return results
	}
	commands = make(rueidis.Commands, len(unknown))
	for i, k := range unknown {
		c := calls[k]
		commands[i] = client.B().Eval().Script(s.text).Numkeys(int64(len(c.keys))).Key(c.keys...).Arg(c.args...).Build()
	}
	for i, r := range client.DoMulti(ctx, commands...) {
		results[unknown[i]] = r
	}
	return results
}
