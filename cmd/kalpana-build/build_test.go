package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

func TestMain(m *testing.M) {
	if isGoStandIn() {
		os.Exit(runGoStandIn(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// kalpanaBuild runs the command on a config file, and returns the binary and what it told the person.
func kalpanaBuild(t *testing.T, configFile string, more ...string) (binary, said string, err error) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), "kalpana")
	var stdout, stderr bytes.Buffer
	err = run(t.Context(), append([]string{"--config", configFile, "--output", binary}, more...), &stdout, &stderr)
	return binary, stdout.String() + stderr.String(), err
}

// stub is a checkout of Kalpana on a Caddy of a few lines, and a module proxy on disk with a few plugins:
// everything around the compiler is real, and a build takes a second or two. The only network there is, is
// the proxy; it knows neither Kalpana nor Caddy.
func stub(t *testing.T, more map[string]string, extra string) (configFile string) {
	t.Helper()
	files := map[string]string{
		"go.mod":                             "module " + ourModule + "\n\ngo 1.26\n",
		"web/dist/index.html":                "",
		"caddymodule/module.go":              "package caddymodule\n\nvar Version string\n\nfunc init() { println(\"Kalpana\", Version) }\n",
		"caddy/go.mod":                       "module " + caddyModule + "\n\ngo 1.26\n",
		"caddy/cmd/cmd.go":                   "package caddycmd\n\nfunc Main() {}\n",
		"caddy/modules/standard/standard.go": "package standard\n",
		"xcaddy.toml":                        "caddy = \"v2.11.9\"\n" + extra + "\n[replacements]\n\"" + caddyModule + "\" = \"./caddy\"\n",
	}
	for name, text := range more {
		files[name] = text
	}
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(stubProxy(t)))
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOMODCACHE", filepath.Join(t.TempDir(), "modcache"))
	t.Setenv("GOFLAGS", "-modcacherw")
	t.Setenv("TMPDIR", t.TempDir()) // for the check that nothing is left behind
	return filepath.Join(writeFiles(t, files), "xcaddy.toml")
}

// stubProxy is a directory laid out as a GOPROXY: example.com/plugin at v1.0.0 and v1.1.0,
// example.com/needy that needs the latter, and example.com/deep/v2 with its package below the root.
func stubProxy(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, m := range []struct{ path, version, pkg, require string }{
		{"example.com/plugin", "v1.0.0", "", ""},
		{"example.com/plugin", "v1.1.0", "", ""},
		{"example.com/needy", "v1.0.0", "", "require example.com/plugin v1.1.0\n"},
		{"example.com/deep/v2", "v2.0.0", "caddy/", ""},
		{"example.com/deep/v2", "v2.1.0", "caddy/", ""},
	} {
		goMod := "module " + m.path + "\n\ngo 1.26\n" + m.require
		source := writeFiles(t, map[string]string{
			"go.mod":            goMod,
			m.pkg + "plugin.go": fmt.Sprintf("package plugin\n\nfunc init() { println(%q, %q) }\n", m.path, m.version),
		})
		at := filepath.Join(dir, filepath.FromSlash(m.path), "@v")
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		list, err := os.OpenFile(filepath.Join(at, "list"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(list, m.version)
		list.Close()
		var archive bytes.Buffer
		if err := zip.CreateFromDir(&archive, module.Version{Path: m.path, Version: m.version}, source); err != nil {
			t.Fatal(err)
		}
		for suffix, data := range map[string][]byte{
			".info": []byte(`{"Version":"` + m.version + `"}`), ".mod": []byte(goMod), ".zip": archive.Bytes(),
		} {
			if err := os.WriteFile(filepath.Join(at, m.version+suffix), data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func plugins(tables ...string) string {
	return "\n[[plugins]]\n" + strings.Join(tables, "\n[[plugins]]\n")
}

func TestBuild_HoldsEveryPluginAtItsVersion(t *testing.T) {
	config := stub(t, map[string]string{
		"local/go.mod":   "module example.com/local/v3\n\ngo 1.26\n",
		"local/local.go": "package local\n\nfunc init() { println(\"local root\") }\n",
		"local/sub/s.go": "package sub\n\nfunc init() { println(\"local sub\") }\n",
	}, `
[kalpana]
version = "v0.4.2"
replace = "."
`+plugins(
		"package = \"example.com/plugin\"\nversion = \"v1.0.0\"",
		"package = \"example.com/deep/v2/caddy\"\nmodule = \"example.com/deep/v2\"\nversion = \"v2.0.0\"",
		"package = \"example.com/local/v3/sub\"\nreplace = \"./local\"",
	))
	binary, said, err := kalpanaBuild(t, config)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	got := command(t, "", binary)
	for _, want := range []string{"Kalpana v0.4.2", "example.com/plugin v1.0.0", "example.com/deep/v2 v2.0.0", "local sub"} {
		if !strings.Contains(got, want) {
			t.Errorf("the binary lacks %q; it printed\n%s", want, got)
		}
	}
	for _, want := range []string{"Caddy v2.11.9, further plugins: 3\n", "finding versions …\n", "compiling …\n", "built " + binary} {
		if !strings.Contains(said, want) {
			t.Errorf("progress lacks %q:\n%s", want, said)
		}
	}
	if strings.Contains(said, "[INFO]") {
		t.Errorf("progress shows xcaddy's own log:\n%s", said)
	}
	if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
		t.Errorf("left in the temporary directory: %v", left)
	}
}

func TestBuild_TakesTheLatestOfAPluginWithoutVersion(t *testing.T) {
	config := stub(t, nil, plugins("package = \"example.com/plugin\""))
	binary, said, err := kalpanaBuild(t, config)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if got := command(t, "", binary); !strings.Contains(got, "example.com/plugin v1.1.0") {
		t.Errorf("the binary printed\n%s", got)
	}
}

func TestBuild_AsksNoProxyForWhatIsReplaced(t *testing.T) {
	config := stub(t, map[string]string{
		"local/go.mod":   "module example.com/local/v3\n\ngo 1.26\n",
		"local/local.go": "package local\n\nfunc init() { println(\"local root\") }\n",
	}, plugins("package = \"example.com/local/v3\"\nreplace = \"./local\""))
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "not on the list", http.StatusForbidden)
	}))
	t.Cleanup(refusing.Close)
	t.Setenv("GOPROXY", refusing.URL)
	binary, said, err := kalpanaBuild(t, config)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if got := command(t, "", binary); !strings.Contains(got, "local root") {
		t.Errorf("the binary printed\n%s", got)
	}
}

func TestBuild_SaysWhatFailedInTheWordsOfGo(t *testing.T) {
	for name, tc := range map[string]struct {
		files   map[string]string
		plugins string
		want    []string
	}{
		"version that does not exist": {
			plugins: plugins("package = \"example.com/plugin\"\nversion = \"v1.9.9\""),
			want:    []string{"finding versions failed:\n", "example.com/plugin@v1.9.9: "},
		},
		"module that does not exist": {
			plugins: plugins("package = \"example.com/nowhere\""),
			want:    []string{"finding versions failed:\n", "example.com/nowhere"},
		},
		"package that does not exist": {
			plugins: plugins("package = \"example.com/plugin/nothing\""),
			want:    []string{"finding versions failed:\n", "does not contain package example.com/plugin/nothing"},
		},
		"code that does not compile": {
			files:   map[string]string{"bad/go.mod": "module example.com/bad\n", "bad/bad.go": "package bad\n\nvar x int = \"x\"\n"},
			plugins: plugins("package = \"example.com/bad\"\nreplace = \"./bad\""),
			want:    []string{"compiling failed:\n", "bad.go:3:13: cannot use \"x\""},
		},
		"platform that does not exist": {
			plugins: "\n[build]\nos = \"linux\"\narch = \"pdp11\"\n",
			want:    []string{" failed:\n", "linux/pdp11"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			binary, said, err := kalpanaBuild(t, stub(t, tc.files, tc.plugins))
			if err == nil {
				t.Fatalf("built\n%s", said)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not contain %q:\n%v", want, err)
				}
			}
			if lines := strings.Count(err.Error(), "\n"); lines > 4 || strings.Contains(err.Error(), "[INFO]") {
				t.Errorf("the error is %d lines long:\n%v", lines, err)
			}
			if left, _ := os.ReadDir(filepath.Dir(binary)); len(left) > 0 {
				t.Errorf("left next to the output: %v", left)
			}
			if left, _ := os.ReadDir(os.TempDir()); len(left) > 0 {
				t.Errorf("left in the temporary directory: %v", left)
			}
		})
	}
}

func TestBuild_RefusesAVersionThatAnotherModuleRaised(t *testing.T) {
	config := stub(t, nil, plugins(
		"package = \"example.com/plugin\"\nversion = \"v1.0.0\"",
		"package = \"example.com/needy\"\nversion = \"v1.0.0\"",
	))
	binary, _, err := kalpanaBuild(t, config)
	if err == nil || !strings.Contains(err.Error(), "example.com/plugin v1.0.0 was asked for, but another module needs v1.1.0") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(binary); err == nil {
		t.Error("left a binary that is not what was asked for")
	}
}

func TestBuild_KeepsTheOldBinaryWhenItFails(t *testing.T) {
	config := stub(t, map[string]string{"caddymodule/module.go": "package caddymodule\n\nbroken\n"}, "")
	output := filepath.Join(t.TempDir(), "kalpana")
	if err := os.WriteFile(output, []byte("old"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"--config", config, "--output", output}, os.Stdout, &bytes.Buffer{}); err == nil {
		t.Error("built broken code")
	}
	if got, _ := os.ReadFile(output); string(got) != "old" {
		t.Errorf("the old binary is now %q", got)
	}
}

func TestBuild_StopsWhenInterrupted(t *testing.T) {
	config := stub(t, nil, "")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	output := filepath.Join(t.TempDir(), "kalpana")
	err := run(ctx, []string{"--config", config, "--output", output}, os.Stdout, &bytes.Buffer{})
	if err == nil || err.Error() != "interrupted" {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(filepath.Dir(output)); len(left) > 0 {
		t.Errorf("left next to the output: %v", left)
	}
}

func TestBuild_WithoutGoSaysWhereToGetIt(t *testing.T) {
	config := stub(t, nil, "")
	t.Setenv("PATH", t.TempDir())
	_, _, err := kalpanaBuild(t, config)
	if err == nil || !strings.Contains(err.Error(), "no Go here") || !strings.Contains(err.Error(), "https://go.dev/dl/") {
		t.Errorf("got %v", err)
	}
}

func TestBuild_WithoutTheConsoleSaysHowToBuildIt(t *testing.T) {
	config := stub(t, nil, "")
	if err := os.Remove(filepath.Join(filepath.Dir(config), "web", "dist", "index.html")); err != nil {
		t.Fatal(err)
	}
	_, _, err := kalpanaBuild(t, config)
	if err == nil || !strings.Contains(err.Error(), "the console is not built") || !strings.Contains(err.Error(), "npm run build") {
		t.Errorf("got %v", err)
	}
}

func TestBuild_RefusesAnOutputItCannotWrite(t *testing.T) {
	config := stub(t, nil, "")
	for output, want := range map[string]string{
		t.TempDir(): "it is a directory",
		filepath.Join(t.TempDir(), "no", "such", "kalpana"): "no such file or directory",
	} {
		err := run(t.Context(), []string{"--config", config, "--output", output}, os.Stdout, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), "cannot write "+output) || !strings.Contains(err.Error(), want) {
			t.Errorf("--output %s: got %v", output, err)
		}
	}
}

func TestRelevant_DropsChatterAndTheTailOfALongError(t *testing.T) {
	lines := []string{"go: downloading example.com/a v1.0.0", "go: added example.com/a v1.0.0", "[INFO] Pinning versions", ""}
	for i := range 30 {
		lines = append(lines, fmt.Sprintf("a.go:%d: undefined: x", i+1))
	}
	got := relevant(lines)
	if !strings.HasPrefix(got, "  a.go:1: undefined: x\n") || !strings.HasSuffix(got, "\n  … and 10 more lines; --verbose shows them") {
		t.Errorf("got\n%s", got)
	}
}

// The one build on the real Caddy, with the xcaddy.toml of this repository as it is. The checkout around it
// is a small one, so that the test needs neither the console nor the rest of Kalpana to compile. It looks
// into the module cache before it asks a proxy, which takes it from 12 s to 3 s once all is compiled.
func TestBuild_TheExampleBuildsARealCaddyWithKalpanaInIt(t *testing.T) {
	example, err := os.ReadFile(exampleFile(t))
	if err != nil {
		t.Fatal(err)
	}
	cache := strings.Fields(command(t, "", "go", "env", "GOMODCACHE", "GOPROXY"))
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(cache[0])+"/cache/download,"+cache[1])
	dir := writeFiles(t, map[string]string{
		"xcaddy.toml":         string(example),
		"go.mod":              ourGoMod,
		"web/dist/index.html": "",
		"caddymodule/module.go": `package caddymodule

import "github.com/caddyserver/caddy/v2"

var Version string

func init() { caddy.RegisterModule(App{}) }

type App struct{}

func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: caddy.ModuleID("kalpana.test." + Version), New: func() caddy.Module { return new(App) }}
}
`,
	})
	binary, said, err := kalpanaBuild(t, filepath.Join(dir, "xcaddy.toml"))
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	got := command(t, "", binary, "list-modules", "--skip-standard")
	if !strings.Contains(got, "kalpana.test.devel\n") {
		t.Errorf("Caddy lists\n%s", got)
	}
	if got := command(t, "", binary, "version"); !strings.HasPrefix(got, "v2.11.9 ") {
		t.Errorf("Caddy says it is %s", got)
	}
}
