#!/usr/bin/env bash
# make test: installs what is missing, then runs everything. Screenshots and logs of the
# whole-system tests are kept in test/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

logs=$(mktemp -d)
declare -A process=()
trap 'kill -- "${process[@]/#/-}" 2>/dev/null || true; rm -rf "$logs"' EXIT
trap 'exit 130' INT
step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

# beside NAME COMMAND …: runs the command beside what follows, which comes first on the processors, and shows
# what it printed, in one piece, when it has ended.
beside() {
	set -m # in a process group of its own, which can be ended
	{
		renice -n $(($(nice) + 3)) "$BASHPID" >/dev/null
		code=0
		"${@:2}" >"$logs/$1" 2>&1 || code=$?
		step "$1"
		cat "$logs/$1" >&2
		exit "$code"
	} &
	process[$1]=$!
	set +m
}

step 'What the tests need'
scripts/deps.sh
make tools
step 'Container engine'
scripts/engine.sh
step 'Console'
make web
scripts/modules.sh
step 'Workspace image'
KALPANA_IMAGE=$(image/build.sh | tail -n 1)
export KALPANA_IMAGE

# A test that fails is run again, up to twice: the machine, its engine and its browser are real, and
# shared with whatever else runs on them. One that fails every time fails the run; one that does not is
# named as flaky at the end, for somebody to mend.
gotestsum=$(make -s print-gotestsum)
suite() { # how many at once, flags for all of its tests, packages …
	local report flags
	read -ra flags <<<"$2"
	report=$(mktemp "$logs/flaky.XXXXXX")
	"$gotestsum" --format pkgname-and-test-fails --format-hide-empty-pkg \
		--rerun-fails=2 --rerun-fails-max-failures=6 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race --rerun-fails-report="$report" \
		--packages="${*:3}" -- -p="$1" -count=1 -timeout 25m "${flags[@]}"
}
# A program with the race detector would otherwise sleep for a second before it ends.
export GORACE=atexit_sleep_ms=0
race='-race -gcflags=modernc.org/sqlite/lib=-race=false'
# These time what they see, and one draws on the processors with a browser: one after the other, and before all else.
# The gateways that they test are processes of their own, of which test/e2e builds those with the race detector.
timed=(./test/e2e ./test/faults ./test/gateway)
mapfile -t others < <(go list ./... | grep -vE '/test/(e2e|faults|gateway)$')

failed=()
beside 'Vet, lint and the console' make --keep-going lint check-web
beside 'The other tests' suite "$(nproc)" "$race" "${others[@]}"
step 'Tests of the whole system'
suite 1 '' "${timed[@]}" || failed+=('Tests of the whole system')
for part in "${!process[@]}"; do
	wait "${process[$part]}" || failed+=("$part")
	unset "process[$part]"
done
flaky=$(awk '$2 > $4' "$logs"/flaky.*) # package.Test: 2 runs, 1 failures
if [ -n "$flaky" ]; then
	step 'Flaky: failed, and passed when run again'
	echo "$flaky" >&2
fi
if [ ${#failed[@]} -gt 0 ]; then
	step "$(printf 'FAILED: %s. ' "${failed[@]}")"
	exit 1
fi
