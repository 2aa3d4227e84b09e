package caddymodule

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func adapt(t *testing.T, name string, text []byte) ([]byte, error) {
	t.Helper()
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": name})
	for _, w := range warnings {
		t.Errorf("warning: %s", w)
	}
	return out, err
}

func TestCaddyfile_AdaptsAsBefore(t *testing.T) {
	files, err := filepath.Glob("testdata/*.Caddyfile")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".Caddyfile"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if formatted := caddyfile.Format(text); !bytes.Equal(formatted, text) {
				t.Error("the file is not as caddy fmt leaves it")
			}
			got, err := adapt(t, file, text)
			if err != nil {
				t.Fatal(err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, got, "", "\t"); err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(file, ".Caddyfile") + ".json"
			if *update {
				if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), pretty.String()); diff != "" {
				t.Errorf("(-golden +got); if it is meant, run: go test ./caddymodule -update\n%s", diff)
			}
		})
	}
}

func TestCaddyfile_TellsTheLineOfEachMistake(t *testing.T) {
	option := func(lines string) string { return "{\n\tkalpana {\n\t\t" + lines + "\n\t}\n}\n" }
	for _, c := range []struct{ name, text, want string }{
		{"unknown option", option("consol http://x"), "unrecognized option of kalpana: consol, at Caddyfile:3"},
		{"argument of kalpana", "{\n\tkalpana yes\n}\n", "at Caddyfile:2"},
		{"twice", option("image a\n\t\timage b"), "image is given twice, at Caddyfile:4"},
		{"two blocks", "{\n\tkalpana\n\tkalpana\n}\n", "may appear once, at Caddyfile:3"},
		{"missing argument", option("console"), "at Caddyfile:3"},
		{"too many arguments", option("console a b"), "at Caddyfile:3"},
		{"limit", option("workspace_limit few"), "workspace_limit few: give a positive value, at Caddyfile:3"},
		{"negative limit", option("workspace_limit -3"), "give a positive value, at Caddyfile:3"},
		{"share limit", option("share_limit everybody"), "share_limit everybody: write private, members or public, at Caddyfile:3"},
		{"no share limit", option("share_limit"), "at Caddyfile:3"},
		{"ports", option("ports 40000"), "write a range like 40000-50000, at Caddyfile:3"},
		{"timeout", option("start_timeout soon"), "at Caddyfile:3"},
		{"limits", option("limits {\n\t\t\tgpu 1\n\t\t}"), "unrecognized option of limits: gpu, at Caddyfile:4"},
		{"memory", option("limits {\n\t\t\tmemory much\n\t\t}"), "memory much: give a positive value, at Caddyfile:4"},
		{"unknown secret", option("secrets {\n\t\t\tpassword x\n\t\t}"), "unrecognized option of secrets: password, at Caddyfile:4"},
		{"two keysets", option("secrets {\n\t\t\tkeyset_file a\n\t\t\tkeyset {env.B}\n\t\t}"), "give keyset_file or keyset, not both, at Caddyfile:5"},
		{"no keyset", option("secrets {\n\t\t\tkeyset\n\t\t}"), "at Caddyfile:4"},
		{"no store", option("store"), "at Caddyfile:3"},
		{"unknown store", option("store paper"), "kalpana.store.paper"},
		{"option of the store", option("store sqlite {\n\t\t\tfile x\n\t\t}"), "unrecognized option of sqlite: file, at Caddyfile:4"},
		{"option of the runtime", option("runtime docker {\n\t\t\tsocket x\n\t\t}"), "unrecognized option of docker: socket, at Caddyfile:4"},
		{"flag of the runtime", option("runtime docker {\n\t\t\tallow_private maybe\n\t\t}"), "write true or false, at Caddyfile:4"},
		{"option of the login", option("login link {\n\t\t\tlife 3m\n\t\t}"), "unrecognized option of link: life, at Caddyfile:4"},
		{"workspace handler", ":80 {\n\tkalpana_workspace fast\n}\n", "at Caddyfile:2"},
		{"workspace handler's block", ":80 {\n\tkalpana_workspace {\n\t\tx\n\t}\n}\n", "unrecognized option of kalpana_workspace: x, at Caddyfile:3"},
		{"console", ":80 {\n\tkalpana_console here\n}\n", "takes neither arguments nor a block"},
		{"authenticator", ":80 {\n\tkalpana_auth /x y\n}\n", "at Caddyfile:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := adapt(t, "Caddyfile", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// validate provisions a configuration as caddy validate does.
func validate(t *testing.T, text string) error {
	t.Helper()
	body, err := adapt(t, "Caddyfile", []byte(text))
	if err != nil {
		return err
	}
	var config caddy.Config
	if err := json.Unmarshal(body, &config); err != nil {
		return err
	}
	return caddy.Validate(&config)
}

func site(options string) string {
	return fmt.Sprintf("{\n\tadmin off\n\tkalpana {\n\t\t%s\n\t}\n}\nhttp://kalpana.localhost:8080 {\n\tkalpana_console\n}\nhttp://*.ws.kalpana.localhost:8080 {\n\tkalpana_workspace\n}\n", options)
}

func TestValidate_WritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := validate(t, site("data_dir "+dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the data directory was made: %v", err)
	}
	left := 0
	instances.Range(func(any, any) bool { left++; return true })
	if left != 0 {
		t.Errorf("%d instances are left", left)
	}
}

func TestValidate_RefusesWhatCannotWork(t *testing.T) {
	for _, c := range []struct{ name, options, want string }{
		{"plain http", "console http://kalpana.example.com", "use https, or a host under .localhost"},
		{"bare localhost", "console http://localhost:8080", "use kalpana.localhost"},
		{"no address", "console kalpana", "write it like https://kalpana.example.com"},
		{"privileged ports", "ports 80-90", "give a range within 1024 and 65535"},
		{"ports upside down", "ports 50000-40000", "give a range"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := validate(t, site(c.options)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// The Caddyfile in the root is what a person starts with.
func TestRootCaddyfile_IsValidAsItIs(t *testing.T) {
	text, err := os.ReadFile("../Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(text); !bytes.Equal(formatted, text) {
		t.Error("the Caddyfile is not as caddy fmt leaves it")
	}
	t.Setenv("KALPANA_DATA_DIR", t.TempDir())
	if err := validate(t, string(text)); err != nil {
		t.Error(err)
	}
}
