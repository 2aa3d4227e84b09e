package identity_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

func TestLoadKey_MakesOneThatOnlyItsOwnerReads(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	made, err := identity.LoadKey(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	again, err := identity.LoadKey(path)
	if err != nil || again != made {
		t.Errorf("the second time: %v, another key: %v", err, again != made)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
	other, err := identity.LoadKey(filepath.Join(t.TempDir(), "key"))
	if err != nil || other == made {
		t.Errorf("another installation: %v, the same key: %v", err, other == made)
	}
}

func TestLoadKey_TakesAPathInTheWorkingDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := identity.LoadKey("key"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat("key"); err != nil {
		t.Error(err)
	}
}

func TestLoadKey_RefusesAKeyThatOthersCanRead(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o660, 0o620, 0o777, 0o601} {
		path := filepath.Join(t.TempDir(), "key")
		if _, err := identity.LoadKey(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.LoadKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
}

func TestLoadKey_RefusesADamagedKeyAndKeepsIt(t *testing.T) {
	whole := strings.Repeat("0123456789abcdef", 4)
	for name, content := range map[string]string{
		"empty": "", "a line break": "\n", "cut off": whole[:63], "half": whole[:32], "too long": whole + "00", "no digits": strings.Repeat("x", 64),
		"binary": strings.Repeat("\x00", 32), "two lines": whole[:32] + "\n" + whole[32:], "10,000 characters": strings.Repeat("0", 10_000),
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := identity.LoadKey(path); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%s: %v", name, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != content {
			t.Errorf("%s: changed to %q, %v", name, kept, err)
		}
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(" "+whole+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := identity.LoadKey(path); err != nil || hex.EncodeToString(k[:]) != whole {
		t.Errorf("space around a whole key: %v", err)
	}
}

func TestLoadKey_SaysWhyItCannot(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"no directory": filepath.Join(dir, "none", "key"), "a directory": dir} {
		if k, err := identity.LoadKey(path); err == nil || !strings.HasPrefix(err.Error(), "the key cannot be ") || k != (identity.Key{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	dangling := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "nowhere"), dangling); err != nil {
		t.Fatal(err)
	}
	if _, err := identity.LoadKey(dangling); err == nil {
		t.Error("a dangling link is taken")
	}
}

func TestLoadKey_StartersAtOnceAgree(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "key")
		keys := make([]identity.Key, 8)
		var starters sync.WaitGroup
		for i := range keys {
			starters.Go(func() {
				var err error
				if keys[i], err = identity.LoadKey(path); err != nil {
					t.Error(err)
				}
			})
		}
		starters.Wait()
		for _, k := range keys {
			if k != keys[0] || k == (identity.Key{}) {
				t.Fatal("two starters have different keys")
			}
		}
	}
}

func TestBridgeToken_IsOneOfEachWorkspaceAndInstallation(t *testing.T) {
	one, two := identity.NewKey(), identity.NewKey()
	seen := map[string]bool{}
	for _, token := range []string{one.BridgeToken(wsA), one.BridgeToken(wsB), two.BridgeToken(wsA), two.BridgeToken(wsB)} {
		if raw, err := hex.DecodeString(token); err != nil || len(raw) != 32 || seen[token] || bytes.Equal(raw, one[:]) {
			t.Errorf("token %q, %v", token, err)
		}
		seen[token] = true
	}
	if first := one.BridgeToken(wsA); first != one.BridgeToken(wsA) {
		t.Error("a token changes")
	}
}
