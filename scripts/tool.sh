#!/usr/bin/env bash
# Builds a Go tool at a version, once: tool.sh PACKAGE VERSION DESTINATION
set -euo pipefail
package=$1 version=$2 destination=$3
printf 'Building %s %s (once) …\n' "${package##*/}" "$version" >&2
mkdir -p "$(dirname "$destination")"
into=$(mktemp -d "$(dirname "$destination")/.build-XXXXXX")
trap 'rm -rf "$into"' EXIT
GOBIN=$into GOFLAGS='' go install "$package@$version"
mv "$into/$(basename "$package")" "$destination"
