package workspace_test

import (
	"testing"

	"github.com/kalpana-dev/kalpana/workspace"
)

func TestEffectiveShare_IsTheNarrowerOfLevelAndLimit(t *testing.T) {
	const id = workspace.ID("abcdefghij")
	width := map[workspace.ShareLevel]int{workspace.ShareMembers: 1, workspace.SharePublic: 2}
	all := append([]workspace.ShareLevel{"", "everybody"}, workspace.ShareLevels...)
	for _, level := range all {
		for _, limit := range all {
			w := &workspace.Workspace{ID: id, Shares: []workspace.Share{{Port: 5000, Level: level, Wakes: true, CORS: true}}}
			got := w.EffectiveShare(workspace.Host{Kind: workspace.HostPreview, ID: id, Port: 5000}, limit)
			want := min(width[level], width[limit])
			if width[got.Level] != want || !got.Level.Valid() || got.Wakes != (want == 2) || !got.CORS || got.Port != 5000 {
				t.Errorf("%q under %q is %+v", level, limit, got)
			}
			for name, host := range map[string]workspace.Host{
				"another port": {Kind: workspace.HostPreview, ID: id, Port: 5001}, "VS Code": {Kind: workspace.HostIDE, ID: id, Port: 5000},
				"another workspace": {Kind: workspace.HostPreview, ID: "bcdefghijk", Port: 5000}, "the console": {Kind: workspace.HostConsole, Port: 5000},
			} {
				if got := w.EffectiveShare(host, limit); got.Level != workspace.SharePrivate || got.Wakes || got.CORS {
					t.Errorf("%s, %q under %q: %+v", name, level, limit, got)
				}
			}
		}
	}
}

func TestParseOrigin_TakesExactOriginsOnly(t *testing.T) {
	hosts, err := workspace.NewHosts("http://kalpana.localhost:8080", "")
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]workspace.Host{
		"http://kalpana.localhost:8080":                    {Kind: workspace.HostConsole},
		"http://abcdefghij.ws.kalpana.localhost:8080":      {Kind: workspace.HostIDE, ID: "abcdefghij"},
		"http://5000-abcdefghij.ws.kalpana.localhost:8080": {Kind: workspace.HostPreview, ID: "abcdefghij", Port: 5000},
	} {
		if got, err := hosts.ParseOrigin(origin); err != nil || got != want {
			t.Errorf("%s: %+v, %v", origin, got, err)
		}
		for _, other := range []string{
			origin + "/", origin + " ", " " + origin, origin + "0", origin[:len(origin)-5], origin[:len(origin)-4] + "9090", "https" + origin[4:],
			"HTTP" + origin[4:], "http://a@" + origin[7:], "http://x." + origin[7:], origin + ".evil.com", origin + "," + origin, "null", "", origin[7:],
		} {
			if got, err := hosts.ParseOrigin(other); err == nil {
				t.Errorf("%q is %+v", other, got)
			}
		}
	}
	if _, err := hosts.ParseOrigin("http://ABCDEFGHIJ.ws.kalpana.localhost:8080"); err == nil {
		t.Error("capitals pass")
	}
}
