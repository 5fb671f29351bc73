#!/usr/bin/env bash
# usage: test.sh FOLDER… -- FLAGS OF GO TEST…
#
# Runs the tests of the modules in the folders. Its last line says how many packages
# passed and failed, which tests failed, and how long it took.
#
# Everything is compiled first, then the packages run one after the other: several that
# each keep a database and all processors busy make one another's transactions late.
set -euo pipefail

folders=()
while [ "$1" != -- ]; do folders+=("$1") && shift; done
shift
log="$(mktemp)"
trap 'rm -f "$log"' EXIT

status=0
for folder in "${folders[@]}"; do
	echo "== module $(basename "$folder")"
	(
		cd "$folder"
		go list ./... >/dev/null 2>&1 || export GOWORK=off # a module outside of go.work
		go test "$@" -run '^$' ./... >/dev/null 2>&1 || true
		go test "$@" -p 1 ./... 2>&1
	) | tee -a "$log" || status=1
done

awk -v seconds="$SECONDS" -v status="$status" '
	function named(path) { sub(/^github\.com\/sessiontrack\/sessiontrack\/?/, "", path); return path == "" ? "." : path }
	/^--- FAIL: / { tests = tests " " $3 }
	/^(panic|fatal error): / { tests = tests " (" $0 ")" }
	/^\trunning tests:/ { running = 1; next }
	running && /^\t\tTest/ { tests = tests " " $1; next }
	{ running = 0 }
	/^ok  \t/ { passed++; tests = "" }
	/^FAIL\t/ {
		failed++
		if (tests == "") tests = /\[/ ? " " $3 " " $4 : " (see above)"
		what = what (what == "" ? "" : "; ") named($2) tests
		tests = ""
	}
	END {
		if (status && what == "") what = "go test itself, see above"
		printf "%d packages passed, %d failed in %d min %d s%s\n", passed, failed, seconds / 60, seconds % 60,
			what == "" ? "" : ": " what
	}' "$log"
exit "$status"
