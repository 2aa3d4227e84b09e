# shellcheck shell=bash disable=SC2034
# What base.sh and build.sh share. Sourced, never run.

cache_dir=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/kalpana
state_dir=${XDG_STATE_HOME:-${HOME:-/root}/.local/state}/kalpana

say() { printf 'image: %s\n' "$*" >&2; }
die() {
	printf 'image: %s\n' "$@" >&2
	exit 1
}

# The first 12 digits of the SHA-256 of standard input: enough for a tag.
short_hash() { sha256sum | cut -c1-12; }

# apt_mirror SUITE: where this machine's apt gets SUITE from; nothing when it has no such line.
apt_mirror() {
	local file files=(/dev/null)
	for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
		[ ! -r "$file" ] || files+=("$file")
	done
	# Both formats: "deb [options] URI SUITE …" and stanzas with "URIs:" and "Suites:".
	awk -v suite="$1" '
		function flush(   i, n, s) {
			n = split(suites, s, " ")
			for (i = 1; i <= n; i++) if (s[i] == suite && uri != "" && !off) { print uri; found = 1; exit }
			uri = suites = ""; off = 0
		}
		FNR == 1 { flush() }
		/^[ \t]*#/ { next }
		/^deb[ \t]/ {
			line = $0; sub(/\[[^]]*\]/, "", line); split(line, f, " ")
			if (f[3] == suite) { print f[2]; found = 1; exit }
		}
		tolower($1) == "uris:" { uri = $2 }
		tolower($1) == "suites:" { sub(/^[^:]*:/, ""); suites = $0 }
		tolower($1) == "enabled:" { off = tolower($2) == "no" }
		/^[ \t]*$/ { flush() }
		END { if (!found) flush() }
	' "${files[@]}" | sed -n '1s|/*$||p'
}
