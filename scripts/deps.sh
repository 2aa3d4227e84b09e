#!/usr/bin/env bash
# Installs the programs that the tests use beside Go and Node: Debian's Chromium, ripgrep, and what
# the workspace image is made with; and promtool. "deps.sh bench" adds what the benchmarks compare with and
# measure by: nginx, wrk.
set -euo pipefail

declare -A packages=([chromium]=chromium [rg]=ripgrep [debootstrap]=debootstrap [iptables]=iptables [ip]=iproute2 [shellcheck]=shellcheck)
[ "${1:-}" != bench ] || packages+=([nginx]=nginx-light [wrk]=wrk)

# promtool, which checks the alert rules, is a part of Debian's Prometheus. That package would start a
# server, so the program alone is taken out of it; without it the rules are checked less.
fetch_promtool() {
	local tools=${XDG_CACHE_HOME:-$HOME/.cache}/kalpana/tools into
	if [ -x "$tools/promtool" ] || command -v promtool >/dev/null || ! command -v apt-get >/dev/null; then return 0; fi
	echo 'Fetching promtool …' >&2
	into=$(mktemp -d)
	if (
		cd "$into"
		apt-get download -q prometheus || { apt-get update -q && apt-get download -q prometheus; }
		dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
	) >/dev/null 2>&1 && mkdir -p "$tools"; then
		mv "$into/usr/bin/promtool" "$tools/promtool"
	else
		echo 'promtool cannot be fetched: the alert rules are not checked by it.' >&2
	fi
	rm -rf "$into"
}

missing=()
for program in "${!packages[@]}"; do
	command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
if [ ${#missing[@]} -eq 0 ]; then
	fetch_promtool
	exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "Missing: ${missing[*]}. Install them (on Debian, as root: apt-get install ${missing[*]}), then run this again." >&2
	exit 1
fi
echo "Installing ${missing[*]} …" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
fetch_promtool
