// Package checkpoint finds what the calls of an agent change in the workspace folder, and undoes it.
//
// Before and after each call it looks at the folder, by way of what the file system says of each file, so that only
// what has changed is read. What it reads it keeps, compressed and by its digest, in a folder of its own outside the
// workspace folder; what a call changed is a record beside that: for each path what was there before and after.
// No repository of git's is used for it, so that no index, hook, filter or nested repository matters.
package checkpoint

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// maxAge is how long a call can be undone.
	maxAge = 30 * 24 * time.Hour
	// maxSize and minSize bound what is kept on disk, in bytes: a tenth of the disk between them.
	maxSize, minSize = 1 << 30, 64 << 20
	// minFree is the free room without which nothing is kept, in bytes: the rest of the disk is for people.
	minFree = 32 << 20
	// maxRecords bounds the calls that can be undone.
	maxRecords = 5000
	// maxOpen bounds the checkpoints that have begun and not ended.
	maxOpen = 64
)

// Store keeps the checkpoints of one workspace folder. It is for use by several goroutines.
type Store struct {
	dir, workspace string
	env            []string

	mu      sync.Mutex
	opened  bool
	limit   int64 // of what is on disk, in bytes
	swept   int64 // what was on disk after the last sweep
	blobs   *blobs
	tree    *tree
	records []*record // oldest first
	next    int64     // the number of the next one

	open    map[string]*open
	ended   []*open  // lately, for whoever did not get the answer
	journal []change // what was found changed; needed by those that are open
	first   int      // the place of its first
	owner   string   // of what is being found

	person person

	now  func() time.Time
	free func(dir string) (free, total int64, err error)
}

// open is a checkpoint that has begun.
type open struct {
	id     string
	from   int      // its place in the journal
	paths  []string // the only ones that it is for, or nil
	record *record
	saved  bool // its record was written
	number int64
	result *bridge.EndCheckpointResult // after its end
}

// New returns a store that keeps what it needs in dir, which is made with the first checkpoint. It must be outside
// the workspace folder, on the same volume. env is the environment of git.
func New(dir, workspace string, env []string) *Store {
	return &Store{dir: dir, workspace: workspace, env: env, open: make(map[string]*open), now: time.Now, free: free}
}

// Close closes what is open.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened {
		s.blobs.close()
		s.opened = false
	}
}

// ownerPerson owns what a person does while a command of an agent runs.
const ownerPerson = "person"

// personTime is how long after a person's word on a file what is found in it is the person's: a look that was under
// way then, or a save that takes its time, is over by then.
const personTime = 5 * time.Second

// person remembers the files that a person has to do with now.
type person struct {
	mu    sync.Mutex
	files map[string]time.Time
}

func (p *person) has(file string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.files[file]
	return ok && now.Sub(at) < personTime
}

func (p *person) add(files []string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.files == nil {
		p.files = make(map[string]time.Time)
	}
	for file, at := range p.files {
		if now.Sub(at) >= personTime {
			delete(p.files, file)
		}
	}
	for _, file := range files {
		p.files[file] = now
	}
}

// Person notes files that a person saves, makes, moves or deletes in the editor, now or a moment ago: see
// bridge.PersonFiles. It is told by the container's own processes.
func (s *Store) Person(paths []string) {
	where := tree{dir: s.workspace}
	var files []string
	for _, p := range paths {
		if real, ok := where.realPath(p); ok {
			files = append(files, real)
		}
	}
	if len(files) == 0 {
		return
	}
	s.person.add(files, s.now()) // before the lock, for a look that is under way
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.opened || len(s.open) == 0 {
		return
	}
	s.pendPerson(files)
	s.owner = ownerPerson
	defer func() { s.owner = "" }()
	for _, file := range files {
		for p := range upwards(file) {
			if s.tree.nodes[p] != nil || !s.tree.wasPruned(p) { // what is not looked at stays so
				_ = s.tree.look(p)
			}
		}
	}
	_ = s.blobs.flush()
}

// prepare opens the store on disk; the caller holds the lock, as with all below.
func (s *Store) prepare(ctx context.Context) error {
	if s.opened {
		if _, err := os.Lstat(filepath.Join(s.dir, recordsDir)); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		// Somebody has removed what was kept, as they may.
		s.blobs.close()
		s.opened, s.records, s.journal, s.first = false, nil, nil, 0
		clear(s.open)
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	_, total, err := s.free(s.dir)
	if err != nil {
		return err
	}
	if s.limit == 0 {
		s.limit = max(minSize, min(maxSize, total/10))
	}
	if s.blobs, err = openBlobs(filepath.Join(s.dir, "contents")); err != nil {
		return err
	}
	if err := s.loadRecords(); err != nil {
		return err
	}
	s.tree = newTree(s.workspace, s.env, s.blobs, s.limit/2)
	s.tree.changed = func(p string, before, after entry) {
		if len(s.open) == 0 {
			return
		}
		owner := s.owner
		if owner == "" && s.person.has(p, s.now()) {
			owner = ownerPerson
		}
		s.journal = append(s.journal, change{p, before, after, owner})
	}
	s.loadTree()
	if err := s.recover(ctx); err != nil {
		s.blobs.close()
		return err
	}
	s.opened = true
	return nil
}

// Begin looks at the folder, or at the paths of a call, before it.
func (s *Store) Begin(ctx context.Context, p bridge.BeginCheckpointParams) (*bridge.BeginCheckpointResult, error) {
	if err := checkNames(p.Chat, p.Message, p.Call); err != nil {
		return nil, err
	}
	if len(p.Paths) > bridge.MaxCheckpointPaths {
		return nil, bridge.ErrTooLarge.With("at most %d paths", bridge.MaxCheckpointPaths)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	if room, _, err := s.free(s.dir); err != nil || room < minFree {
		return nil, bridge.ErrDiskFull.With("there is too little for keeping what would be undone")
	}
	for id, o := range s.open {
		if o.record.Chat == p.Chat && o.record.Message != p.Message {
			delete(s.open, id) // the turn is over, however it ended
			s.unpend(o)
		}
	}
	s.next++
	o := &open{
		id: strings.ToLower(rand.Text()[:16]), number: s.next,
		record: &record{Chat: p.Chat, Message: p.Message, Call: p.Call, number: s.next},
	}
	o.record.ID = o.id
	if len(p.Paths) == 0 {
		if err := s.tree.scan(ctx); err != nil {
			return nil, err
		}
		if err := s.takeAll(p.Chat, p.Message); err != nil {
			return nil, err
		}
	} else {
		o.paths = []string{}
		for _, name := range p.Paths {
			if real, ok := s.tree.realPath(name); ok && !slices.Contains(o.paths, real) {
				for p := range upwards(real) { // the folders as well, which the call may make
					if err := s.tree.look(p); err != nil {
						return nil, err
					}
					s.tree.extra[p] = true
				}
				o.paths = append(o.paths, real)
			}
		}
		if err := s.blobs.flush(); err != nil {
			return nil, err
		}
	}
	o.from = s.first + len(s.journal)
	if len(s.open) >= maxOpen {
		oldest := o
		for _, other := range s.open {
			if other.number < oldest.number {
				oldest = other
			}
		}
		delete(s.open, oldest.id)
		s.unpend(oldest)
	}
	if o.paths == nil {
		if err := s.pend(o); err != nil {
			return nil, err
		}
	}
	s.open[o.id] = o
	s.trim()
	r := &bridge.BeginCheckpointResult{ID: o.id}
	for _, n := range s.tree.nodes {
		if n.Kind == file {
			r.Files++
			if !n.Kept {
				r.NotKept++
			}
		}
	}
	return r, nil
}

// End looks again, and keeps what the call changed.
func (s *Store) End(ctx context.Context, p bridge.EndCheckpointParams) (*bridge.EndCheckpointResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	o := s.open[p.ID]
	if o == nil {
		for _, o := range s.ended {
			if o.id == p.ID {
				return o.result, nil
			}
		}
		return nil, bridge.ErrNotFound.With("no checkpoint of that name has begun")
	}
	var err error
	if o.paths == nil {
		if err = s.tree.scan(ctx); err == nil {
			err = s.takeAll(o.record.Chat, o.record.Message)
		}
	} else {
		if !p.Discard {
			s.owner = o.id
		}
		for _, path := range o.paths {
			for p := range upwards(path) {
				err = errors.Join(err, s.tree.look(p))
			}
		}
		s.owner = ""
		if err == nil {
			err = s.blobs.flush()
		}
	}
	if err == nil {
		err = s.take(o)
	}
	if !p.Open && (err == nil || ctx.Err() == nil) {
		delete(s.open, o.id)
	}
	s.unpend(o)
	s.trim()
	if err != nil {
		return nil, err
	}
	s.collect()
	o.result = resultOf(o.record)
	if !p.Open {
		s.ended = append(s.ended, o)
		s.ended = slices.Delete(s.ended, 0, max(0, len(s.ended)-maxEnded))
	}
	return o.result, nil
}

// maxEnded is how many checkpoints that have ended are remembered.
const maxEnded = 16

func resultOf(r *record) *bridge.EndCheckpointResult {
	result := &bridge.EndCheckpointResult{Changes: []bridge.FileChange{}}
	for _, c := range r.Changes {
		if c.isFolder() {
			continue
		}
		if result.Total++; len(result.Changes) < bridge.MaxCheckpointChanges {
			result.Changes = append(result.Changes, describe(c))
		}
	}
	sortChanges(result.Changes)
	return result
}

// upwards are a path and the folders that it is in.
func upwards(p string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for ; p != "."; p = path.Dir(p) {
			if !yield(p) {
				return
			}
		}
	}
}

// takeAll gives what was found to the checkpoints of a message that are for the whole folder.
func (s *Store) takeAll(chat, message string) error {
	for _, o := range s.open {
		if o.paths == nil && o.record.Chat == chat && o.record.Message == message {
			if err := s.take(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// take adds what was found since the last time to the record of a checkpoint, and writes it.
func (s *Store) take(o *open) error {
	news := false
	for _, c := range s.journal[o.from-s.first:] {
		if c.owner == o.id || c.owner == "" && o.paths == nil {
			o.record.add(c)
			news = true
		}
	}
	o.from = s.first + len(s.journal)
	if !news || len(o.record.Changes) == 0 && !o.saved {
		return nil
	}
	o.record.At = s.now().UnixMilli()
	if err := s.save(o.record); err != nil {
		return err
	}
	if !o.saved {
		o.saved = true
		s.records = append(s.records, o.record.header())
		slices.SortFunc(s.records, func(a, b *record) int { return int(a.number - b.number) })
	}
	return nil
}

// trim forgets the part of the journal that no open checkpoint needs.
func (s *Store) trim() {
	from := s.first + len(s.journal)
	for _, o := range s.open {
		from = min(from, o.from)
	}
	s.journal = slices.Delete(s.journal, 0, from-s.first)
	s.first = from
	if len(s.journal) == 0 {
		s.journal = nil
	}
}

// collect removes what is too old, and of the rest the oldest where it takes too much room.
func (s *Store) collect() {
	old := s.now().Add(-maxAge).UnixMilli()
	var size int64
	for _, r := range s.records {
		size += r.size
	}
	for len(s.records) > 0 && (s.records[0].At < old || len(s.records) > maxRecords || size > s.limit/8) {
		size -= s.records[0].size
		s.drop(s.records[0])
	}
	if s.blobs.size() <= s.limit || s.blobs.size() < s.swept+s.limit/8 {
		return
	}
	for {
		live := make(map[digest]bool)
		for _, n := range s.tree.nodes {
			live[n.Digest] = true
		}
		for _, o := range s.open {
			for _, c := range o.record.Changes {
				live[c.Before.Digest], live[c.After.Digest] = true, true
			}
		}
		for _, c := range s.journal {
			live[c.Before.Digest], live[c.After.Digest] = true, true
		}
		for _, header := range s.records {
			if r, err := s.load(header); err == nil {
				for _, c := range r.Changes {
					live[c.Before.Digest], live[c.After.Digest] = true, true
				}
			}
		}
		if err := s.blobs.sweep(live); err != nil {
			return
		}
		s.swept = s.blobs.size()
		if s.swept <= s.limit*3/4 || len(s.records) == 0 {
			return
		}
		for range len(s.records)/4 + 1 {
			s.drop(s.records[0])
		}
	}
}

// Forget removes what is kept for a chat.
func (s *Store) Forget(ctx context.Context, p bridge.ForgetCheckpointsParams) (*bridge.ForgetCheckpointsResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Lstat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return &bridge.ForgetCheckpointsResult{}, nil
	}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	for _, r := range slices.Clone(s.records) {
		if r.Chat == p.Chat {
			s.drop(r)
		}
	}
	for id, o := range s.open {
		if o.record.Chat == p.Chat {
			delete(s.open, id)
			s.unpend(o)
		}
	}
	s.trim()
	return &bridge.ForgetCheckpointsResult{}, nil
}

func checkNames(names ...string) error {
	for _, name := range names {
		if name == "" || bridge.Printable(name, bridge.MaxCheckpointName) != name {
			return bridge.ErrInvalid.With("chat, message and call are names of 1 to %d bytes", bridge.MaxCheckpointName)
		}
	}
	return nil
}
