package caddymodule

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
)

// oneEngine is a runtime that several gateways use, and notes by which name.
type oneEngine struct {
	*runtimetest.Runtime
	names []string
}

func (e *oneEngine) Open(o RuntimeOptions) (orchestrator.Runtime, error) {
	e.names = append(e.names, o.Instance)
	return e.Runtime, nil
}

// gatewayOn returns a gateway with a data directory of its own, on the given store; change may change its
// configuration.
func gatewayOn(t *testing.T, path string, engine *oneEngine, change func(*App)) *instance {
	t.Helper()
	a := App{DataDir: t.TempDir()}
	if err := a.setDefaults(); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&a)
	}
	i := newInstance(a, guests{store: &SQLite{Path: path}, runtime: engine})
	t.Cleanup(func() {
		if i.store != nil {
			_ = i.Destruct()
		}
	})
	return i
}

func TestTwoGatewaysOnOneStore_AreOneInstallation(t *testing.T) {
	engine := &oneEngine{Runtime: runtimetest.New(t)}
	path := filepath.Join(t.TempDir(), "kalpana.db")
	key := filepath.Join(t.TempDir(), "key")
	share := func(a *App) { a.Secrets = &Secrets{KeyFile: key} }
	one, other := gatewayOn(t, path, engine, share), gatewayOn(t, path, engine, share)
	for _, i := range []*instance{one, other} {
		if err := i.open(); err != nil {
			t.Fatal(err)
		}
	}
	if engine.names[0] != engine.names[1] || engine.names[0] == "" {
		t.Errorf("they call themselves %q", engine.names)
	}
	kept, err := os.ReadFile(filepath.Join(other.app.DataDir, "instance"))
	if err != nil || string(kept) != engine.names[0] {
		t.Errorf("the data directory keeps %q, %v", kept, err)
	}
	if err := os.Truncate(filepath.Join(other.app.DataDir, "instance"), 0); err != nil { // by a power cut
		t.Fatal(err)
	}
	if name, err := other.name(t.Context()); err != nil || name != engine.names[0] {
		t.Errorf("after its copy was lost it calls itself %q, %v", name, err)
	}
	ann, err := one.identity.AddPerson(t.Context(), "Ann", identity.RoleMember)
	if err != nil {
		t.Fatal(err)
	}
	w, err := one.orchestrator.Create(t.Context(), orchestrator.NewWorkspace{Owner: ann.ID, Name: "shared", Template: "blank"})
	if err != nil {
		t.Fatal(err)
	}
	if seen, err := other.store.Workspace(t.Context(), w.ID); err != nil || seen.Owner != ann.ID {
		t.Errorf("the other gateway sees %v, %v", seen, err)
	}
}

func TestTwoGatewaysOnOneStore_WithDifferentKeysAreRefused(t *testing.T) {
	engine := &oneEngine{Runtime: runtimetest.New(t)}
	path := filepath.Join(t.TempDir(), "kalpana.db")
	one, other := gatewayOn(t, path, engine, nil), gatewayOn(t, path, engine, nil)
	if err := one.open(); err != nil {
		t.Fatal(err)
	}
	err := other.open()
	if err == nil || !strings.Contains(err.Error(), "has another key: give all of them the same") {
		t.Errorf("opened with another key: %v", err)
	}
	if err := other.Destruct(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(one.app.DataDir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("KALPANA_KEY", string(text))
	third := gatewayOn(t, path, engine, nil)
	if err := third.open(); err != nil {
		t.Errorf("with the same key: %v", err)
	}
	for _, i := range []*instance{one, third} {
		if err := i.Destruct(); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("KALPANA_KEY", "")
	if err := gatewayOn(t, path, engine, nil).open(); err != nil {
		t.Errorf("with another key, once the others have ended: %v", err)
	}
}

func TestALostDatabaseLosesNoContainer(t *testing.T) {
	engine := &oneEngine{Runtime: runtimetest.New(t)}
	dir := t.TempDir()
	for _, name := range []string{"first.db", "second.db"} {
		i := gatewayOn(t, filepath.Join(t.TempDir(), name), engine, func(a *App) { a.DataDir = dir })
		if err := i.open(); err != nil {
			t.Fatal(err)
		}
		if err := i.Destruct(); err != nil {
			t.Fatal(err)
		}
	}
	if engine.names[0] != engine.names[1] {
		t.Errorf("the installation changed its name: %q", engine.names)
	}
}

func TestSecrets_TheKeyComesFromWhereTheOperatorSays(t *testing.T) {
	const text = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	file := filepath.Join(t.TempDir(), "key")
	for _, c := range []struct {
		name      string
		secrets   *Secrets
		usual, in string
		want      string // in the error, or "" for none
		made      string
	}{
		{"nothing said", nil, "", "", "", "key"},
		{"the usual variable", nil, text, "", "", ""},
		{"another variable", &Secrets{Key: "{env.THE_KEY}"}, "damaged", text, "", ""},
		{"a file", &Secrets{KeyFile: file}, text, "", "", file},
		{"a damaged variable", nil, text[1:], "", "KALPANA_KEY: the key is damaged", ""},
		{"variable not set", &Secrets{Key: "{env.THE_KEY}"}, "", "", "the key {env.THE_KEY} is empty", ""},
		{"path not set", &Secrets{KeyFile: "{env.THE_KEY}"}, "", "", "key_file {env.THE_KEY} is empty", ""},
		{"both", &Secrets{KeyFile: file, Key: "{env.THE_KEY}"}, "", text, "not both", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("KALPANA_KEY", c.usual)
			t.Setenv("THE_KEY", c.in)
			dir := t.TempDir()
			key, err := c.secrets.loadKey(dir)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), text[1:]) {
					t.Errorf("got error %v, want %q", err, c.want)
				}
				return
			}
			if err != nil || key == (identity.Key{}) {
				t.Fatal(err)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "*"))
			if (c.made == "key") != (len(left) == 1) {
				t.Errorf("made %v", left)
			}
			if filepath.IsAbs(c.made) {
				if info, err := os.Stat(c.made); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", info, err)
				}
			}
		})
	}
}
