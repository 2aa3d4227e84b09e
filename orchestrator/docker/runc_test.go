package docker

import (
	"testing"

	"github.com/docker/docker/api/types"
)

func TestRunc_VersionsThatLetContainersOutAreKnown(t *testing.T) {
	for version, want := range map[string]bool{
		"1.0.3": true, "1.1.5+ds1": true, "1.1.15": true, "1.2.0-rc.1": true, "1.2.7": true, "1.2.8": false, "1.2.9": false, "v1.2.10": false,
		"1.3.0": true, "1.3.2": true, "1.3.3": false, "1.3.3-0ubuntu1~24.04.3": false, "1.3.10": false,
		"1.4.0-rc.1": true, "1.4.0-rc.3": false, "1.4.0": false, "1.10.0": false, "2.0.0": false,
		"": false, "unknown": false, "1.2": false,
	} {
		if letsOut(version) != want {
			t.Errorf("%q: %v", version, !want)
		}
	}
}

func TestRunc_ItsVersionIsTheEnginesWord(t *testing.T) {
	v := types.Version{Components: []types.ComponentVersion{{Name: "Engine", Version: "28.5.2"}, {Name: "runc", Version: "1.3.3"}}}
	if got := runcOf(v); got != "1.3.3" {
		t.Errorf("%q", got)
	}
	if got := runcOf(types.Version{}); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
