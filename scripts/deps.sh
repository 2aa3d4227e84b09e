#!/usr/bin/env bash
# Installs the programs that the tests use beside Go and Node: Debian's Chromium, ripgrep, and what
# the workspace image is made with. "deps.sh bench" adds what the benchmarks compare with: nginx.
set -euo pipefail

declare -A packages=([chromium]=chromium [rg]=ripgrep [debootstrap]=debootstrap [iptables]=iptables [ip]=iproute2 [shellcheck]=shellcheck)
[ "${1:-}" != bench ] || packages[nginx]=nginx-light
missing=()
for program in "${!packages[@]}"; do
	command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
	echo "Missing: ${missing[*]}. Install them (on Debian, as root: apt-get install ${missing[*]}), then run this again." >&2
	exit 1
fi
echo "Installing ${missing[*]} …" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
{ apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 || { tail -n 20 "$log" >&2; exit 1; }
