package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/archive"
	"github.com/kalpana-dev/kalpana/store/sqlite"
)

// backupSource is what a backup is made of.
type backupSource struct {
	dir, database string // the data directory; the SQLite file
	key, keyset   string // files, or ""
	withKeys      bool
}

// prepare makes a copy of the database beside it and calls use with what goes into the archive. The
// copy is removed afterwards.
func (b backupSource) prepare(ctx context.Context, use func(archive.Manifest, map[string]string) error) error {
	dir, err := os.MkdirTemp(filepath.Dir(b.database), ".backup-*")
	if err != nil {
		return fmt.Errorf("a backup needs room for a copy of the database beside it: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the next backup does not mind
	database := filepath.Join(dir, archive.Database)
	at := time.Now().UTC().Truncate(time.Second)
	if err := sqlite.Backup(ctx, b.database, database); err != nil {
		return err
	}
	facts, err := sqlite.Verify(ctx, database)
	if err != nil {
		return err
	}
	m := archive.Manifest{MadeAt: at, Version: Version, Schema: facts.Schema, Workspaces: facts.Workspaces, People: facts.People}
	paths := map[string]string{archive.Database: database}
	if name := filepath.Join(b.dir, "instance"); isFile(name) {
		paths[archive.Instance] = name
	}
	for _, secret := range []struct{ name, path string }{{archive.Key, b.key}, {archive.Keyset, b.keyset}} {
		if b.withKeys && isFile(secret.path) {
			paths[secret.name] = secret.path
		} else {
			m.Elsewhere = append(m.Elsewhere, secret.name)
		}
	}
	return use(m, paths)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// backup answers with an archive, which the caller checks: an answer that breaks off is not whole.
func (m *Admin) backup(app *App, w http.ResponseWriter, r *http.Request) error {
	i := app.instance
	file, ok := i.parts.store.(*SQLite)
	if !ok {
		return errors.New("kalpana backup saves SQLite databases: save this one with your database's own tools, e.g. mongodump, and the key and keyset of the gateway apart from it")
	}
	source := backupSource{dir: i.app.DataDir, database: file.file(i.app.DataDir), withKeys: r.URL.Query().Get("keys") != "no"}
	source.key, source.keyset = i.app.Secrets.files(i.app.DataDir)
	app.audit(r, "", "a backup of the database")
	return source.prepare(r.Context(), func(manifest archive.Manifest, paths map[string]string) error {
		w.Header().Set("Content-Type", "application/gzip")
		if err := archive.Write(w, manifest, paths); err != nil {
			i.logger.Warn("a backup broke off", "error", err)
			panic(http.ErrAbortHandler) // too late for an error
		}
		return nil
	})
}

var backupCommand = caddycmd.Command{
	Name: "backup", Usage: "<file> [--without-keys] [--data-dir <path>] [--database <file>] [--address <socket>]",
	Short: "Saves the database and the keys, also while the gateway runs",
	Long: `
"kalpana backup FILE" writes a backup of the SQLite database, as it is at one moment, and of the key and
the keyset that belong to it, into a new file that its owner alone can read. The gateway may run. Whoever
has the file can read the stored secrets: --without-keys leaves the keys out, to be kept apart.
What is in the workspaces (their volumes on the container engine) is not in it.`,
	CobraFunc: func(cmd *cobra.Command) {
		cmd.Args = cobra.ExactArgs(1)
		address := addressFlag(cmd)
		withoutKeys := cmd.Flags().Bool("without-keys", false, "Leave key and keyset out")
		dir, database := placeFlags(cmd)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			m, err := saveBackup(cmd.Context(), args[0], func(to io.Writer) error {
				return fetchBackup(cmd.Context(), to, *address, backupPlace(*dir, *database), !*withoutKeys)
			})
			if err != nil {
				return err
			}
			out := cmd.ErrOrStderr()
			fmt.Fprintf(out, "Saved in %s. Workspaces: %d, people: %d.\n", args[0], m.Workspaces, m.People)
			for _, name := range m.Elsewhere {
				fmt.Fprintf(out, "Not in it, keep it apart: %s.\n", keyTitle(name))
			}
			return nil
		}
	},
}

func keyTitle(name string) string {
	if name == archive.Key {
		return "the key (without it everybody signs in again and workspaces restart)"
	}
	return "the keyset (without it people connect their accounts again)"
}

// placeFlags name what is read or written where no gateway runs.
func placeFlags(cmd *cobra.Command) (dir, database *string) {
	dir = cmd.Flags().String("data-dir", os.Getenv("KALPANA_DATA_DIR"), "The data directory")
	database = cmd.Flags().String("database", "", "The database, if it is not kalpana.db in the data directory")
	return dir, database
}

func databaseIn(dir, database string) string {
	if database == "" {
		return filepath.Join(dir, archive.Database)
	}
	return database
}

func backupPlace(dir, database string) backupSource {
	b := backupSource{dir: dir, database: databaseIn(dir, database)}
	b.key, b.keyset = (*Secrets)(nil).files(dir)
	return b
}

// fetchBackup asks the running gateway for a backup, and makes one itself where none runs.
func fetchBackup(ctx context.Context, to io.Writer, address string, place backupSource, withKeys bool) error {
	query := ""
	if !withKeys {
		query = "?keys=no"
	}
	resp, err := caddycmd.AdminAPIRequest(address, http.MethodPost, "/kalpana/backup"+query, nil, nil)
	if err == nil {
		defer resp.Body.Close() //nolint:errcheck // read to its end
		_, err = io.Copy(to, resp.Body)
		return err
	}
	if refusal, ok := refusalOf(err); ok {
		return errors.New(refusal)
	}
	lock, locked := lockFile(place.dir)
	if locked != nil {
		return fmt.Errorf("no gateway answers at %s, and no backup can be made without it: %w", address, locked)
	}
	defer lock.Close() //nolint:errcheck // ends with the process
	place.withKeys = withKeys
	return place.prepare(ctx, func(m archive.Manifest, paths map[string]string) error { return archive.Write(to, m, paths) })
}

// saveBackup writes a new file, checks what it wrote, and only then gives the file its name.
func saveBackup(ctx context.Context, path string, write func(io.Writer) error) (archive.Manifest, error) {
	if _, err := os.Lstat(path); err == nil {
		return archive.Manifest{}, fmt.Errorf("%s exists already: name another file, or remove it", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".kalpana-backup-*") // mode 0600
	if err != nil {
		return archive.Manifest{}, err
	}
	defer os.Remove(f.Name()) //nolint:errcheck // it has its own name by then
	defer f.Close()           //nolint:errcheck // closed below
	if err := write(f); err != nil {
		return archive.Manifest{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return archive.Manifest{}, err
	}
	m, err := archive.Read(f, "")
	if err != nil {
		return archive.Manifest{}, fmt.Errorf("the backup broke off: %w; try again", err)
	}
	if err := errors.Join(f.Sync(), f.Close(), ctx.Err()); err != nil {
		return archive.Manifest{}, err
	}
	if err := os.Link(f.Name(), path); err != nil { // never replaces another file
		return archive.Manifest{}, err
	}
	return m, syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// restoring is a file of the data directory that is there while a restore is under way.
const restoring = "restoring"

// refuseRestoring keeps a gateway from starting on what a restore left that was cut off.
func refuseRestoring(dir string) error {
	_, err := os.Stat(filepath.Join(dir, restoring))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("a restore into %s was cut off: run kalpana restore again", dir)
}

var restoreCommand = caddycmd.Command{
	Name: "restore", Usage: "<file> [--data-dir <path>] [--database <file>]",
	Short: "Puts a backup in the place of the database and the keys",
	Long: `
"kalpana restore FILE" checks a backup, puts aside what the data directory holds, and puts the backup's
database and keys in its place. No gateway may run on them. Cut off midway, it can be run again.`,
	CobraFunc: func(cmd *cobra.Command) {
		cmd.Args = cobra.ExactArgs(1)
		dir, database := placeFlags(cmd)
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			m, aside, err := restore(cmd.Context(), args[0], *dir, databaseIn(*dir, *database))
			if err != nil {
				return err
			}
			out := cmd.ErrOrStderr()
			fmt.Fprintf(out, "Restored as it was at %s. Workspaces: %d, people: %d.\n", m.MadeAt.Local().Format(time.DateTime), m.Workspaces, m.People)
			if aside != "" {
				fmt.Fprintf(out, "What was there before is in %s.\n", aside)
			}
			for _, name := range m.Elsewhere {
				fmt.Fprintf(out, "Not in the backup: %s.\n", keyTitle(name))
			}
			return nil
		}
	},
}

// restore returns what was restored, and the directory with what was there before.
func restore(ctx context.Context, path, dir, database string) (m archive.Manifest, aside string, err error) {
	if err := makeDataDir(dir); err != nil {
		return m, "", err
	}
	lock, err := lockFile(dir)
	if err != nil {
		return m, "", err
	}
	defer lock.Close() //nolint:errcheck // ends with the process
	// Another gateway's data directory may use the same file. One that is damaged is what is restored for.
	if used, err := sqlite.InUse(ctx, database, keyLease, time.Now()); err == nil && used {
		return m, "", fmt.Errorf("a gateway uses %s: stop it; if it was killed, wait %v", database, keyLeaseLasts)
	}
	from, err := os.Open(path)
	if err != nil {
		return m, "", err
	}
	defer from.Close() //nolint:errcheck // read only
	// Beside the database, so that a file is put in place by its new name alone.
	fresh, err := os.MkdirTemp(filepath.Dir(database), ".restore-*")
	if err != nil {
		return m, "", err
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // what is left of it
	if m, err = archive.Read(from, fresh); err != nil {
		return m, "", fmt.Errorf("%s: %w", path, err)
	}
	if err := checkRestored(ctx, fresh, m); err != nil {
		return m, "", fmt.Errorf("%s: %w", path, err)
	}
	if err := os.WriteFile(filepath.Join(dir, restoring), []byte(path+"\n"), 0o600); err != nil {
		return m, "", err
	}
	if err := syncDir(dir); err != nil {
		return m, "", err
	}
	if aside, err = putAside(dir, database, m); err != nil {
		return m, "", err
	}
	for _, file := range m.Files {
		to := filepath.Join(dir, file.Name)
		if file.Name == archive.Database {
			to = database
		}
		if err := os.Rename(filepath.Join(fresh, file.Name), to); err != nil {
			return m, "", err
		}
	}
	if err := errors.Join(syncDir(dir), syncDir(filepath.Dir(database))); err != nil {
		return m, "", err
	}
	return m, aside, os.Remove(filepath.Join(dir, restoring))
}

// checkRestored checks what was unpacked as the gateway would when it starts.
func checkRestored(ctx context.Context, dir string, m archive.Manifest) error {
	if _, err := sqlite.Verify(ctx, filepath.Join(dir, archive.Database)); err != nil {
		return err
	}
	if m.Has(archive.Key) {
		if _, err := identity.LoadKey(filepath.Join(dir, archive.Key)); err != nil {
			return err
		}
	}
	if m.Has(archive.Keyset) {
		if _, err := identity.LoadSealer(filepath.Join(dir, archive.Keyset)); err != nil {
			return err
		}
	}
	return nil
}

// putAside moves what a restore replaces into a directory of its own, whose path it returns.
func putAside(dir, database string, m archive.Manifest) (string, error) {
	aside := filepath.Join(filepath.Dir(database), "before-restore-"+time.Now().UTC().Format("20060102T150405.000Z"))
	moved := false
	move := func(path string) error {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return err
		}
		moved = true
		return os.Rename(path, filepath.Join(aside, filepath.Base(path)))
	}
	// The log goes with its database: it may hold what was written last.
	paths := []string{database + "-wal", database + "-shm", database}
	for _, file := range m.Files {
		if file.Name != archive.Database {
			paths = append(paths, filepath.Join(dir, file.Name))
		}
	}
	for _, path := range paths {
		if err := move(path); err != nil {
			return "", fmt.Errorf("%s cannot be put aside: %w", strings.TrimSuffix(path, "-wal"), err)
		}
	}
	if !moved {
		return "", nil
	}
	return aside, errors.Join(syncDir(aside), syncDir(filepath.Dir(database)))
}
