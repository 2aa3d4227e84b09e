#!/usr/bin/env bash
# Puts the console's npm packages into web/node_modules, unless they are there. They are kept in the cache, keyed by
# what is installed with what, so that a fresh clone need not unpack them again.
set -euo pipefail
cd "$(dirname "$0")/../web"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kalpana/modules

command -v npm >/dev/null || { echo 'npm is missing: install Node.js 20 or newer (https://nodejs.org), then run this again.' >&2; exit 1; }

key=$({ uname -sm; node --version; cat package.json package-lock.json; } | sha256sum | cut -c1-16)
[ "$(cat node_modules/.kalpana 2>/dev/null)" != "$key" ] || exit 0

copy() { # links the files where it can: what changes one puts another in its place
	cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2" && cp -a "$1" "$2"; }
}

if [ -d "$cache/$key" ]; then
	rm -rf node_modules
	copy "$cache/$key" node_modules
else
	log=$(mktemp)
	trap 'rm -rf "$log" "${new:-}"' EXIT
	npm ci --no-audit --no-fund --prefer-offline >"$log" 2>&1 || { tail -n 40 "$log" >&2; exit 1; }
	mkdir -p "$cache"
	find "$cache" -mindepth 1 -maxdepth 1 -mtime +14 -exec rm -rf {} +
	new=$(mktemp -d "$cache/.new-XXXXXX")
	copy node_modules "$new/all"
	mv -T "$new/all" "$cache/$key" 2>/dev/null || true # another may have been quicker
fi
echo "$key" >node_modules/.kalpana
