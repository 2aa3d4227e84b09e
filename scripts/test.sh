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
step 'Tests'
exec "$(make -s print-gotestsum)" --format pkgname-and-test-fails --format-hide-empty-pkg -- -race -timeout 25m ./...
