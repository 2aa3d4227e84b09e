#!/usr/bin/env bash
# make test: installs what is missing, then runs everything. Screenshots and logs of the
# whole-system tests are kept in test/artifacts.
set -euo pipefail
cd "$(dirname "$0")/.."

step() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

step 'What the tests need'
scripts/deps.sh
make tools
step 'Container engine'
scripts/engine.sh
step 'Console'
make web
(cd web && { [ -d node_modules ] || npm ci --no-audit --no-fund --prefer-offline >/dev/null; } && npm run --silent check)
step 'Vet and lint'
make lint
step 'Workspace image'
KALPANA_IMAGE=$(image/build.sh | tail -n 1)
export KALPANA_IMAGE

# A test that fails is run again, up to twice: the machine, its engine and its browser are real, and
# shared with whatever else runs on them. One that fails every time fails the run; one that does not is
# named as flaky at the end, for somebody to mend.
flaky=$(mktemp)
trap 'rm -f "$flaky"' EXIT
gotestsum=$(make -s print-gotestsum)
suite() { # [flags …] -- packages …
	local flags=()
	while [ "$1" != -- ]; do flags+=("$1") && shift; done
	shift
	"$gotestsum" --format pkgname-and-test-fails --format-hide-empty-pkg \
		--rerun-fails=2 --rerun-fails-max-failures=6 --rerun-fails-run-root-test --rerun-fails-abort-on-data-race --rerun-fails-report="$flaky.report" \
		--packages="$*" -- -race -gcflags=modernc.org/sqlite/lib=-race=false -timeout 25m "${flags[@]}"
	if [ -s "$flaky.report" ]; then cat "$flaky.report" >>"$flaky"; fi
	rm -f "$flaky.report"
}
mapfile -t packages < <(go list ./... | grep -v /test/)
mapfile -t systems < <(go list ./test/...)
step 'Tests of packages'
suite -- "${packages[@]}"
# These time what they see, and a browser draws on the processors: one after the other, and nothing beside them.
step 'Tests of the whole system'
suite -p=1 -- "${systems[@]}"
if [ -s "$flaky" ]; then
	step 'Flaky: failed, and passed when run again'
	cat "$flaky" >&2
fi
