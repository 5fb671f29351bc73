package openapi_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const description = "../../openapi/openapi.yaml"

// TestDescriptionIsValid: another reader takes it for OpenAPI 3.1, and finds each operation named
// once.
func TestDescriptionIsValid(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromFile(description)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	assert.Equal(t, "3.1.0", doc.OpenAPI)
	named := map[string]bool{}
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			assert.NotEmpty(t, operation.Summary, "%s %s", method, path)
			assert.NotEmpty(t, operation.OperationID, "%s %s", method, path)
			assert.False(t, named[operation.OperationID], operation.OperationID)
			named[operation.OperationID] = true
		}
	}
}

// program uses the generated types as a front end does. What it must not do has a directive that
// the compiler holds to an error in the next line.
const program = `
import type { components, paths } from "./schema";

type Session = components["schemas"]["Session"];
type Active = paths["/api/user-sessions/active-users"]["get"];
type Page = Active["responses"]["200"]["content"]["application/json"];

export function handles(page: Page): string[] {
  return page.data.map((session: Session) => session.sessionId);
}

export function reason(session: Session): string {
  return session.endReason ?? "live";
}

export const query: Active["parameters"]["query"] = { limit: 10, device: "mobile" };

// @ts-expect-error the contract knows no such type of device
export const fridge: components["schemas"]["DeviceType"] = "fridge";

export function place(session: Session): string {
  // @ts-expect-error a place may be null
  return session.location.country;
}
`

// TestTypeScriptCompiles generates types with openapi-typescript and compiles a program over them.
func TestTypeScriptCompiles(t *testing.T) {
	t.Parallel()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("NOT TESTED: no npm, so no TypeScript was generated from the description")
	}
	folder := t.TempDir()
	run := func(name string, arguments ...string) ([]byte, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		command := exec.CommandContext(ctx, name, arguments...)
		command.Dir = folder
		return command.CombinedOutput()
	}
	text, err := os.ReadFile(description)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "openapi.yaml"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "program.ts"), []byte(program), 0o600))
	out, err := run(npm, "install", "--no-audit", "--no-fund", "--prefix", folder,
		"openapi-typescript@7.13.0", "typescript@5.9.3")
	if err != nil {
		t.Skipf("NOT TESTED: npm cannot install openapi-typescript, so no TypeScript was generated:\n%s", out)
	}
	bin := filepath.Join(folder, "node_modules", ".bin")
	out, err = run(filepath.Join(bin, "openapi-typescript"), "openapi.yaml", "-o", "schema.d.ts")
	require.NoError(t, err, "%s", out)
	out, err = run(filepath.Join(bin, "tsc"), "--noEmit", "--strict", "--skipLibCheck", "false", "program.ts", "schema.d.ts")
	require.NoError(t, err, "%s", out)
}
