package main

import (
	"bytes"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	require.Equal(t, exitOK, run(t.Context(), []string{"version"}, nil, &out, &errs), errs.String())
	assert.True(t, strings.HasPrefix(out.String(), "sessiontrack "), out.String())
	assert.Contains(t, out.String(), " go1.")
	assert.Equal(t, exitUsage, run(t.Context(), []string{"version", "more"}, nil, &out, &errs))
}

func TestVersionNamesTheLibrarysModules(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, printVersion(&out, &debug.BuildInfo{
		GoVersion: "go1.26", Main: debug.Module{Path: library + "/cmd/sessiontrack", Version: "v0.1.0"},
		Deps: []*debug.Module{
			{Path: "github.com/jackc/pgx/v5", Version: "v5.12.0"}, {Path: library, Version: "v0.1.1"},
			{Path: library + "/sqlite", Version: "v0.1.0"}, {Path: library + "s/else", Version: "v1.0.0"},
		},
	}))
	assert.Equal(t, "sessiontrack v0.1.0 go1.26\n  "+library+" v0.1.1\n  "+library+"/sqlite v0.1.0\n", out.String())
}
