package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/modfile"
)

// writeFiles writes files, named by slash paths, into a new directory.
func writeFiles(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const ourGoMod = "module " + ourModule + "\n\ngo 1.26\n\nrequire " + caddyModule + " v2.11.0\n"

// checkout is a directory that passes for one of Kalpana, with text as its xcaddy.toml.
func checkout(t *testing.T, text string, more map[string]string) (configFile string) {
	t.Helper()
	files := map[string]string{"go.mod": ourGoMod, "xcaddy.toml": text}
	for name, text := range more {
		files[name] = text
	}
	return filepath.Join(writeFiles(t, files), "xcaddy.toml")
}

func TestReadConfig_RefusesWithTheLineAndWhatToDo(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string // each a line number, and what the message on that line contains
	}{
		"not TOML":              {"caddy = \n", []string{"1: "}},
		"key given twice":       {"caddy = \"v2.11.9\"\ncaddy = \"v2.11.9\"\n", []string{"2: key caddy is already defined"}},
		"unknown key":           {"caddy = \"v2.11.9\"\n\ncady = 1\n", []string{`3: unknown key "cady": the keys at the top are caddy, kalpana, plugins, replacements, build`}},
		"unknown table":         {"caddy = \"v2.11.9\"\n[plugin]\npackage = \"x\"\n", []string{`2: unknown key "plugin"`}},
		"unknown key in plugin": {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nversoin = \"v1.0.0\"\n", []string{`4: unknown key "plugins.versoin": the keys in plugins are package, module, version, replace`}},
		"every unknown key":     {"a = 1\ncaddy = \"v2.11.9\"\nb = 2\n", []string{`1: unknown key "a"`, `3: unknown key "b"`}},
		"number for a string":   {"caddy = 2\n", []string{"1: caddy must be a string, not a TOML integer"}},
		"string for a bool":     {"caddy = \"v2.11.9\"\n[build]\ncgo = \"yes\"\n", []string{"3: build.cgo must be true or false, not a TOML string"}},
		"string for a list":     {"caddy = \"v2.11.9\"\n[build]\ntags = \"a,b\"\n", []string{"3: build.tags must be a list of strings, not a TOML string"}},
		"string for a plugin":   {"caddy = \"v2.11.9\"\nplugins = [\"example.com/a\"]\n", []string{"2: plugins must be a table, not a TOML string"}},

		"no Caddy":                {"# nothing\n", []string{`: caddy is missing: write the version to build`}},
		"Caddy without v":         {"\ncaddy = \"2.11.9\"\n", []string{`2: "2.11.9" is no version: Go's versions start with a v, as in "v2.11.9"`}},
		"Caddy in part":           {"caddy = \"v2.11\"\n", []string{`1: "v2.11" is not a whole version: write all three numbers, as in "v2.11.0"`}},
		"Caddy that cannot be":    {"caddy = \"vnext\"\n", []string{`1: "vnext" is no version: one that starts with v must read vX.Y.Z`}},
		"Caddy with a flag":       {"caddy = \"-insecure\"\n", []string{`1: "-insecure" is no version`}},
		"Caddy 1":                 {"caddy = \"v1.0.5\"\n", []string{"1: Kalpana needs Caddy v2, not v1.0.5"}},
		"Caddy older than go.mod": {"caddy = \"v2.10.2\"\n", []string{"1: caddy v2.10.2 is too old: github.com/kalpana-dev/kalpana (.) needs v2.11.0"}},

		"plugin without package":   {"caddy = \"v2.11.9\"\n\n[[plugins]]\nversion = \"v1.0.0\"\n", []string{"3: package is missing"}},
		"second plugin":            {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\n[[plugins]]\npackage = \"example.com/b b\"\n", []string{"5: malformed import path"}},
		"plugin in an inline list": {"caddy = \"v2.11.9\"\nplugins = [\n  {package = \"example.com/a\"},\n  {package = \"nohost\"},\n]\n", []string{`4: "nohost" is no import path that go could fetch: its first part must be a host name`}},
		"URL for a package":        {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"https://github.com/caddy-dns/cloudflare/\"\n", []string{`3: "https://github.com/caddy-dns/cloudflare/" is a URL: write the import path, "github.com/caddy-dns/cloudflare"`}},
		"version in the package":   {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a@v1.0.0\"\n", []string{`3: "example.com/a@v1.0.0" holds a version: write package = "example.com/a" and version = "v1.0.0"`}},
		"plugin with bad version":  {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nversion = \"1.0\"\n", []string{`4: "1.0" is no version`}},
		"major version missing":    {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nversion = \"v2.0.0\"\n", []string{"4: version v2.0.0 does not fit example.com/a: from v2 on, a module's path ends in its major version; if the package lies below the root of its module, write module"}},
		"package outside module":   {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nmodule = \"example.com/b\"\n", []string{"4: package example.com/a is not in module example.com/b"}},
		"plugin twice":             {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\n[[plugins]]\npackage = \"example.com/a\"\n", []string{"5: example.com/a is listed twice"}},
		"Kalpana as a plugin":      {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"" + ourPackage + "\"\n", []string{"3: " + ourPackage + " is always built in; [kalpana] says which"}},

		"replacement missing":           {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nreplace = \"./gone\"\n", []string{"4: cannot replace with ./gone: stat "}},
		"replacement is a file":         {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nreplace = \"./go.mod\"\n", []string{"is not a directory"}},
		"replacement without go.mod":    {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nreplace = \"./bare\"\n", []string{"4: cannot replace with ./bare: ", "has no go.mod; a replacement is the root directory of a module"}},
		"replacement of another module": {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nreplace = \"./b\"\n", []string{"4: ./b is module example.com/b, which does not hold package example.com/a"}},
		"replacement without a form":    {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/a\"\nreplace = \"b\"\n", []string{`4: "b" is neither a directory (./…, ../… or absolute) nor a module with a version (path@version)`}},
		"Kalpana replaced by nothing":   {"caddy = \"v2.11.9\"\n[kalpana]\nreplace = \"../gone\"\n", []string{"3: cannot replace with ../gone"}},
		"replaced directory missing":    {"caddy = \"v2.11.9\"\n[replacements]\n\"example.com/x\" = \"./gone\"\n", []string{"3: cannot replace with ./gone"}},
		"replaced with another module":  {"caddy = \"v2.11.9\"\n[replacements]\n\"example.com/x\" = \"./b\"\n", []string{"3: ./b is module example.com/b, not example.com/x"}},
		"replaced path is none":         {"caddy = \"v2.11.9\"\n[replacements]\n\"x y\" = \"./b\"\n", []string{"3: malformed module path"}},
		"replaced version is none":      {"caddy = \"v2.11.9\"\n[replacements]\n\"example.com/b@1.0\" = \"./b\"\n", []string{`3: "1.0" is no version`}},
		"replaced twice":                {"caddy = \"v2.11.9\"\n[[plugins]]\npackage = \"example.com/b\"\nreplace = \"./b\"\n[replacements]\n\"example.com/b\" = \"example.com/c@v1.0.0\"\n", []string{"6: example.com/b is replaced already, where it is named as a plugin"}},

		"platform":               {"caddy = \"v2.11.9\"\n[build]\nos = \"Linux\"\n", []string{`3: "Linux" is no value for os`}},
		"tag":                    {"caddy = \"v2.11.9\"\n[build]\ntags = [\n  \"a\",\n  \"b c\",\n]\n", []string{`5: "b c" is no build tag`}},
		"flag that is none":      {"caddy = \"v2.11.9\"\n[build]\nflags = [\"-p\", \"1\"]\n", []string{`3: "1" is no flag`}},
		"flag with its own key":  {"caddy = \"v2.11.9\"\n[build]\nflags = [\"--ldflags=-s\"]\n", []string{"3: -ldflags has a place of its own: ldflags"}},
		"env with its own key":   {"caddy = \"v2.11.9\"\n[build.env]\nCGO_ENABLED = \"1\"\n", []string{"3: CGO_ENABLED has a key of its own: build.cgo"}},
		"env with a wrong name":  {"caddy = \"v2.11.9\"\n[build.env]\n\"A B\" = \"1\"\n", []string{`3: "A B" is no name for an environment variable`}},
		"problems of every kind": {"caddy = \"2\"\nx = 1\n[[plugins]]\npackage = \"a\"\n", []string{`1: "2" is no version`, `2: unknown key "x"`, `4: "a" is no import path`}},
	} {
		t.Run(name, func(t *testing.T) {
			file := checkout(t, tc.text, map[string]string{
				"bare/README": "", "b/go.mod": "module example.com/b\n",
			})
			_, err := readConfig(file)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tc.want {
				if line, _, ok := strings.Cut(want, ": "); ok && regexp.MustCompile(`^\d*$`).MatchString(line) {
					want = strings.TrimSuffix(file+":"+line, ":") + want[len(line):]
				}
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error does not contain %q:\n%v", want, err)
				}
			}
			if got := strings.Count(err.Error(), "\n") + 1; got > max(len(tc.want), 1) {
				t.Errorf("%d problems, want at most %d:\n%v", got, len(tc.want), err)
			}
		})
	}
}

func TestReadConfig_SaysWhereToFindAMissingFile(t *testing.T) {
	_, err := readConfig(filepath.Join(t.TempDir(), "xcaddy.toml"))
	if err == nil || !strings.Contains(err.Error(), "name it with --config") {
		t.Errorf("got %v", err)
	}
}

func TestReadConfig_TakesTheCheckoutAroundItUnlessToldOtherwise(t *testing.T) {
	file := checkout(t, "caddy = \"v2.11.9\"\n", nil)
	cfg, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cfg.modules[0].dir, filepath.Dir(file); got != want {
		t.Errorf("Kalpana from %q, want %q", got, want)
	}

	file = checkout(t, "caddy = \"v2.11.9\"\n[kalpana]\nversion = \"v0.1.0\"\n", nil)
	if cfg, err = readConfig(file); err != nil {
		t.Fatal(err)
	}
	if got := cfg.modules[0]; got.dir != "" || got.Version != "v0.1.0" {
		t.Errorf("got %+v, want version v0.1.0 from elsewhere", got)
	}
}

func TestReadConfig_OutsideACheckoutAsksWhichKalpana(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no module":      {"xcaddy.toml": "caddy = \"v2.11.9\"\n"},
		"another module": {"xcaddy.toml": "caddy = \"v2.11.9\"\n", "go.mod": "module example.com/other\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readConfig(filepath.Join(writeFiles(t, files), "xcaddy.toml"))
			if err == nil || !strings.Contains(err.Error(), `write [kalpana] with version = "latest"`) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReadConfig_LeavesOutOfBuildWhatIsSetEmpty(t *testing.T) {
	cfg, err := readConfig(checkout(t, "caddy = \"v2.11.9\"\n[build]\ntags = []\ntrimpath = false\nldflags = \"\"\n", nil))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Build.Tags) > 0 || cfg.Build.Trimpath || cfg.Build.Ldflags != "" {
		t.Errorf("got %+v", cfg.Build)
	}
}

func exampleFile(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("../../xcaddy.toml")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestExample_SetsTheDefaultsAndTheCaddyOfGoMod(t *testing.T) {
	cfg, err := readConfig(exampleFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(defaultBuild(), cfg.Build); diff != "" {
		t.Errorf("the example says it shows the defaults (-default +example):\n%s", diff)
	}
	data, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == caddyModule && r.Mod.Version != cfg.Caddy {
			t.Errorf("go.mod requires Caddy %s, the example builds %s", r.Mod.Version, cfg.Caddy)
		}
	}
}

func TestExample_EveryCommentedLineIsRightOnceItsDirectoriesExist(t *testing.T) {
	data, err := os.ReadFile(exampleFile(t))
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^# ([a-z]+ +=|\[|"|[A-Z]+ =)`).ReplaceAllString(string(data), "$1")
	if strings.Count(text, "\n#") > 15 || !strings.Contains(text, "\nreplace = \"../mine\"") {
		t.Fatalf("uncommenting the example went wrong:\n%s", text)
	}
	dir := writeFiles(t, map[string]string{
		"at/xcaddy.toml":    text,
		"mine/go.mod":       ourGoMod,
		"cloudflare/go.mod": "module github.com/caddy-dns/cloudflare\n",
		"certmagic/go.mod":  "module github.com/caddyserver/certmagic\n",
	})
	if _, err := readConfig(filepath.Join(dir, "at", "xcaddy.toml")); err != nil {
		t.Error(err)
	}
}
