#!/usr/bin/env bash
# Installs what the tests need beyond Go, where it may: PostgreSQL's server
# binaries, PgBouncer, Redis, nginx, a C compiler for the race detector and, with BROWSER=1, Chromium.
# From Debian's packages, as root or through sudo that asks for no password.
# Otherwise it says what to install, and fails when CI is set.
set -euo pipefail

have() { command -v "$1" >/dev/null 2>&1; }

have_postgres() {
	[ -n "${SESSIONTRACK_TEST_DSN:-}" ] && return
	have initdb && have postgres && return
	compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}

have_pooler() {
	have pgbouncer || [ -x /usr/sbin/pgbouncer ]
}

have_redis() {
	have "${SESSIONTRACK_TEST_REDIS:-redis-server}"
}

have_nginx() {
	have nginx || [ -x /usr/sbin/nginx ]
}

have_compiler() {
	have "${CC:-gcc}" || have clang
}

have_browser() {
	[ "${BROWSER:-0}" != 1 ] && return
	have chromium || have chromium-browser || have google-chrome
}

find_missing() {
	missing=()
	have_postgres || missing+=(postgresql)
	have_pooler || missing+=(pgbouncer)
	have_redis || missing+=(redis-server)
	have_nginx || missing+=(nginx-light)
	have_compiler || missing+=(gcc libc6-dev)
	have_browser || missing+=(chromium)
}

# The last lines of a failed command say why; a successful one is quiet.
quietly() {
	local log status=0
	log="$(mktemp)"
	"$@" >"$log" 2>&1 || { status=$?; tail -n 5 "$log" >&2; }
	rm -f "$log"
	return "$status"
}

install_missing() {
	have apt-get || return 1
	local as_root=()
	if [ "$(id -u)" -ne 0 ]; then
		have sudo && sudo -n true 2>/dev/null || return 1
		as_root=(sudo -n)
	fi
	echo "setup: installing ${missing[*]}"
	quietly "${as_root[@]}" apt-get update -qq || return 1
	quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "${missing[@]}"
}

find_missing
[ "${#missing[@]}" -eq 0 ] && exit 0
install_missing || true
find_missing
[ "${#missing[@]}" -eq 0 ] && exit 0

cat >&2 <<MESSAGE
setup: please install (Debian's package names): ${missing[*]}
       postgresql: the server binaries initdb and postgres, in PATH or under
       /usr/lib/postgresql; or name a server in SESSIONTRACK_TEST_DSN.
       Tests that need what is missing are skipped, and fail when CI is set.
MESSAGE
[ -z "${CI:-}" ]
