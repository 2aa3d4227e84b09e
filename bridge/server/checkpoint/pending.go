package checkpoint

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A container can end in the middle of a call, for want of memory as a rule. So that what the call has changed until
// then can be undone, the tree as it was before is on disk while the call lasts:
//
//	tree            what was seen of the folder
//	pending/<id>    a call that goes on
//	pending/person  what the person changed meanwhile, which is not the call's
//
// The next start has a look at the folder, and gives what it finds to those calls.
const (
	treeFile    = "tree"
	pendingDir  = "pending"
	pendingUser = "person"
)

// savedTree is a tree on disk.
type savedTree struct {
	Nodes  map[string]savedNode
	Pruned []string
	Extra  []string
}

type savedNode struct {
	Entry              entry
	Size, Mtime, Ctime int64
	Inode              uint64
	Mode               uint32
	Sure               bool
	Kept               int64
}

// saveTree writes the tree, if it is not on disk as it is.
func (s *Store) saveTree() error {
	t := s.tree
	if !t.dirty {
		return nil
	}
	saved := savedTree{Nodes: make(map[string]savedNode, len(t.nodes))}
	for p, n := range t.nodes {
		saved.Nodes[p] = savedNode{n.entry, n.stat.size, n.stat.mtime, n.stat.ctime, n.stat.inode, n.stat.mode, n.stat.sure, n.kept}
	}
	for p := range t.pruned {
		saved.Pruned = append(saved.Pruned, p)
	}
	for p := range t.extra {
		saved.Extra = append(saved.Extra, p)
	}
	if err := writeGob(filepath.Join(s.dir, treeFile), saved); err != nil {
		return err
	}
	t.dirty = false
	return nil
}

// loadTree takes over what was seen before the bridge was started anew.
func (s *Store) loadTree() {
	in, err := os.Open(filepath.Join(s.dir, treeFile))
	if err != nil {
		return
	}
	defer in.Close()
	var saved savedTree
	if gob.NewDecoder(in).Decode(&saved) != nil || len(saved.Nodes) > maxFiles {
		return
	}
	t := s.tree
	for p, n := range saved.Nodes {
		if !filepath.IsLocal(p) || inGit(p) {
			continue
		}
		kept := !n.Entry.Kept || n.Entry.Kind == folder || s.blobs.has(n.Entry.Digest)
		t.nodes[p] = &node{entry: n.Entry, kept: n.Kept, stat: stat{n.Size, n.Mtime, n.Ctime, n.Inode, n.Mode, n.Sure && kept}}
		t.kept += n.Kept
	}
	for _, p := range saved.Pruned {
		t.pruned[p] = 0
	}
	for _, p := range saved.Extra {
		if filepath.IsLocal(p) && !inGit(p) {
			t.extra[p] = true
		}
	}
	t.scanned = true
}

// pend notes on disk that a call goes on; unpend that it does no more.
func (s *Store) pend(o *open) error {
	if err := s.saveTree(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.dir, pendingDir), 0o700); err != nil {
		return err
	}
	return writeGob(filepath.Join(s.dir, pendingDir, o.id), o.record)
}

func (s *Store) unpend(o *open) {
	_ = os.Remove(filepath.Join(s.dir, pendingDir, o.id))
	for _, other := range s.open {
		if other.paths == nil {
			return
		}
	}
	_ = os.Remove(filepath.Join(s.dir, pendingDir, pendingUser))
}

// pendPerson notes on disk what a person changed while calls go on.
func (s *Store) pendPerson(files []string) {
	out, err := os.OpenFile(filepath.Join(s.dir, pendingDir, pendingUser), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return
	}
	_, _ = out.WriteString(strings.Join(files, "\x00") + "\x00")
	_ = out.Close()
}

// Recover gives the calls that went on when the container ended what they had changed until then.
func (s *Store) Recover(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, pendingDir))
	if err != nil || len(entries) == 0 {
		return nil //nolint:nilerr // There is nothing to recover.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.prepare(ctx)
}

// recover is Recover, when the store is opened.
func (s *Store) recover(ctx context.Context) error {
	dir := filepath.Join(s.dir, pendingDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if s.tree.scanned {
		for _, e := range entries {
			r, err := s.read(filepath.Join(dir, e.Name()), false)
			if err != nil || r.ID != e.Name() || checkNames(r.Chat, r.Message, r.Call) != nil || len(s.open) >= maxOpen {
				continue
			}
			s.next++
			r.number = s.next
			s.open[r.ID] = &open{id: r.ID, number: r.number, record: r}
		}
		mine := make(map[string]bool)
		if text, err := os.ReadFile(filepath.Join(dir, pendingUser)); err == nil {
			for p := range strings.SplitSeq(string(text), "\x00") {
				mine[p] = true
			}
		}
		err := s.tree.scan(ctx)
		for i := range s.journal {
			if mine[s.journal[i].Path] {
				s.journal[i].owner = ownerPerson
			}
		}
		for _, o := range s.open {
			if err == nil {
				err = s.take(o)
			}
		}
		clear(s.open)
		s.trim()
		if err != nil && ctx.Err() != nil {
			return err // the next time
		}
	}
	return os.RemoveAll(dir)
}

// writeGob writes a file, at once or not at all.
func writeGob(name string, values ...any) (err error) {
	out, err := os.CreateTemp(filepath.Dir(name), "new-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(out.Name())
		}
	}()
	buffered := bufio.NewWriterSize(out, 64<<10)
	enc := gob.NewEncoder(buffered)
	for _, v := range values {
		err = errors.Join(err, enc.Encode(v))
	}
	if err = errors.Join(err, buffered.Flush(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), name)
}
