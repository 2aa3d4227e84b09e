#!/usr/bin/env bash
# Makes the image that the workspace image builds on and prints its reference.
#
#   KALPANA_BASE_IMAGE   use this image instead (Debian 12 or later, or a relative of it)
#   XDG_CACHE_HOME       its kalpana/ folder keeps the debootstrap archive (default ~/.cache)
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
. "$here/lib.sh"

suite=bookworm
upstream=debian:bookworm-slim
default_mirror=http://deb.debian.org/debian

have() { docker image inspect "$1" >/dev/null 2>&1; }

if [ -n "${KALPANA_BASE_IMAGE:-}" ]; then
	if ! have "$KALPANA_BASE_IMAGE"; then
		say "pulling $KALPANA_BASE_IMAGE"
		docker pull -q "$KALPANA_BASE_IMAGE" >&2 ||
			die "KALPANA_BASE_IMAGE names $KALPANA_BASE_IMAGE, which is neither on the engine nor to be pulled."
	fi
	echo "$KALPANA_BASE_IMAGE"
	exit 0
fi

key=$(short_hash <"$here/base.sh")
ref=kalpana/base:$key

if have "$ref"; then
	echo "$ref"
	exit 0
fi

if have "$upstream" || timeout 20 docker pull -q "$upstream" >/dev/null 2>&1; then
	docker tag "$upstream" "$ref"
	say "base is $upstream"
	echo "$ref"
	exit 0
fi

arch=$(docker version --format '{{.Server.Arch}}')
archive=$cache_dir/base-$key-$arch.tar.gz

if [ ! -f "$archive" ]; then
	say "no image registry answers: making a Debian $suite base with debootstrap (about a minute)"
	if [ "$(id -u)" != 0 ]; then
		die "debootstrap needs root." \
			"Run this once as root, or set KALPANA_BASE_IMAGE to a Debian image that the engine has."
	fi
	if ! command -v debootstrap >/dev/null || [ ! -e /usr/share/keyrings/debian-archive-keyring.gpg ]; then
		command -v apt-get >/dev/null ||
			die "debootstrap is missing. Install it, or set KALPANA_BASE_IMAGE to a Debian image that the engine has."
		say "installing debootstrap with apt-get"
		{ apt-get -o DPkg::Lock::Timeout=300 update && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
			install -y --no-install-recommends debootstrap debian-archive-keyring; } </dev/null >/dev/null 2>&1 ||
			die "apt-get could not install debootstrap. Install it, then run this again."
	fi

	mkdir -p "$cache_dir" "$state_dir"
	work=$(mktemp -d "$cache_dir/base.XXXXXX")
	# debootstrap may leave /proc mounted when it is stopped half-way.
	trap 'umount -l "$work"/root/{proc,sys} 2>/dev/null || true; rm -rf --one-file-system "$work"' EXIT
	root=$work/root
	mirror=$(apt_mirror "$suite")
	log=$state_dir/debootstrap.log
	eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null || true)"
	if ! http_proxy=${http_proxy:-${proxy:-}} debootstrap --arch="$arch" --variant=minbase \
		"$suite" "$root" "${mirror:-$default_mirror}" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "debootstrap failed; the lines above are the end of $log."
	fi

	# As small as Debian's slim images, and nothing of this machine in it.
	cat >"$root/etc/dpkg/dpkg.cfg.d/slim" <<-END
		path-exclude /usr/share/doc/*
		path-include /usr/share/doc/*/copyright
		path-exclude /usr/share/info/*
		path-exclude /usr/share/locale/*
		path-exclude /usr/share/man/*
	END
	find "$root/usr/share/doc" -depth \( -type f -o -type l \) ! -name copyright -delete
	find "$root/usr/share/doc" -depth -type d -empty -delete
	rm -rf "$root"/usr/share/{info,locale,man}/* "$root"/var/cache/apt/{archives,*.bin} \
		"$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/etc/apt/sources.list.d/*
	: >"$root/etc/machine-id"
	: >"$root/etc/resolv.conf"
	echo localhost >"$root/etc/hostname"
	cat >"$root/etc/apt/sources.list" <<-END
		deb $default_mirror $suite main
		deb $default_mirror $suite-updates main
		deb $default_mirror-security $suite-security main
	END

	tar -C "$root" --numeric-owner --sort=name --one-file-system -c . | gzip -1 >"$archive.part"
	mv "$archive.part" "$archive"
fi

docker import --change 'CMD ["bash"]' --message "debootstrap $suite" "$archive" "$ref" >/dev/null
say "base is $ref"
echo "$ref"
