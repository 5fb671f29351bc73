// Package oidc connects a [sessiontrack.Tracker] to an OpenID Connect provider: [Keyfunc] has the
// provider's keys for JSON Web Tokens, and [BackchannelLogout] takes its logout tokens.
//
//	keys, err := oidc.NewKeyfunc("https://idp.example/jwks", nil)
//	if err != nil { … }
//	identifier, err := sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{
//		Keyfunc: keys.Key, Algorithms: []string{"RS256"}, IssuerSessions: true,
//		Issuer: "https://idp.example", Audience: "my-api",
//	})
//	if err != nil { … }
//	keys.OnChange(identifier.Reset)
//	go keys.Run(ctx)
//
// Package sessiontrack itself needs none of this: it takes any jwt.Keyfunc.
package oidc
