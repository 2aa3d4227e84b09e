package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kalpana-dev/kalpana/bridge"
)

// kind is what a path is.
type kind uint8

const (
	absent kind = iota
	file
	link
	folder
)

// entry is what a path holds. Two that are equal hold the same.
type entry struct {
	Kind kind
	Mode uint32 // the permissions of a file or folder
	// Digest of a file's content, or of where a symlink leads. That of a file which is too large is of its size and
	// times, and Kept is false: its content cannot be had again.
	Digest digest
	Kept   bool
}

// node is an entry as it was last seen, and what tells that it has not changed.
type node struct {
	entry
	stat stat
	scan uint64 // the last one that saw it
	kept int64  // bytes of it that count towards tree.kept
}

// stat is what the file system says of a file. Where it is the same, and older than the look at it, so is the content.
type stat struct {
	size, mtime, ctime int64
	inode              uint64
	mode               uint32
	sure               bool // it was older than the look by more than the clocks of file systems are coarse
}

// coarse is how much later a change may come and still get the same time.
const coarse = 50 * time.Millisecond

const (
	// maxFiles bounds the paths that are looked at.
	maxFiles = 100_000
	// scanTime bounds one look.
	scanTime = 40 * time.Second
	// maxDepth bounds how deep folders are looked into.
	maxDepth = 200
	// maxIgnoreFile bounds a .gitignore file, in bytes.
	maxIgnoreFile = 256 << 10
)

// change is one path that was found different.
type change struct {
	Path          string
	Before, After entry
	owner         string // the checkpoint that alone made it
}

// tree is the workspace folder as it was last seen.
type tree struct {
	dir   string
	env   []string // of git
	blobs *blobs
	// room is how much of the folder's content is kept at most, in bytes; kept is how much is.
	room, kept int64

	nodes   map[string]*node
	scans   uint64
	scanned bool              // as a whole, since the bridge began
	looking bool              // a scan is under way
	pruned  map[string]uint64 // what was passed over, and in which scan
	extra   map[string]bool   // paths that are looked at though they are ignored
	ignores map[string]*ignoreFile
	indexes map[string]stat // of repositories, by their folders, as they were last read

	reads int  // of files, for tests
	dirty bool // it is not on disk as it is

	changed func(path string, before, after entry)
}

type ignoreFile struct {
	stat  stat
	rules *rules
}

func newTree(dir string, env []string, blobs *blobs, room int64) *tree {
	t := &tree{
		dir: dir, env: env, blobs: blobs, room: room, nodes: make(map[string]*node),
		pruned: make(map[string]uint64), extra: make(map[string]bool), ignores: make(map[string]*ignoreFile),
		indexes: make(map[string]stat),
	}
	blobs.lost = t.unsure
	return t
}

var errManyFiles = bridge.ErrTooLarge.With("the folder has more than %d files that are not ignored", maxFiles)

// scan looks at the whole folder. What it finds different goes to t.changed; in the first scan nothing is.
func (t *tree) scan(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, scanTime, errSlow)
	defer cancel()
	t.scans++
	t.looking = true
	defer func() { t.looking = false }()
	s := &scan{tree: t, ctx: ctx}
	root, err := unix.Open(t.dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: t.dir, Err: err}
	}
	if err := s.walk(root, "", nil, 0); err != nil {
		return err
	}
	if err := t.blobs.flush(); err != nil {
		return err
	}
	for p := range t.extra {
		if n := t.nodes[p]; n == nil || n.scan != t.scans {
			if err := t.look(p); err != nil {
				return err
			}
		}
	}
	for _, p := range s.found {
		if t.extra[p] || t.nodes[p] != nil && t.nodes[p].scan == t.scans {
			continue
		}
		if err := t.look(p); err != nil {
			return err
		}
		t.extra[p] = true
	}
	for p, n := range t.nodes {
		if n.scan == t.scans || s.unknown(p) {
			continue
		}
		// It is gone, or ignored from now on. In that case a last look, and then it is no more concern.
		if err := t.look(p); err != nil {
			return err
		}
		if n := t.nodes[p]; n != nil && !t.extra[p] {
			t.forget(p)
			t.prune(p)
		}
	}
	for p, seen := range t.pruned {
		if seen != t.scans {
			delete(t.pruned, p)
			t.dirty = true
		}
	}
	t.scanned = true
	return t.blobs.flush()
}

// unsure has all read again the next time, since what was to be kept of it is lost.
func (t *tree) unsure() {
	for _, n := range t.nodes {
		n.stat.sure = false
	}
}

var errSlow = bridge.ErrTooLarge.With("the look at the folder took more than %s", scanTime)

// scan is one look at the folder.
type scan struct {
	tree       *tree
	ctx        context.Context //nolint:containedctx // of one call
	unreadable []string
	found      []string // ignored files that git tracks all the same
}

func (s *scan) unknown(p string) bool {
	for _, dir := range s.unreadable {
		if strings.HasPrefix(p, dir+"/") {
			return true
		}
	}
	return false
}

// passedOver are names of folders that are never looked into: of git, and of what programs fetch or make again.
var passedOver = map[string]bool{"node_modules": true, "__pycache__": true, ".venv": true}

// walk looks at a folder, whose descriptor it closes.
func (s *scan) walk(fd int, dir string, stack []*rules, depth int) error {
	here := os.NewFile(uintptr(fd), dir)
	defer here.Close()
	if err := context.Cause(s.ctx); err != nil {
		return err
	}
	t := s.tree
	entries, err := here.ReadDir(-1)
	if err != nil && dir == "" {
		return err
	}
	if err != nil || depth > maxDepth {
		s.unreadable = append(s.unreadable, dir)
		return nil
	}
	git, ignore := false, false
	for _, e := range entries {
		switch e.Name() {
		case ".git":
			git = true
		case ".gitignore":
			ignore = e.Type().IsRegular()
		case "CACHEDIR.TAG", "pyvenv.cfg": // https://bford.info/cachedir/ and a virtual environment of Python
			if dir != "" && e.Type().IsRegular() {
				t.prune(dir)
				return nil
			}
		}
	}
	if git {
		s.tracked(fd, dir)
		if r := t.readIgnore(fd, dir, ".git/info/exclude"); r != nil {
			stack = append(stack[:len(stack):len(stack)], r)
		}
	}
	if ignore {
		if r := t.readIgnore(fd, dir, ".gitignore"); r != nil {
			stack = append(stack[:len(stack):len(stack)], r)
		}
	}
	if dir != "" {
		if err := t.lookAt(fd, "", dir); err != nil {
			return err
		}
	}
	for _, e := range entries {
		name := e.Name()
		p := name
		if dir != "" {
			p = dir + "/" + name
		}
		switch {
		case name == ".git":
			continue
		case strings.HasPrefix(name, ".kalpana-") && strings.HasSuffix(name, ".tmp"):
			continue // being written
		case e.IsDir() && passedOver[name], ignored(stack, p, e.IsDir()):
			t.prune(p)
			continue
		case !e.IsDir():
			if err := t.lookAt(fd, name, p); err != nil {
				return err
			}
			continue
		}
		child, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			continue
		case err != nil:
			s.unreadable = append(s.unreadable, p)
			if err := t.lookAt(fd, name, p); err != nil {
				return err
			}
			continue
		}
		if err := s.walk(child, p, stack, depth+1); err != nil {
			return err
		}
	}
	return nil
}

const (
	// trackedTime bounds git's answer, maxTracked the files that it is believed to track though they are ignored.
	trackedTime = 5 * time.Second
	maxTracked  = 20_000
)

// tracked asks git which ignored files of a repository it tracks, where its index has changed.
func (s *scan) tracked(fd int, dir string) {
	t := s.tree
	var st unix.Stat_t
	if unix.Fstatat(fd, ".git/index", &st, 0) != nil {
		return
	}
	now := statOf(&st, time.Now())
	if known, ok := t.indexes[dir]; ok && known.sure && known == now {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, trackedTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", "-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false",
		"ls-files", "-z", "--cached", "--ignored", "--exclude-standard")
	cmd.Dir = filepath.Join(t.dir, dir)
	cmd.Env = append(t.env[:len(t.env):len(t.env)], "GIT_OPTIONAL_LOCKS=0", "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return
	}
	t.indexes[dir] = now
	for name := range strings.SplitSeq(string(out), "\x00") {
		if name != "" && len(s.found) < maxTracked && filepath.IsLocal(name) && !inGit(name) {
			s.found = append(s.found, path.Join(dir, name))
		}
	}
}

// readIgnore returns the rules of a file, which it remembers.
func (t *tree) readIgnore(fd int, dir, name string) *rules {
	var st unix.Stat_t
	if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxIgnoreFile {
		return nil
	}
	key := dir + "/" + name
	now := statOf(&st, time.Now())
	if known := t.ignores[key]; known != nil && known.stat.sure && known.stat == now {
		return known.rules
	}
	child, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	in := os.NewFile(uintptr(child), name)
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxIgnoreFile))
	if err != nil {
		return nil
	}
	r := &ignoreFile{stat: now, rules: parseRules(dir, string(text))}
	t.ignores[key] = r
	return r.rules
}

// look looks at one path, wherever it is in the folder; none of its parents may be a symlink.
func (t *tree) look(p string) error {
	parent, err := openParent(t.dir, p)
	if errors.Is(err, errNoParent) {
		t.gone(p)
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	return t.lookAt(parent, path.Base(p), p)
}

var errNoParent = errors.New("its folder is not there")

// openParent opens the folder that a path is in, following no symlink.
func openParent(dir, p string) (fd int, err error) {
	fd, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	parents := path.Dir(p)
	if parents == "." {
		return fd, nil
	}
	for name := range strings.SplitSeq(parents, "/") {
		child, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		switch {
		case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
			return -1, errNoParent
		case err != nil:
			return -1, &fs.PathError{Op: "open", Path: parents, Err: err}
		}
		fd = child
	}
	return fd, nil
}

// lookAt brings the node of a path up to date; name is its own in the folder fd, or "" for the folder itself.
func (t *tree) lookAt(fd int, name, p string) error {
	var st unix.Stat_t
	var err error
	began := time.Now()
	if name == "" {
		err = unix.Fstat(fd, &st)
	} else {
		err = unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		t.gone(p)
		return nil
	}
	known := t.nodes[p]
	now := statOf(&st, began)
	if known != nil && known.stat.sure && known.stat == now {
		known.scan = t.scans
		return nil
	}
	if known != nil {
		t.kept -= known.kept
		known.kept = 0
	}
	e := entry{}
	size := int64(0)
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		e = entry{Kind: folder, Mode: st.Mode & 0o777, Kept: true}
	case unix.S_IFLNK:
		to := make([]byte, bridge.MaxPath+1)
		n, err := unix.Readlinkat(fd, name, to)
		if err != nil {
			t.gone(p)
			return nil
		}
		e = entry{Kind: link}
		if e.Kept, err = t.keep(&e, to[:n]); err != nil {
			return err
		}
	case unix.S_IFREG:
		e = entry{Kind: file, Mode: st.Mode & 0o777}
		t.reads++
		content, err := readContent(fd, name, &st)
		switch {
		case errors.Is(err, unix.ENOENT):
			t.gone(p)
			return nil
		case content == nil: // too large, or not for us to read
			e.Digest = digestOfStat(&now)
			now.sure = now.sure && err == nil
		default:
			if e.Kept, err = t.keep(&e, content); err != nil {
				return err
			}
			if e.Kept {
				size = int64(len(content))
				t.kept += size
			}
		}
	default: // pipes, sockets, devices
		t.gone(p)
		return nil
	}
	before := entry{}
	if known == nil {
		if len(t.nodes) >= maxFiles {
			return errManyFiles
		}
		known = &node{}
		t.nodes[p] = known
	} else {
		before = known.entry
	}
	known.entry, known.stat, known.scan, known.kept = e, now, t.scans, size
	t.dirty = true
	t.report(p, before, e)
	return nil
}

// report tells of a difference. What was not looked at before is none.
func (t *tree) report(p string, before, after entry) {
	if before == after || t.changed == nil {
		return
	}
	if before.Kind == absent && !t.extra[p] && (!t.scanned || t.wasPruned(p)) {
		return
	}
	t.changed(p, before, after)
}

// wasPruned reports whether a path, or a folder that it is in, was passed over when the folder was last looked at.
func (t *tree) wasPruned(p string) bool {
	for ; p != "." && p != "/"; p = path.Dir(p) {
		if seen, ok := t.pruned[p]; ok && (seen < t.scans || !t.looking) {
			return true
		}
	}
	return false
}

// gone notes that there is nothing at a path.
func (t *tree) gone(p string) {
	known := t.nodes[p]
	if known == nil {
		return
	}
	before := known.entry
	t.forget(p)
	t.report(p, before, entry{})
}

func (t *tree) forget(p string) {
	if known := t.nodes[p]; known != nil {
		t.kept -= known.kept
	}
	delete(t.nodes, p)
	t.dirty = true
}

// prune notes that a path is passed over.
func (t *tree) prune(p string) {
	if _, ok := t.pruned[p]; !ok {
		t.dirty = true
	}
	t.pruned[p] = t.scans
}

// keep puts a content among what is kept, if there is room for it.
func (t *tree) keep(e *entry, content []byte) (kept bool, err error) {
	e.Digest = sha256.Sum256(content)
	if e.Kind == file && t.kept+int64(len(content)) > t.room {
		return false, nil
	}
	return true, t.blobs.put(e.Digest, content)
}

// readContent returns what a regular file holds: nil where it is too large or cannot be read.
func readContent(fd int, name string, st *unix.Stat_t) ([]byte, error) {
	if st.Size > bridge.MaxCheckpointFile {
		return nil, nil
	}
	child, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(child)
	content := make([]byte, st.Size+1)
	n := 0
	for n < len(content) {
		m, err := unix.Read(child, content[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m == 0 {
			return content[:n], nil
		}
		if n += m; n == len(content) { // it grows
			if n > bridge.MaxCheckpointFile {
				return nil, nil
			}
			content = append(content, make([]byte, n)...)
		}
	}
	return content[:n], nil
}

func statOf(st *unix.Stat_t, at time.Time) stat {
	s := stat{size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(), inode: st.Ino, mode: st.Mode}
	s.sure = time.Unix(0, max(s.mtime, s.ctime)).Before(at.Add(-coarse))
	return s
}

func digestOfStat(s *stat) digest {
	b := []byte("too large:")
	for _, n := range []uint64{uint64(s.size), uint64(s.mtime), uint64(s.ctime), s.inode} { //nolint:gosec // Bits.
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return sha256.Sum256(b)
}

// realPath returns the path that a name in the folder leads to, as its own names have it, where it leads to no place
// outside or in a .git: the last element need not exist.
func (t *tree) realPath(name string) (string, bool) {
	p := path.Clean(name)
	if path.IsAbs(p) {
		inside, ok := strings.CutPrefix(p, t.dir+"/")
		if !ok {
			return "", false
		}
		p = inside
	}
	if !filepath.IsLocal(p) || p == "." {
		return "", false
	}
	base, err := filepath.EvalSymlinks(t.dir)
	if err != nil {
		return "", false
	}
	// What exists of it is resolved; the rest is as it is.
	rest := ""
	for at := p; ; at = path.Dir(at) {
		real, err := filepath.EvalSymlinks(filepath.Join(t.dir, at))
		if err == nil {
			rel, err := filepath.Rel(base, filepath.Join(real, rest))
			if err != nil || !filepath.IsLocal(rel) || rel == "." || inGit(rel) {
				return "", false
			}
			return rel, true
		}
		if at == "." || !errors.Is(err, fs.ErrNotExist) {
			return "", false
		}
		if to, err := os.Readlink(filepath.Join(t.dir, at)); err == nil && to != "" {
			return "", false // a symlink to nothing
		}
		rest = path.Join(path.Base(at), rest)
	}
}

func inGit(p string) bool {
	return strings.HasPrefix(p, ".git/") || strings.Contains(p, "/.git/") || path.Base(p) == ".git"
}
