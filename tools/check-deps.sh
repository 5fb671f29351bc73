#!/usr/bin/env bash
# A program that imports the root package links no driver and no test code. It
# prints who imports what must not be there.
#
# One import is not ours to take out: golang-lru, which the user-agent parser
# needs, has "testing" in one of its files.
set -euo pipefail
export GOWORK=off
forbidden='(testing(/.*)?|github\.com/(stretchr|jackc|lib|mattn)/.*|modernc\.org/.*)'
allowed='^github\.com/hashicorp/golang-lru testing$'
imports="$(go list -deps -f '{{$p := .ImportPath}}{{range .Imports}}{{$p}} {{.}}{{"\n"}}{{end}}' .)"
found="$(grep -E " $forbidden\$" <<<"$imports" | grep -vE "^$forbidden |$allowed" || true)"
if [ -n "$found" ]; then
	printf 'the root package must not depend on:\n%s\n' "$found" >&2
	exit 1
fi
