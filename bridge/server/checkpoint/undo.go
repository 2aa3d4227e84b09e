package checkpoint

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/kalpana-dev/kalpana/bridge"
)

// Undo takes out of the files what the selected calls changed in them: see bridge.UndoCheckpointsParams. A file is
// undone as a whole or not at all. Once it has begun to write it goes on to the end.
func (s *Store) Undo(ctx context.Context, p bridge.UndoCheckpointsParams) (*bridge.UndoCheckpointsResult, error) {
	if err := checkNames(p.Chat); err != nil {
		return nil, err
	}
	want, err := s.cleanPath(p.Path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	records, undone := s.ofChat(p.Chat)
	var files []*undoFile // in the order in which they were changed first
	byPath := make(map[string]*undoFile)
	for _, r := range records {
		if p.Call != "" && r.Call != p.Call || p.Message != "" && r.Message != p.Message || r.Undo && p.Call == "" {
			continue
		}
		for _, c := range r.Changes {
			if !selects(c.Path, want) || undone[r.ID][c.Path] {
				continue
			}
			f := byPath[c.Path]
			if f == nil {
				f = &undoFile{path: c.Path}
				byPath[c.Path] = f
				files = append(files, f)
			}
			f.add(c, r.ID)
		}
	}
	if len(files) == 0 {
		return nil, bridge.ErrNotFound.With("there is nothing to undo")
	}
	u := &undo{store: s, contents: make(map[digest][]byte)}
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := u.decide(ctx, f); err != nil {
			return nil, err
		}
	}
	followMoves(files)
	if err := s.blobs.flush(); err != nil {
		return nil, err
	}
	s.next++
	o := &record{
		ID: strings.ToLower(rand.Text()[:16]), number: s.next, Chat: p.Chat, Message: p.Message,
		Undo: true, At: s.now().UnixMilli(), Undoes: make(map[string][]string),
	}
	o.Call = o.ID
	if err := u.write(files, o); err != nil {
		return nil, err
	}
	return s.undid(files, o)
}

// undid writes the record of an undo, and tells what it came to.
func (s *Store) undid(files []*undoFile, o *record) (*bridge.UndoCheckpointsResult, error) {
	result := &bridge.UndoCheckpointsResult{Files: []bridge.UndoneFile{}}
	slices.SortFunc(files, func(a, b *undoFile) int { return strings.Compare(a.path, b.path) })
	size := 0
	for _, f := range files {
		switch f.result {
		case bridge.UndoRestored, bridge.UndoMerged, bridge.UndoUnchanged:
			o.Undoes[f.path] = f.records
		}
		if f.isFolder() {
			continue
		}
		result.Total++
		shown := bridge.UndoneFile{Path: shownPath(f.path), Result: f.result, Reason: f.reason}
		if size += bridge.JSONSize(shown.Path) + bridge.JSONSize(shown.Reason) + 80; size < maxAnswer && len(result.Files) < bridge.MaxCheckpointChanges {
			result.Files = append(result.Files, shown)
		}
	}
	if len(o.Undoes) > 0 {
		if err := s.save(o); err != nil {
			return nil, err
		}
		s.records = append(s.records, o.header())
		if len(o.Changes) > 0 {
			result.ID = o.ID
		}
	}
	return result, nil
}

// undoFile is one path of an undo.
type undoFile struct {
	path    string
	changes []change // oldest first; those that follow on one another are one
	records []string // that they are of

	now    entry // what is there
	want   entry // what is to be there
	merged bool
	result string // one of bridge's Undo constants
	reason string
}

func (f *undoFile) add(c change, record string) {
	if !slices.Contains(f.records, record) {
		f.records = append(f.records, record)
	}
	if n := len(f.changes); n > 0 && f.changes[n-1].After == c.Before {
		f.changes[n-1].After = c.After
		return
	}
	f.changes = append(f.changes, c)
}

func (f *undoFile) isFolder() bool {
	for i := range f.changes {
		if !f.changes[i].isFolder() {
			return false
		}
	}
	return true
}

func (f *undoFile) refuse(result, format string, args ...any) {
	f.result, f.reason = result, fmt.Sprintf(format, args...)
}

// undo is one that is under way.
type undo struct {
	store    *Store
	contents map[digest][]byte // of merges, and of files as they are
}

// decide finds out what is to be at a path.
func (u *undo) decide(ctx context.Context, f *undoFile) error {
	t := u.store.tree
	if err := t.look(f.path); err != nil {
		return err
	}
	if n := t.nodes[f.path]; n != nil {
		f.now = n.entry
	}
	f.want = f.now
	for _, c := range slices.Backward(f.changes) {
		if c.Before == c.After {
			continue
		}
		u.reverse(ctx, f, c)
		if f.result != "" {
			return nil
		}
	}
	switch {
	case f.want == f.now:
		f.result = bridge.UndoUnchanged
	case !f.want.Kept && f.want.Kind != absent:
		f.refuse(bridge.UndoFailed, "What it was before is not kept, since it was too large.")
	}
	return nil
}

// followMoves takes what was edited since in a file that the agent had moved to where it is moved back to.
func followMoves(files []*undoFile) {
	from := make(map[digest]*undoFile) // what comes back, by what it held
	for _, f := range files {
		if f.result == "" && f.now.Kind == absent && f.want.Kind == file {
			from[f.want.Digest] = f
		}
	}
	for _, f := range files {
		if f.result != bridge.UndoConflict || len(f.changes) != 1 || f.now.Kind != file || !f.now.Kept {
			continue
		}
		c := f.changes[0]
		back := from[c.After.Digest]
		if c.Before.Kind != absent || c.After.Kind != file || back == nil || back.merged {
			continue
		}
		if f.now.Mode != c.After.Mode {
			back.want.Mode = f.now.Mode
		}
		back.want.Digest, back.want.Kept, back.merged = f.now.Digest, true, true
		f.result, f.reason, f.want, f.merged = "", "", entry{}, true
	}
}

// reverse takes one change out of f.want, or sets f.result where it cannot.
func (u *undo) reverse(ctx context.Context, f *undoFile, c change) {
	is := &f.want
	switch {
	case *is == c.Before: // somebody has undone it already
	case *is == c.After:
		*is = c.Before
	case is.Kind == absent: // somebody has removed it since, and with it the change
	case c.Before.Kind == absent && is.Kind == folder && c.After.Kind == folder:
		*is = entry{}
	case c.Before.Kind == absent:
		f.refuse(bridge.UndoConflict, "The agent made this file, and it was changed since. It was left as it is; delete it if it is not needed.")
	case c.After.Kind == absent:
		f.refuse(bridge.UndoConflict, "The agent deleted this file, and there is a new one in its place. It was left as it is.")
	case is.Kind != c.After.Kind || is.Kind != c.Before.Kind:
		f.refuse(bridge.UndoConflict, "Something else is in the place of this file now. It was left as it is.")
	default:
		if is.Mode == c.After.Mode {
			is.Mode = c.Before.Mode
		}
		u.reverseContent(ctx, f, c)
	}
}

// reverseContent is reverse for what a file or symlink holds.
func (u *undo) reverseContent(ctx context.Context, f *undoFile, c change) {
	is := &f.want
	switch {
	case is.Digest == c.Before.Digest:
		return
	case is.Digest == c.After.Digest:
		is.Digest, is.Kept = c.Before.Digest, c.Before.Kept
		return
	case c.After.Digest == c.Before.Digest: // only the mode was changed
		f.merged = true
		return
	case is.Kind != file:
		f.refuse(bridge.UndoConflict, "It leads to somewhere else since. It was left as it is.")
		return
	}
	var sides [3][]byte
	for i, e := range []entry{*is, c.After, c.Before} {
		content, err := u.content(e)
		switch {
		case err != nil:
			f.refuse(bridge.UndoFailed, "It was changed since, and what it was before is not kept: it was left as it is.")
			return
		case !isText(content):
			f.refuse(bridge.UndoConflict, "It was changed since, and is not a text: it was left as it is.")
			return
		}
		sides[i] = content
	}
	merged, err := merge(ctx, u.store.dir, sides[0], sides[1], sides[2])
	switch {
	case errors.Is(err, errConflict):
		f.refuse(bridge.UndoConflict, "It was changed since, in the same lines. It was left as it is.")
		return
	case err != nil:
		f.refuse(bridge.UndoFailed, "It was changed since, and the merge failed: %v.", err)
		return
	}
	f.merged = true
	is.Digest, is.Kept = sha256.Sum256(merged), true
	u.contents[is.Digest] = merged
	if err := u.store.blobs.put(is.Digest, merged); err != nil {
		f.refuse(bridge.UndoFailed, "There is no room left in the workspace.")
	}
}

func (u *undo) content(e entry) ([]byte, error) {
	if content, ok := u.contents[e.Digest]; ok {
		return content, nil
	}
	return u.store.blobs.get(e.Digest)
}

var errConflict = errors.New("both sides changed the same lines")

// merge returns ours with the differences between base and theirs, as git merge-file makes it.
func merge(ctx context.Context, dir string, ours, base, theirs []byte) ([]byte, error) {
	work, err := os.MkdirTemp(dir, "merge-")
	if err != nil {
		return nil, errors.New("there is no room left in the workspace")
	}
	defer os.RemoveAll(work)
	for name, content := range map[string][]byte{"ours": ours, "base": base, "theirs": theirs} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			return nil, errors.New("there is no room left in the workspace")
		}
	}
	cmd := exec.CommandContext(ctx, "git", "merge-file", "-p", "-q", "ours", "base", "theirs")
	cmd.Dir = work
	// Nobody's configuration, and no repository that this folder may be in.
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + work, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_CEILING_DIRECTORIES=" + dir, "LC_ALL=C",
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil && out.Len() > bridge.MaxCheckpointFile:
		return nil, errors.New("it would be too large")
	case err == nil:
		return out.Bytes(), nil
	case errors.As(err, &exit) && exit.ExitCode() > 0 && exit.ExitCode() < 128:
		return nil, errConflict
	}
	return nil, errors.New("git merge-file did not work")
}

// write brings about what was decided: first what goes, deepest first, then what comes.
func (u *undo) write(files []*undoFile, o *record) error {
	s := u.store
	root, err := os.OpenRoot(s.workspace)
	if err != nil {
		return err
	}
	defer root.Close()
	byPath := slices.Clone(files)
	slices.SortFunc(byPath, func(a, b *undoFile) int { return strings.Compare(a.path, b.path) })
	s.owner = o.ID
	defer func() { s.owner = "" }()
	for _, f := range slices.Backward(byPath) {
		if f.result == "" && f.now.Kind != absent && (f.want.Kind == absent || f.want.Kind != f.now.Kind) {
			u.remove(root, f)
		}
	}
	for _, f := range byPath {
		if f.result == "" && f.want.Kind != absent {
			u.make(root, f)
		}
	}
	for _, f := range slices.Backward(byPath) { // last, since it may forbid to make files in it
		if f.result == "" && f.want.Kind == folder {
			if err := root.Chmod(f.path, fs.FileMode(f.want.Mode&0o777)); err != nil {
				f.refuse(bridge.UndoFailed, "Its permissions could not be set: %s.", reason(err))
			}
		}
	}
	for _, f := range files {
		if f.result != "" {
			continue
		}
		f.result = bridge.UndoRestored
		if f.merged {
			f.result = bridge.UndoMerged
		}
		o.Changes = append(o.Changes, change{Path: f.path, Before: f.now, After: f.want})
		s.tree.extra[f.path] = s.tree.extra[f.path] || s.tree.wasPruned(f.path)
		if err := s.tree.look(f.path); err != nil {
			return err
		}
	}
	return nil
}

// remove takes away what is at a path, if it is still what was seen.
func (u *undo) remove(root *os.Root, f *undoFile) {
	if !u.still(f) {
		return
	}
	err := root.Remove(f.path)
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, syscall.ENOTEMPTY) && f.want.Kind == absent:
		f.refuse(bridge.UndoUnchanged, "There is something else in this folder.")
	case errors.Is(err, syscall.ENOTEMPTY):
		f.refuse(bridge.UndoConflict, "There is a folder with other files in its place. It was left as it is.")
	default:
		f.refuse(bridge.UndoFailed, "It could not be removed: %s.", reason(err))
	}
}

// make puts at a path what is to be there.
func (u *undo) make(root *os.Root, f *undoFile) {
	there := f.now.Kind == f.want.Kind
	if there && !u.still(f) {
		return
	}
	err := makeFolders(root, path.Dir(f.path))
	if errors.Is(err, errNoParent) {
		f.refuse(bridge.UndoConflict, "There is something else in the place of its folder. It was left as it is.")
		return
	}
	if err != nil {
		f.refuse(bridge.UndoFailed, "Its folder could not be made: %s.", reason(err))
		return
	}
	mode := fs.FileMode(f.want.Mode & 0o777)
	switch f.want.Kind {
	case folder:
		if !there {
			err = root.Mkdir(f.path, 0o700)
		}
		if errors.Is(err, fs.ErrExist) {
			err = nil
		}
	case link:
		var to []byte
		if to, err = u.content(f.want); err == nil {
			err = replaceBy(root, f.path, there, func(temp string) error { return root.Symlink(string(to), temp) })
		}
	default:
		if there && f.now.Digest == f.want.Digest {
			err = root.Chmod(f.path, mode)
			break
		}
		var content []byte
		if content, err = u.content(f.want); err == nil {
			err = replaceBy(root, f.path, there, func(temp string) error { return writeFile(root, temp, content, mode) })
		}
	}
	if err != nil {
		f.refuse(bridge.UndoFailed, "It could not be written: %s.", reason(err))
	}
}

// makeFolders makes the folders of a path that are missing. It follows no symlink.
func makeFolders(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if err := makeFolders(root, path.Dir(dir)); err != nil {
		return err
	}
	info, err := root.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return root.Mkdir(dir, 0o755)
	case err != nil:
		return err
	case !info.IsDir():
		return errNoParent
	}
	return nil
}

// replaceBy makes something under another name, which then takes its own. Where nothing was there, what has come
// since is left.
func replaceBy(root *os.Root, target string, there bool, make func(temp string) error) error {
	temp := path.Join(path.Dir(target), ".kalpana-"+rand.Text()+".tmp")
	err := make(temp)
	if err == nil && !there {
		switch err = root.Link(temp, target); {
		case err == nil:
			return root.Remove(temp)
		case errors.Is(err, fs.ErrExist):
		default: // a file system without hard links
			if _, err = root.Lstat(target); err == nil {
				err = fs.ErrExist
			} else if errors.Is(err, fs.ErrNotExist) {
				err = root.Rename(temp, target)
			}
		}
	} else if err == nil {
		err = root.Rename(temp, target)
	}
	if err != nil {
		_ = root.Remove(temp)
	}
	return err
}

func writeFile(root *os.Root, name string, content []byte, mode fs.FileMode) error {
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// still reports whether a path holds what was seen a moment ago; else the file is a conflict.
func (u *undo) still(f *undoFile) bool {
	t := u.store.tree
	now := entry{}
	if err := t.look(f.path); err == nil {
		if n := t.nodes[f.path]; n != nil {
			now = n.entry
		}
	}
	if now.Kind == folder && f.now.Kind == folder || now == f.now {
		return true
	}
	f.refuse(bridge.UndoConflict, "It is being changed right now. It was left as it is.")
	return false
}

// reason is why, without the path, which whoever reads it has.
func reason(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, errNotKept):
		return "what it was before is no longer kept"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return "something is in the way"
}
