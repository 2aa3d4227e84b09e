package identity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// readSecret reads a file that its owner alone may read; what names it to people.
func readSecret(what, path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator's own path
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %w", what, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the %s cannot be read: %w", what, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("the %s %s can be read by others; run: chmod 600 %s", what, path, path)
	}
	return text, nil
}

// createSecret writes a new file of mode 0600 so that a crash leaves either none or a whole one. A
// file that is there already stays: fs.ErrExist.
func createSecret(path string, content []byte) error {
	temporary, err := writeBeside(path, content)
	if err != nil {
		return err
	}
	defer os.Remove(temporary) //nolint:errcheck // all that matters has its own name by then
	if err := os.Link(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replaceSecret puts content in the place of the file at path so that a crash leaves either the
// old or the new one whole.
func replaceSecret(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path) // the link stays a link
	if err != nil {
		return err
	}
	temporary, err := writeBeside(path, content)
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return syncDir(filepath.Dir(path))
}

// sweepBeside removes what a crash in replaceSecret left.
func sweepBeside(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), temporaryPattern(path)))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}

func temporaryPattern(path string) string { return "." + filepath.Base(path) + "-*" }

// writeBeside writes content to a temporary file in path's directory, down to the disk.
func writeBeside(path string, content []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), temporaryPattern(path))
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes a new name in dir outlast a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the operator's own path
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
