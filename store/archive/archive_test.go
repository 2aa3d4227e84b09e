package archive_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/store/archive"
)

// written returns an archive of a database and a key.
func written(t *testing.T) (whole []byte, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files = map[string]string{}
	paths := map[string]string{}
	for name, text := range map[string]string{
		archive.Database: string(bytes.Repeat([]byte("SQLite format 3\x00\x00\x00\x00\x00"), 500)), archive.Key: "0011223344556677\n",
	} {
		paths[name] = filepath.Join(dir, name)
		files[name] = text
		if err := os.WriteFile(paths[name], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var to bytes.Buffer
	if err := archive.Write(&to, archive.Manifest{MadeAt: time.Unix(1e9, 0).UTC(), Version: "1", Workspaces: 3}, paths); err != nil {
		t.Fatal(err)
	}
	return to.Bytes(), files
}

func TestRead_UnpacksWhatWasWritten(t *testing.T) {
	whole, files := written(t)
	dir := t.TempDir()
	m, err := archive.Read(bytes.NewReader(whole), dir)
	if err != nil || m.Workspaces != 3 || len(m.Files) != len(files) {
		t.Fatalf("%+v, %v", m, err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, want %d; %v", name, len(got), len(want), err)
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestRead_FindsEveryEndThatIsMissing(t *testing.T) {
	whole, _ := written(t)
	for n := range whole {
		if _, err := archive.Read(bytes.NewReader(whole[:n]), ""); !errors.Is(err, archive.ErrDamaged) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// A bit that is changed is found, or it is one that means nothing: then everything comes out as it was.
func TestRead_FindsEveryBitThatMatters(t *testing.T) {
	whole, files := written(t)
	for i := range whole {
		for bit := range 8 {
			changed := bytes.Clone(whole)
			changed[i] ^= 1 << bit
			if _, err := archive.Read(bytes.NewReader(changed), ""); err != nil {
				continue
			}
			dir := t.TempDir()
			if _, err := archive.Read(bytes.NewReader(changed), dir); err != nil {
				t.Fatal(err)
			}
			for name, want := range files {
				if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
					t.Errorf("byte %d, bit %d: %s differs", i, bit, name)
				}
			}
		}
	}
}
