package checkpoint

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/aymanbagabas/go-udiff"

	"github.com/kalpana-dev/kalpana/bridge"
)

// record is what a call changed. In memory there is only what comes before Changes.
type record struct {
	ID                  string
	Chat, Message, Call string
	At                  int64 // its last change, in milliseconds since 1970
	// Undo: it is an undo, of what Undoes says: for each path the records of which the changes are out of it.
	Undo bool

	Changes []change
	Undoes  map[string][]string

	number int64 // their order
	size   int64 // on disk, in bytes
}

func (r *record) header() *record {
	h := *r
	h.Changes, h.Undoes = nil, nil
	return &h
}

// add notes a change, together with the last one of its path if it goes on from there.
func (r *record) add(c change) {
	for i := len(r.Changes) - 1; i >= 0; i-- {
		last := &r.Changes[i]
		if last.Path != c.Path {
			continue
		}
		if last.After != c.Before {
			break
		}
		last.After = c.After
		if last.Before == last.After {
			r.Changes = slices.Delete(r.Changes, i, i+1)
		}
		return
	}
	r.Changes = append(r.Changes, change{Path: c.Path, Before: c.Before, After: c.After})
}

const recordsDir = "records"

func (s *Store) recordPath(r *record) string {
	return filepath.Join(s.dir, recordsDir, fmt.Sprintf("%012d-%s", r.number, r.ID))
}

// loadRecords reads the heads of the records, and removes what is none.
func (s *Store) loadRecords() error {
	dir := filepath.Join(s.dir, recordsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	s.records = nil
	for _, e := range entries {
		digits, id, _ := strings.Cut(e.Name(), "-")
		number, err := strconv.ParseInt(digits, 10, 64)
		if err == nil {
			var r *record
			if r, err = s.read(filepath.Join(dir, e.Name()), false); err == nil && r.ID == id {
				r.number = number
				if info, err := e.Info(); err == nil {
					r.size = info.Size()
				}
				s.records = append(s.records, r)
				s.next = max(s.next, number)
				continue
			}
		}
		_ = os.Remove(filepath.Join(dir, e.Name()))
	}
	slices.SortFunc(s.records, func(a, b *record) int { return int(a.number - b.number) })
	return nil
}

// load returns a record with its changes.
func (s *Store) load(header *record) (*record, error) {
	r, err := s.read(s.recordPath(header), true)
	if err == nil {
		r.number = header.number
	}
	return r, err
}

// read decodes a record's file: first its head, then the rest.
func (s *Store) read(name string, whole bool) (*record, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var r record
	dec := gob.NewDecoder(in)
	if err := dec.Decode(&r); err != nil {
		return nil, err
	}
	if whole {
		var rest record
		if err := dec.Decode(&rest); err != nil {
			return nil, err
		}
		r.Changes, r.Undoes = rest.Changes, rest.Undoes
	}
	return &r, nil
}

// save writes a record, at once or not at all.
func (s *Store) save(r *record) error {
	name := s.recordPath(r)
	if err := writeGob(name, r.header(), &record{Changes: r.Changes, Undoes: r.Undoes}); err != nil {
		return err
	}
	if info, err := os.Lstat(name); err == nil {
		r.size = info.Size()
	}
	return nil
}

func (s *Store) drop(r *record) {
	_ = os.Remove(s.recordPath(r))
	s.records = slices.DeleteFunc(s.records, func(other *record) bool { return other.ID == r.ID })
}

// ofChat returns the records of a chat with their changes, and for each by its ID which paths of it are undone.
func (s *Store) ofChat(chat string) (records []*record, undone map[string]map[string]bool) {
	for _, header := range s.records {
		if header.Chat != chat {
			continue
		}
		r, err := s.load(header)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			r = header
		}
		records = append(records, r)
	}
	undone = make(map[string]map[string]bool)
	for _, r := range slices.Backward(records) {
		for p, of := range r.Undoes {
			if undone[r.ID][p] {
				continue // it was undone itself
			}
			for _, id := range of {
				if undone[id] == nil {
					undone[id] = make(map[string]bool)
				}
				undone[id][p] = true
			}
		}
	}
	return records, undone
}

// selects reports whether a change is among those that are asked for.
func selects(p, want string) bool {
	want = strings.TrimSuffix(want, "/")
	if want == "" || p == want || strings.HasPrefix(p, want+"/") {
		return true
	}
	shown := shownPath(p)
	return shown == want || strings.HasPrefix(shown, want+"/")
}

// shownPath is a path as it is told to the gateway.
func shownPath(p string) string {
	return bridge.Printable(strings.ToValidUTF8(p, "\uFFFD"), bridge.MaxPath)
}

// isFolder: it concerns no file.
func (c *change) isFolder() bool {
	return (c.Before.Kind == folder || c.Before.Kind == absent) && (c.After.Kind == folder || c.After.Kind == absent)
}

// describe tells of a change, without its diff.
func describe(c change) bridge.FileChange {
	f := bridge.FileChange{Path: shownPath(c.Path), Status: bridge.StatusModified}
	switch {
	case c.Before.Kind == absent, c.Before.Kind == folder:
		f.Status = bridge.StatusAdded
	case c.After.Kind == absent, c.After.Kind == folder:
		f.Status = bridge.StatusDeleted
	}
	f.NotKept = c.Before.Kind != absent && !c.Before.Kept
	f.Binary = c.Before.Kind == link || c.After.Kind == link
	return f
}

func sortChanges(changes []bridge.FileChange) {
	slices.SortFunc(changes, func(a, b bridge.FileChange) int { return strings.Compare(a.Path, b.Path) })
}

// maxDiffed bounds a text of which a diff is made, in bytes.
const maxDiffed = 512 << 10

// diff sets the diff of a change.
func (s *Store) diff(f *bridge.FileChange, c change) {
	var sides [2]string
	for i, e := range []entry{c.Before, c.After} {
		switch e.Kind {
		case absent, folder:
			continue
		case link:
			f.Binary = true
			return
		}
		content, err := s.blobs.get(e.Digest)
		if err != nil {
			return
		}
		if !isText(content) {
			f.Binary = true
			return
		}
		if len(content) > maxDiffed {
			return
		}
		sides[i] = string(content)
	}
	from, to := "a/"+f.Path, "b/"+f.Path
	switch f.Status {
	case bridge.StatusAdded:
		from = "/dev/null"
	case bridge.StatusDeleted:
		to = "/dev/null"
	}
	if d := udiff.Unified(from, to, sides[0], sides[1]); len(d) <= bridge.MaxCheckpointDiff {
		f.Diff = d
	}
}

func isText(b []byte) bool { return utf8.Valid(b) && !slices.Contains(b, 0) }

// cleanPath is a path of a request, from the folder on.
func (s *Store) cleanPath(p string) (string, error) {
	if p == "" {
		return "", nil
	}
	p = path.Clean(p)
	if inside, ok := strings.CutPrefix(p, s.workspace+"/"); ok {
		p = inside
	}
	if len(p) > bridge.MaxPath || !filepath.IsLocal(p) {
		return "", bridge.ErrOutside
	}
	if p == "." {
		return "", nil
	}
	return p, nil
}
