#!/usr/bin/env bash
# Builds the workspace image. The last line on standard output is its name, kalpana/workspace:<key>,
# where the key is made of everything that goes into it: an image that exists is only tagged again.
#
#   KALPANA_BASE_IMAGE   build on this image (see base.sh)
#   KALPANA_BRIDGE       a kalpana-bridge binary to put in, instead of building one
#   KALPANA_CA_BUNDLE    certificate authorities for the downloads; default: what this machine gives Node,
#                        npm or OpenSSL
#   KALPANA_KEEP_CA      set to 1 to keep them in the image, for people behind the same proxy
#   XDG_STATE_HOME       its kalpana/ folder takes the log (default ~/.local/state)
#
# This machine's proxies, npm registry and apt mirror are used for the downloads and are not in the image.
set -euo pipefail
# A fresh clone under another umask must meet the same layers.
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

name=kalpana/workspace
log=$state_dir/image-build.log
started=$SECONDS

docker version >/dev/null 2>&1 || die "no Docker Engine answers. Run scripts/engine.sh first."

base=$("$here/base.sh")

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

if [ -n "${KALPANA_BRIDGE:-}" ]; then
	cp "$KALPANA_BRIDGE" "$context/kalpana-bridge" || die "KALPANA_BRIDGE names $KALPANA_BRIDGE, which cannot be read."
else
	# Without the stamp of the commit: the image should change when the program does.
	(cd "$here/.." && CGO_ENABLED=0 GOOS=linux GOARCH=$(docker version --format '{{.Server.Arch}}') \
		go build -buildvcs=false -trimpath -ldflags='-s -w' -o "$context/kalpana-bridge" ./cmd/kalpana-bridge) >&2 ||
		die "kalpana-bridge does not build; the compiler's words are above."
fi

mkdir "$context/templates"
cp -R "$here/Dockerfile" "$here/editor" "$here/extension" "$context/"
for template in "$here"/templates/*/; do
	cp -R "$template/files" "$context/templates/$(basename "$template")"
done
find "$context" -type d -exec chmod 755 {} +
find "$context" -type f -exec chmod 644 {} +
chmod 755 "$context/kalpana-bridge"

keep_ca=
[ -z "${KALPANA_KEEP_CA:-}" ] || keep_ca=1

# first_file NAME…: the first that can be read.
first_file() {
	local file
	for file; do
		if [ -n "$file" ] && [ -f "$file" ] && [ -r "$file" ]; then
			echo "$file"
			return
		fi
	done
}
npm_config() { # what npm says on this machine, or nothing
	local value
	value=$(cd / && npm config get "$1" 2>/dev/null) || return 0
	[ "$value" = null ] || [ "$value" = undefined ] || echo "$value"
}
find_ca() {
	first_file "${KALPANA_CA_BUNDLE:-}" "${NODE_EXTRA_CA_CERTS:-}" "$(npm_config cafile)" "${SSL_CERT_FILE:-}"
}

key=$(
	{
		echo "$base"
		[ -z "$keep_ca" ] || sha256sum <"$(find_ca)"
		cd "$context"
		find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
	} | short_hash
)
image=$name:$key

finish() {
	docker tag "$image" "$name:latest"
	say "$1 ($((SECONDS - started)) s)"
	echo "$image"
	exit 0
}

exists() { docker image inspect "$image" >/dev/null 2>&1; }

! exists || finish "$image is there already"

# Two builds at once would both compile code-server. The lock is in /tmp, not with the log: it is about the
# engine, whatever the state folder.
if command -v flock >/dev/null; then
	exec 9>"${TMPDIR:-/tmp}/kalpana-image-$(id -u).lock"
	if ! flock -n 9; then
		say "another build is under way; waiting for it"
		flock 9
	fi
	! exists || finish "$image is there already"
fi

# What this machine needs for downloads. Files that stay in a build stage, none of them in the image.
mkdir "$context/host"
: >"$context/host/ca.crt"
ca=$(find_ca)
[ -z "$ca" ] || cat "$ca" >"$context/host/ca.crt"

registry=$(npm_config registry)
echo "registry=${registry:-https://registry.npmjs.org/}" >"$context/host/npmrc"

{
	mirror=$(apt_mirror bookworm)
	security=$(apt_mirror bookworm-security)
	if [ -z "${KALPANA_BASE_IMAGE:-}" ] && [ -n "$mirror" ] && [[ $mirror != http*://deb.debian.org/debian ]]; then
		printf 'deb %s %s main\n' "$mirror" bookworm "$mirror" bookworm-updates \
			"${security:-http://deb.debian.org/debian-security}" bookworm-security >"$context/host/sources.list"
		echo 'Dir::Etc::SourceList "/tmp/host/sources.list";'
		echo 'Dir::Etc::SourceParts "/dev/null";'
	fi
	[ -z "$ca" ] || echo 'Acquire::https::CAInfo "/tmp/host/ca.crt";'
	# A proxy, or a mirror that is behind on purpose.
	! command -v apt-config >/dev/null ||
		apt-config dump | grep -E '^Acquire::(https?::(Proxy|Timeout)|Retries|Check-(Valid-Until|Date)) ' || true
} >"$context/host/apt.conf"

args=(--build-arg "BASE=$base" --build-arg "KEEP_CA=$keep_ca")
for variable in http_proxy https_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY; do
	# Without a value: docker takes it from the environment and keeps it out of the image's history.
	[ -z "${!variable:-}" ] || args+=(--build-arg "$variable")
done
chmod 644 "$context"/host/*

mkdir -p "$state_dir"
say "building $image; the log is $log"

# The classic builder is in every engine, and its layers are where the next build looks for them.
export DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-0} BUILDKIT_PROGRESS=plain
if ! docker build --network host --force-rm --tag "$image" "${args[@]}" "$context" </dev/null 2>&1 |
	tee "$log" | sed -nu 's/^\(#[0-9]* [0-9.]* \)\{0,1\}==> /image: · /p' >&2; then
	say "the build failed; the end of its log:"
	tail -n 30 "$log" >&2
	die "the whole log is $log"
fi

finish "$image is built"
