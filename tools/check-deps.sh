#!/usr/bin/env bash
# A program that imports the root package links no driver and no test code.
set -euo pipefail
export GOWORK=off
forbidden='^(testing(/|$)|github\.com/(stretchr|jackc)/|modernc\.org/|github\.com/mattn/go-sqlite3|github\.com/lib/pq)'
found="$(go list -deps . | grep -E "$forbidden" || true)"
if [ -n "$found" ]; then
	printf 'the root package must not depend on:\n%s\n' "$found" >&2
	exit 1
fi
