package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// planOf plans a checkout's xcaddy.toml without ever running go.
func planOf(t *testing.T, text string, more map[string]string) (p *plan, dir string) {
	t.Helper()
	file := checkout(t, text, more)
	cfg, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err = newPlan(context.Background(), cfg, "/no/go/needed")
	if err != nil {
		t.Fatal(err)
	}
	return p, filepath.Dir(file)
}

func TestPrint_IsTheXcaddyCommandForTheSameBuild(t *testing.T) {
	p, dir := planOf(t, `
caddy = "v2.11.9"

[kalpana]
version = "v0.1.0"
replace = "."

[[plugins]]
package = "github.com/caddy-dns/cloudflare"

[[plugins]]
package = "example.com/a/caddy"
version = "v1.2.3"

[[plugins]]
package = "example.com/fork/caddy"
module = "example.com/fork"
replace = "example.com/mine@v1.0.0"

[replacements]
"example.com/z" = "./z"
"example.com/y@v1.0.0" = "example.com/y@v1.0.1"

[build]
os = "linux"
arch = "arm64"
cgo = true
ldflags = "-s -X 'a.b=it is'"
tags = ["x"]
flags = ["-p=1"]
[build.env]
GOPRIVATE = "git.example.com,*.example.org"
`, map[string]string{"z/go.mod": "module example.com/z\n"})

	want := strings.ReplaceAll(`GOARCH=arm64 \
GOOS=linux \
GOPRIVATE='git.example.com,*.example.org' \
GOWORK=off \
CGO_ENABLED=1 \
XCADDY_GO_BUILD_FLAGS='-ldflags '\''-s -X '\''\'\'''\''a.b=it is'\''\'\'''\'' -X github.com/kalpana-dev/kalpana/caddymodule.Version=v0.1.0'\'' -trimpath -tags x -p=1' \
xcaddy build v2.11.9 \
  --with github.com/kalpana-dev/kalpana/caddymodule@v0.1.0 \
  --with github.com/caddy-dns/cloudflare \
  --with example.com/a/caddy@v1.2.3 \
  --with example.com/fork/caddy \
  --replace example.com/y@v1.0.0=example.com/y@v1.0.1 \
  --replace example.com/z=DIR/z \
  --replace github.com/kalpana-dev/kalpana=DIR \
  --replace example.com/fork=example.com/mine@v1.0.0 \
  --output out
`, "DIR", dir)
	if diff := cmp.Diff(want, p.command("out")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPlan_ReplacesTheModuleNotThePackageInIt(t *testing.T) {
	p, dir := planOf(t, "caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a/v3/deep/caddy\"\nreplace = \"./a\"\n",
		map[string]string{"a/go.mod": "module example.com/a/v3\n"})
	var got []string
	for _, r := range p.builder.Replacements {
		got = append(got, r.Old.String()+"="+r.New.String())
	}
	want := []string{ourModule + "=" + dir, "example.com/a/v3=" + filepath.Join(dir, "a")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestPlan_RequiresWhatXcaddyWouldLeaveToChance(t *testing.T) {
	p, _ := planOf(t, `caddy = "v2.11.9"
[[plugins]]
package = "example.com/a/v3/caddy"
replace = "./a"
[[plugins]]
package = "github.com/kalpana-dev/kalpana/extra"
version = "v1.2.3"
[[plugins]]
package = "example.com/elsewhere"
version = "v1.0.0"
`, map[string]string{"a/go.mod": "module example.com/a/v3\n"})
	want := []string{
		ourModule + "@v0.0.0-00010101000000-000000000000",
		"example.com/a/v3@v3.0.0-00010101000000-000000000000",
		ourModule + "/extra@v1.2.3",
	}
	if diff := cmp.Diff(want, p.require); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// xcaddy would turn the first package into example.com/a/v3/caddy/v3 and the second into example.com/b/v2.
func TestPlan_KeepsXcaddyFromBendingThePathsOfLaterMajorVersions(t *testing.T) {
	p, _ := planOf(t, `caddy = "v2.11.9"
[[plugins]]
package = "example.com/a/v3/caddy"
module = "example.com/a/v3"
version = "v3.1.0"
[[plugins]]
package = "example.com/b"
version = "v2.0.0+incompatible"
[[plugins]]
package = "example.com/c/v4"
version = "v4.0.1"
`, nil)
	var with, replace []string
	for _, dep := range p.builder.Plugins[1:] {
		with = append(with, dep.String())
	}
	for _, r := range p.builder.Replacements[1:] {
		replace = append(replace, r.Old.String()+"="+r.New.String())
	}
	if diff := cmp.Diff([]string{"example.com/a/v3/caddy", "example.com/b", "example.com/c/v4@v4.0.1"}, with); diff != "" {
		t.Errorf("plugins (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"example.com/a/v3=example.com/a/v3@v3.1.0", "example.com/b=example.com/b@v2.0.0+incompatible",
	}, replace); diff != "" {
		t.Errorf("replacements (-want +got)\n%s", diff)
	}
}

func TestPlan_EmbedsWhatGitSaysOfTheCheckout(t *testing.T) {
	p, dir := planOf(t, "caddy = \"v2.11.9\"\n", nil)
	if p.version != "devel" {
		t.Errorf("version %q outside of git, want devel", p.version)
	}
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "all"},
		{"tag", "v0.3.0"},
	} {
		command(t, dir, "git", args...)
	}
	if got := describe(context.Background(), dir); got != "v0.3.0" {
		t.Errorf("version %q at a tag, want v0.3.0", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(ourGoMod+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := describe(context.Background(), dir); got != "v0.3.0-dirty" {
		t.Errorf("version %q after a change, want v0.3.0-dirty", got)
	}
}

func TestPlan_NamesTheOutputAfterThePlatform(t *testing.T) {
	for goos, want := range map[string]string{"linux": "kalpana", "windows": "kalpana.exe"} {
		p, _ := planOf(t, "caddy = \"v2.11.9\"\n[build]\nos = \""+goos+"\"\n", nil)
		if got := p.defaultOutput(); got != want {
			t.Errorf("on %s: %q, want %q", goos, got, want)
		}
	}
}
