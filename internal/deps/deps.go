// Package deps keeps the pinned requirements until their users land.
package deps

import (
	_ "github.com/golang-jwt/jwt/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/stretchr/testify/require"
	_ "github.com/ua-parser/uap-go/uaparser"
	_ "github.com/uptrace/bun"
	_ "github.com/uptrace/bun/dialect/pgdialect"
)
