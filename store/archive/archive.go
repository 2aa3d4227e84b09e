// Package archive writes and reads backups: a compressed tar of the database, and of the keys without
// which parts of it are lost. Its first file, manifest.json, names the others with their sizes and
// SHA-256, so that a damaged archive is known as such before anything is done with it.
package archive

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The files of a data directory that an archive may hold, by the names that they have there.
const (
	Database = "kalpana.db"
	Key      = "key"
	Keyset   = "keyset.json"
	Instance = "instance"
)

var known = []string{Database, Key, Keyset, Instance}

const (
	manifestName = "manifest.json"
	format       = 1
)

// ErrDamaged says that a file is no archive, or not a whole one.
var ErrDamaged = errors.New("it is no backup of Kalpana, or it is damaged")

// Manifest tells what is in an archive.
type Manifest struct {
	Format     int       `json:"format"`
	MadeAt     time.Time `json:"madeAt"`
	Version    string    `json:"version"` // of Kalpana
	Schema     int       `json:"schema"`  // of the database
	Workspaces int       `json:"workspaces"`
	People     int       `json:"people"`
	Files      []File    `json:"files"`
	// Elsewhere tells which keys are not in it, because they do not come from files or were left out.
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// File is one file of an archive.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Has reports whether the archive holds the file.
func (m Manifest) Has(name string) bool {
	return slices.ContainsFunc(m.Files, func(f File) bool { return f.Name == name })
}

// Write writes an archive of the files, whose paths are given by their names in it. It fills in the
// manifest's Format and Files.
func Write(to io.Writer, m Manifest, paths map[string]string) error {
	m.Format, m.Files = format, nil
	for _, name := range known {
		if path, ok := paths[name]; ok {
			file, err := describe(name, path)
			if err != nil {
				return err
			}
			m.Files = append(m.Files, file)
		}
	}
	head, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	compressed := gzip.NewWriter(to)
	archive := tar.NewWriter(compressed)
	if err := archive.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(head)), ModTime: m.MadeAt}); err != nil {
		return err
	}
	if _, err := archive.Write(head); err != nil {
		return err
	}
	for _, file := range m.Files {
		if err := add(archive, file, paths[file.Name], m.MadeAt); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressed.Close())
}

func describe(name, path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close() //nolint:errcheck // read only
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	return File{Name: name, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}

func add(archive *tar.Writer, file File, path string, at time.Time) error {
	if err := archive.WriteHeader(&tar.Header{Name: file.Name, Mode: 0o600, Size: file.Size, ModTime: at}); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	_, err = io.Copy(archive, f)
	return err
}

// Read checks a whole archive and unpacks its files, mode 0600, into the directory dir, or into
// nothing for "". ErrDamaged when it is not whole.
func Read(from io.Reader, dir string) (Manifest, error) {
	compressed, err := gzip.NewReader(from)
	if err != nil {
		return Manifest{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	archive := tar.NewReader(compressed)
	m, err := readManifest(archive)
	if err != nil {
		return Manifest{}, err
	}
	for _, file := range m.Files {
		if err := unpack(archive, file, dir); err != nil {
			return Manifest{}, err
		}
	}
	if head, err := archive.Next(); !errors.Is(err, io.EOF) {
		if err != nil {
			return Manifest{}, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return Manifest{}, fmt.Errorf("%w: it also holds %s", ErrDamaged, head.Name)
	}
	if _, err := io.Copy(io.Discard, compressed); err != nil { //nolint:gosec // to nowhere, for the checksum at its end
		return Manifest{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return m, nil
}

func readManifest(archive *tar.Reader) (Manifest, error) {
	var m Manifest
	head, err := archive.Next()
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if head.Name != manifestName {
		return m, fmt.Errorf("%w: it begins with %s", ErrDamaged, head.Name)
	}
	if err := json.NewDecoder(io.LimitReader(archive, 1<<20)).Decode(&m); err != nil {
		return m, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if m.Format != format {
		return m, fmt.Errorf("it was made by a newer Kalpana (%s, format %d): restore it with that one", m.Version, m.Format)
	}
	for i, file := range m.Files {
		if !slices.Contains(known, file.Name) || slices.ContainsFunc(m.Files[:i], func(f File) bool { return f.Name == file.Name }) {
			return m, fmt.Errorf("%w: it names the file %q", ErrDamaged, file.Name)
		}
	}
	if !m.Has(Database) {
		return m, fmt.Errorf("%w: it has no database", ErrDamaged)
	}
	return m, nil
}

func unpack(archive *tar.Reader, file File, dir string) error {
	head, err := archive.Next()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if head.Name != file.Name || head.Typeflag != tar.TypeReg || head.Size != file.Size {
		return fmt.Errorf("%w: %s is not what its manifest says", ErrDamaged, head.Name)
	}
	sum := sha256.New()
	if dir == "" {
		_, err = io.Copy(sum, archive) //nolint:gosec // to nowhere
	} else {
		err = save(io.TeeReader(archive, sum), filepath.Join(dir, file.Name))
	}
	var local *os.PathError
	if errors.As(err, &local) {
		return err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != file.SHA256 {
		return fmt.Errorf("%w: %s differs from its checksum", ErrDamaged, file.Name)
	}
	return nil
}

func save(from io.Reader, path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
