package sessiontrack

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSecretsAreComparedInConstantTime reads the sources: secrets and their hashes meet
// in subtle.ConstantTimeCompare, and never in == or bytes.Equal, which tell by the time
// how far two of them agree.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for name, file := range parseSources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if nothing, _ := n.Y.(*ast.Ident); nothing != nil && nothing.Name == "nil" {
					return true
				}
				if n.Op == token.EQL || n.Op == token.NEQ {
					assert.False(t, namesSecret(n.X) || namesSecret(n.Y), "%s compares a secret with %s", name, n.Op)
				}
			case *ast.CallExpr:
				switch called(n) {
				case "subtle.ConstantTimeCompare":
					used[name] = true
				case "bytes.Equal", "bytes.Compare":
					assert.False(t, namesSecret(n.Args[0]) || namesSecret(n.Args[1]), "%s compares a secret", name)
				}
			}
			return true
		})
	}
	assert.Equal(t, map[string]bool{"internal/handle/handle.go": true, "carriers.go": true, "cache.go": true}, used)
}

// TestRandomnessIsCryptographic: no secret can come from where it could be guessed.
func TestRandomnessIsCryptographic(t *testing.T) {
	t.Parallel()
	for name, file := range parseSources(t) {
		for _, spec := range file.Imports {
			for _, weak := range []string{`"math/rand"`, `"math/rand/v2"`, "uuid"} {
				assert.NotContains(t, spec.Path.Value, weak, name)
			}
		}
	}
}

func parseSources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	for _, pattern := range []string{"*.go", "internal/handle/*.go"} {
		names, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			name = filepath.ToSlash(name)
			files[name], err = parser.ParseFile(token.NewFileSet(), name, nil, 0)
			require.NoError(t, err)
		}
	}
	require.NotEmpty(t, files)
	return files
}

// namesSecret reports whether an expression is, or is a part of, a secret or a hash; a
// comparison with the empty value is not about its content.
func namesSecret(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "secret" || e.Name == "hash" || e.Name == "sum"
	case *ast.SelectorExpr:
		return e.Sel.Name == "secret" || e.Sel.Name == "Secret" || e.Sel.Name == "hash"
	case *ast.StarExpr:
		return namesSecret(e.X)
	case *ast.SliceExpr:
		return namesSecret(e.X)
	}
	return false
}

func called(c *ast.CallExpr) string {
	if s, ok := c.Fun.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}
