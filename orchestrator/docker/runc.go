package docker

import (
	"regexp"
	"strings"

	"github.com/docker/docker/api/types"
	"golang.org/x/mod/semver"
)

// runcFaults are the faults by which a container gets out of runc, and where each line of releases has them mended.
const runcFaults = "CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881"

var mended = []string{"v1.2.8", "v1.3.3", "v1.4.0-rc.3"}

// runcOf returns the version of an engine's runc, or "".
func runcOf(v types.Version) string {
	for _, c := range v.Components {
		if strings.EqualFold(c.Name, "runc") {
			return c.Version
		}
	}
	return ""
}

// A distribution adds marks of its own to a version, such as 1.1.5+ds1 or 1.3.3-0ubuntu1~24.04.3.
var runcRelease = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-rc\.\d+)?)`)

// letsOut reports whether that version of runc has the faults, as its makers released it: a distribution may
// have mended them in an older one, which no version tells.
func letsOut(version string) bool {
	m := runcRelease.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	release := "v" + m[1]
	for _, good := range mended {
		if semver.MajorMinor(release) == semver.MajorMinor(good) {
			return semver.Compare(release, good) < 0
		}
	}
	return semver.Compare(release, mended[0]) < 0
}
