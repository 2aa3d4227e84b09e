#!/usr/bin/env bash
# Makes sure a Docker Engine answers. Silent when one does; asks nothing.
#
#   DOCKER_HOST      the engine to use; when set, nothing is installed or started here
#   XDG_STATE_HOME   its kalpana/ folder takes the engine's log (default ~/.local/state)
set -euo pipefail

state=${XDG_STATE_HOME:-${HOME:-/root}/.local/state}/kalpana
log=$state/dockerd.log
wait_seconds=60

say() { printf 'engine: %s\n' "$*" >&2; }
die() {
	printf 'engine: %s\n' "$@" >&2
	exit 1
}

answer=
answers() {
	# LC_ALL: the text is looked at below.
	answer=$(LC_ALL=C timeout 10 docker version --format '{{.Server.Version}}' 2>&1 | tail -n 1)
}

# A pid file outlives a killed engine, and its number may belong to anything by now.
drop_stale_pid() { # file, program
	local pid
	[ -f "$1" ] || return 0
	pid=$(cat "$1" 2>/dev/null || true)
	if [ -z "$pid" ] || [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$2" ]; then
		rm -f "$1"
	fi
}

running() { # program; exact name, no pgrep needed
	grep -qxs "$1" /proc/[0-9]*/comm
}

answers && exit 0

if [ -n "${DOCKER_HOST:-}" ]; then
	if ! command -v docker >/dev/null; then
		die "DOCKER_HOST is set to $DOCKER_HOST, but there is no docker command here." \
			"Install Docker's command line (Debian: apt-get install docker.io), then run this again."
	fi
	die "DOCKER_HOST is set to $DOCKER_HOST, but no Docker Engine answers there:" "  $answer" \
		"Start that engine, or unset DOCKER_HOST to use one on this machine."
fi

if [ "$(id -u)" != 0 ]; then
	case $answer in
	*"permission denied"*)
		die "A Docker Engine is here, but $(id -un) may not use it." \
			"Run 'sudo usermod -aG docker $(id -un)' and sign in again, or run this as root."
		;;
	esac
	die "No Docker Engine answers, and only root can install or start one." \
		"Run this as root, start Docker yourself, or set DOCKER_HOST to an engine you may use."
fi

mkdir -p "$state"

# Two runs at once must not start two engines.
if command -v flock >/dev/null; then
	exec 9>"$state/engine.lock"
	flock 9
	answers && exit 0
fi

install_engine() {
	local id='' like='' packages=(docker.io iptables tini ca-certificates)
	if [ -r /etc/os-release ]; then
		# shellcheck source=/dev/null
		id=$(. /etc/os-release && echo "${ID:-}")
		# shellcheck source=/dev/null
		like=$(. /etc/os-release && echo "${ID_LIKE:-}")
	fi
	case " $id $like " in
	*" debian "* | *" ubuntu "*) ;;
	*)
		die "No Docker Engine is installed, and this script can install one only on Debian and Ubuntu." \
			"Install Docker Engine with your system's packages (docker and iptables), start it, then run this again."
		;;
	esac
	say "The Docker Engine, or a part of it, is not installed. Installing ${packages[*]} with apt-get."
	: >"$state/engine-install.log"
	# Another apt-get may hold the lock; it gets five minutes.
	if ! {
		apt-get -o DPkg::Lock::Timeout=300 update &&
			# Newer releases ship the command line apart.
			{ ! apt-cache show docker-cli >/dev/null 2>&1 || packages+=(docker-cli); } &&
			DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 \
				install -y --no-install-recommends "${packages[@]}"
	} </dev/null >>"$state/engine-install.log" 2>&1 9>&-; then
		tail -n 15 "$state/engine-install.log" >&2
		die "Installing failed; the lines above are the end of $state/engine-install.log." \
			"Install docker.io and iptables yourself, then run this again."
	fi
}

if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null || ! command -v iptables >/dev/null; then
	install_engine
	hash -r
	# The package may have started it.
	answers && exit 0
fi

if [ -d /run/systemd/system ]; then
	say "Starting the Docker Engine with systemctl."
	systemctl start docker >"$log" 2>&1 9>&- || true
elif running dockerd; then
	say "A Docker Engine is starting; waiting for it."
else
	drop_stale_pid /var/run/docker.pid dockerd
	drop_stale_pid /var/run/docker/containerd/containerd.pid containerd
	# Without an init system nobody may have mounted this.
	if ! mountpoint -q /sys/fs/cgroup; then
		mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null || true
	fi
	args=()
	# 'docker run --init' needs an init; it goes by this name only in Docker's own packages.
	if ! command -v docker-init >/dev/null; then
		init=$(command -v tini-static || command -v tini || true)
		[ -z "$init" ] || args+=(--init-path "$init")
	fi
	say "Starting the Docker Engine; its log is $log"
	setsid nohup dockerd "${args[@]}" </dev/null >"$log" 2>&1 9>&- &
fi

for ((i = 0; i < wait_seconds * 5; i++)); do
	if answers; then
		say "Docker Engine $answer answers."
		exit 0
	fi
	# Gone already: waiting out the minute would tell nothing more.
	if ((i > 25)) && [ ! -d /run/systemd/system ] && ! running dockerd; then
		break
	fi
	sleep 0.2
done

if [ -d /run/systemd/system ]; then
	journalctl -u docker -n 20 --no-pager >>"$log" 2>/dev/null || true
fi
say "The Docker Engine did not start. The end of its log:"
tail -n 20 "$log" >&2 || true
case $(tail -n 20 "$log" 2>/dev/null) in
*iptables*) say "It could not set up iptables: try 'update-alternatives --set iptables /usr/sbin/iptables-legacy'." ;;
*cgroup*) say "It found no usable control groups: mount /sys/fs/cgroup, or run on a machine that has them." ;;
*"permitted"* | *"permission denied"*) say "This machine does not let root run containers: it may itself be an unprivileged container." ;;
esac
die "The whole log is $log. Start Docker yourself or set DOCKER_HOST, then run this again."
