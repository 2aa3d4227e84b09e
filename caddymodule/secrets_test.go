package caddymodule

import (
	"bytes"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// madeKeyset returns the text of a new keyset.
func madeKeyset(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := (*Secrets)(nil).open(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "keyset.json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSecrets_TheKeysetComesFromWhereTheOperatorSays(t *testing.T) {
	t.Setenv("KALPANA_KEYSET", "")
	text := madeKeyset(t)
	file := filepath.Join(t.TempDir(), "elsewhere.json")
	for _, c := range []struct {
		name      string
		secrets   *Secrets
		usual, in string // the environment
		made      string // relative to the data directory, or absolute
	}{
		{"nothing said", nil, "", "", "keyset.json"},
		{"the usual variable", nil, text, "", ""},
		{"in base64", nil, base64.StdEncoding.EncodeToString([]byte(text)), "", ""},
		{"another variable", &Secrets{Keyset: "{env.THE_KEYSET}"}, "damaged", text, ""},
		{"a file", &Secrets{KeysetFile: file}, text, "", file},
		{"a file by a variable", &Secrets{KeysetFile: "{env.THE_KEYSET}"}, text, file, file},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("KALPANA_KEYSET", c.usual)
			t.Setenv("THE_KEYSET", c.in)
			dir := t.TempDir()
			sealer, err := c.secrets.open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sealer.Seal([]byte("x"), "a", "b", "c"); err != nil {
				t.Error(err)
			}
			left, _ := filepath.Glob(filepath.Join(dir, "*"))
			if c.made == "" && len(left) > 0 {
				t.Errorf("made %v", left)
			}
			if c.made != "" {
				path := c.made
				if !filepath.IsAbs(path) {
					path = filepath.Join(dir, path)
				}
				if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", info, err)
				}
			}
		})
	}
}

func TestSecrets_SaysWhatIsWrongAndNeverTheKeyset(t *testing.T) {
	text := strings.TrimSpace(madeKeyset(t))
	for _, c := range []struct {
		name    string
		secrets *Secrets
		env     string
		want    string
	}{
		{"variable not set", &Secrets{Keyset: "{env.NOT_SET}"}, "", "the keyset {env.NOT_SET} is empty"},
		{"path not set", &Secrets{KeysetFile: "{env.NOT_SET}"}, "", "keyset_file {env.NOT_SET} is empty"},
		{"both", &Secrets{KeysetFile: "a", Keyset: "b"}, "", "not both"},
		{"damaged", nil, text[:len(text)-4], "KALPANA_KEYSET: the keyset is damaged"},
		{"no directory", &Secrets{KeysetFile: filepath.Join(t.TempDir(), "none", "keyset.json")}, "", "the keyset cannot be made"},
	} {
		t.Setenv("KALPANA_KEYSET", c.env)
		_, err := c.secrets.open(t.TempDir())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "keyData") {
			t.Errorf("%s: the error shows the keyset: %v", c.name, err)
		}
	}
}

func TestSecretsRotate_SaysWhatToDoNext(t *testing.T) {
	for _, c := range []struct {
		name       string
		answer     rotateAnswer
		out, notes string
	}{
		{"a file", rotateAnswer{Resealed: 3, Complete: true}, "", "Sealed again with the new key: 3.\nThe older key is removed.\n"},
		{"environment, before", rotateAnswer{Keyset: "{}\n"}, "{}\n", "Step 1 of 2"},
		{"environment, after", rotateAnswer{Resealed: 2, Complete: true, Keyset: "{}\n"}, "{}\n", "Step 2 of 2"},
		{"lost", rotateAnswer{Complete: true, Lost: []string{"token of x"}}, "", "token of x. Connect that account, or enter that key, again."},
	} {
		var out, notes bytes.Buffer
		c.answer.print(&out, &notes)
		if out.String() != c.out || !strings.Contains(notes.String(), c.notes) {
			t.Errorf("%s: %q, %q", c.name, out.String(), notes.String())
		}
	}
}

func TestCommands_ShowTheGatewaysOwnWords(t *testing.T) {
	for text, want := range map[string]string{
		"caddy responded with error: HTTP 503: {\"error\":\"wait a minute\"}\n": "wait a minute",
		"caddy responded with error: HTTP 404: ":                                "the gateway answers: 404: ",
		"performing request: connection refused":                                "",
	} {
		if got, ok := refusalOf(errors.New(text)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}
