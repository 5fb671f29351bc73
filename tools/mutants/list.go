package main

// mutants lists the guards that the promises depend on.
var mutants = []mutant{
	{
		name: "ended-guard", guard: "a touch is for sessions that have not ended",
		file: "store_memory_write.go", edits: []string{"if row == nil || row.Ended() {", "if row == nil {"},
		pkg: "./storetest", run: "TestMemoryStore/(touch|race)",
	},
	{
		name: "ended-guard-sql", guard: "the same in SQL, and the trigger behind it",
		file: "store_bun_touch.go", edits: []string{"WHERE s.is_active ORDER BY s.id FOR NO KEY UPDATE OF s\n)\nUPDATE " +
			"?(schema)user_sessions AS s SET last_activity",
			"ORDER BY s.id FOR NO KEY UPDATE OF s\n)\nUPDATE ?(schema)user_sessions AS s SET last_activity",
			"FROM l WHERE s.id = l.id AND s.is_active\nRETURNING s.session_id",
			"FROM l WHERE s.id = l.id\nRETURNING s.session_id"},
		pkg: "./storetest", run: "TestBunStoreOnPostgreSQL/touch",
	},
	{
		name: "ordered-lock", guard: "overlapping flushes lock rows in one order",
		file: "store_bun_touch.go", edits: []string{"ORDER BY s.id FOR NO KEY UPDATE OF s\n)\nUPDATE " +
			"?(schema)user_sessions AS s SET last_activity",
			"FOR NO KEY UPDATE OF s\n)\nUPDATE ?(schema)user_sessions AS s SET last_activity"},
		pkg: ".", run: "TestBunStoreOverlappingWritersDoNotDeadlock",
	},
	{
		name: "clamp", guard: "activity is never ahead of the store's time",
		file: "store_bun_touch.go", edits: []string{"least(l.at, clock_timestamp())", "l.at"},
		pkg: "./storetest", run: "TestBunStoreOnPostgreSQL/touch",
	},
	{
		name: "fill-guard", guard: "a read that raced an end is not kept",
		file: "cache.go", edits: []string{"if s.generation != generation {", "if false {"},
		pkg: ".", run: "TestFillDoesNotResurrect",
	},
	{
		name: "owner", guard: "a session is its user's only",
		file: "resolve.go", edits: []string{"return !c.verified || e.user == c.identity().UserID", "return true"},
		pkg: ".", run: "TestMiddlewareAnswersRowByRow",
	},
	{
		name: "constant-time", guard: "secrets are compared in constant time",
		file: "internal/handle/handle.go", edits: []string{"return subtle.ConstantTimeCompare(sum[:], hash[:]) == 1",
			"_ = subtle.ConstantTimeCompare\n\treturn sum == *hash"},
		pkg: ".", run: "TestSecretsAreComparedInConstantTime",
	},
	{
		name: "secret", guard: "a handle without its secret is nobody",
		file: "resolve.go", edits: []string{"if (c.header || c.cookie) && !c.token.Proves(&e.hash) {", "if false {"},
		pkg: ".", run: "TestMiddlewareAnswersRowByRow|TestOneAnswer",
	},
	{
		name: "size-cap", guard: "a token is capped before it is parsed",
		file: "identify_jwt.go", edits: []string{"line[0] != ' ' || len(line)-1 > jwtverify.DefaultMaxBytes {",
			"line[0] != ' ' {"},
		pkg: ".", run: "TestJWT|Hostile",
	},
	{
		name: "cross-origin", guard: "a cookie's unsafe request comes from the same origin",
		file: "resolve.go", edits: []string{"if c.cookie && g.crossOrigin.Check(r) != nil {", "if false {"},
		pkg: ".", run: "TestCrossOrigin",
	},
	{
		name: "role", guard: "the admin family is for admins",
		file: "handlers.go", edits: []string{"if !anyOf(has, roles) {", "if _ = has; false {"},
		pkg: ".", run: "TestRoleMatrix",
	},
	{
		name: "lease", guard: "the cache is trusted for as long as the feed was read",
		file: "near.go", edits: []string{"return local < n.standing.until.Load()", "return true"},
		pkg: ".", run: "TestStoreAway",
	},
	{
		name: "fence", guard: "credentials from before \"end all\" begin nothing",
		file: "store_memory.go", edits: []string{"return !issuedAt.IsZero() && !issuedAt.Truncate(time.Second).After(f.at)",
			"return false"},
		pkg: "./storetest", run: "TestMemoryStore/fence",
	},
}
