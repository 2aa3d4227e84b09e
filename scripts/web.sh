#!/usr/bin/env bash
# Builds the console into web/dist. What it made is kept in the cache, keyed by its sources, so that
# a fresh clone needs neither npm packages nor a build.
set -euo pipefail
cd "$(dirname "$0")/../web"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kalpana/web

command -v npm >/dev/null || { echo 'npm is missing: install Node.js 20 or newer (https://nodejs.org), then run this again.' >&2; exit 1; }

key=$(git ls-files -co --exclude-standard . | grep -v '\.go$' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16)
if [ -f "$cache/$key/index.html" ]; then
	find dist -mindepth 1 -not -name .gitkeep -delete
	cp -r "$cache/$key/." dist/
	touch dist/index.html
	exit 0
fi
printf 'Building the console …\n' >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
{ ../scripts/modules.sh && npm run build; } >"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
mkdir -p "$cache"
rm -rf "$cache/.new"
cp -r dist "$cache/.new"
rm -rf "${cache:?}/$key"
mv "$cache/.new" "$cache/$key"
touch dist/index.html
