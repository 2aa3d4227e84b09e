#!/usr/bin/env bash
# make run: from a fresh checkout to a sign-in link.
#
# Settings: KALPANA_PORT (8080), KALPANA_METRICS_PORT (9180), KALPANA_BIND (127.0.0.1), KALPANA_HOST
# (kalpana.localhost), KALPANA_DATA_DIR, DOCKER_HOST, and the others of the Caddyfile.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }
fail() { printf '%s\n' "$@" >&2; exit 1; }

for tool in go node npm git; do
	command -v "$tool" >/dev/null || fail "$tool is missing. Kalpana is built with Go, Node.js and git: install it, then run make run again."
done

export KALPANA_DATA_DIR=${KALPANA_DATA_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/kalpana}
export KALPANA_HOST=${KALPANA_HOST:-kalpana.localhost} KALPANA_PORT=${KALPANA_PORT:-8080}
export KALPANA_WORKSPACES=${KALPANA_WORKSPACES:-ws.$KALPANA_HOST} KALPANA_METRICS_PORT=${KALPANA_METRICS_PORT:-9180}

# Caddy shares a port with another Caddy that listens there, and each would get some of the requests.
taken() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }
if taken "${KALPANA_BIND:-127.0.0.1}" "$KALPANA_PORT"; then
	! link=$(build/kalpana sign-in-link 2>/dev/null) || fail "Kalpana runs already, with the data in $KALPANA_DATA_DIR. This link signs you in, once, within ten minutes:" \
		'' "  $link" '' 'To run what is here now, stop the other first: Ctrl+C where it was started.'
	fail "Port $KALPANA_PORT is in use by another program. Stop that, or set KALPANA_PORT to a free port."
fi
! taken 127.0.0.1 "$KALPANA_METRICS_PORT" || fail "Port $KALPANA_METRICS_PORT, for metrics, is in use by another program. Stop that, or set KALPANA_METRICS_PORT to a free port."

mkdir -p -m 700 "$KALPANA_DATA_DIR" || fail "The data directory $KALPANA_DATA_DIR cannot be made. Set KALPANA_DATA_DIR to a place that can be written."

step 'Container engine'
scripts/engine.sh
step 'Console'
make -s web
step 'Gateway'
make -s build
step 'Workspace image'
KALPANA_IMAGE=${KALPANA_IMAGE:-$(image/build.sh | tail -n 1)}
export KALPANA_IMAGE

step 'Start'
log=$KALPANA_DATA_DIR/kalpana.log
build/kalpana run --config Caddyfile --adapter caddyfile >"$log" 2>&1 &
gateway=$!
trap 'kill "$gateway" 2>/dev/null; wait "$gateway" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
why() { # the last error in the log
	local error
	error=$(grep '"level":"error"' "$log" | tail -n 1 | sed -E 's/.*"msg":"(.*)"\}$/\1/; s/\\"/"/g')
	echo "${error:-$(tail -n 5 "$log")}"
}
for ((i = 0; i < 300; i++)); do
	kill -0 "$gateway" 2>/dev/null || fail 'The gateway did not start:' "  $(why)" "The whole log: $log"
	link=$(build/kalpana sign-in-link 2>/dev/null) && break
	sleep 0.1
done
[ -n "${link:-}" ] || fail "The gateway does not answer. Its log: $log"
cat <<EOT

  Kalpana runs. Open this link to sign in; it works once, within ten minutes:

    $link

  Another link:  KALPANA_DATA_DIR=$KALPANA_DATA_DIR build/kalpana sign-in-link
  Log:           $log
  Stop:          Ctrl+C; workspaces that run go on

EOT
wait "$gateway"
