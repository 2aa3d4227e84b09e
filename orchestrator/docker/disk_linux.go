package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"

	"golang.org/x/sys/unix"
)

// disk returns the size of the file system that path is on, and what is free of it, in bytes.
func disk(path string) (size, free int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %s: %w", path, err)
	}
	return int64(s.Blocks) * s.Bsize, int64(s.Bavail) * s.Bsize, nil //nolint:gosec // a disk beyond 8 EiB
}

// The kernel's numbers for the calling thread and for the class of input and output that waits for
// everybody else's (linux/ioprio.h).
const (
	ioprioThread = 1
	ioprioIdle   = 3 << 13
)

// usage returns how many bytes the files in dirs take on the disk, each once, without following links or
// leaving the file system. It runs on a thread of its own that gives way to all others. Whole is false
// where ctx ended it, or the files are laid out so as to hide some.
func usage(ctx context.Context, dirs ...string) (used int64, whole bool, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and it ends with this goroutine, whose priority nobody wants
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 19)
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioprioThread, 0, ioprioIdle)
		w := walk{ctx: ctx, whole: true, links: map[inode]struct{}{}}
		for _, dir := range dirs {
			if err = w.tree(dir); err != nil {
				return
			}
		}
		used, whole = w.used, w.whole
	}()
	<-done
	return used, whole, err
}

// The code that lays out a workspace's files may be hostile. Each directory is so opened relative to
// its parent, and never through a link; and no more than so many are open at a time.
const (
	maxDepth = 256 // directories open at a time, from the first one down
	maxDeep  = 256 // directories below that which wait for their turn, open
)

type inode struct{ device, number uint64 }

type walk struct {
	ctx     context.Context
	device  uint64
	links   map[inode]struct{} // seen files with several names
	deep    []int              // open directories that are still to be read
	buffers [][]byte
	seen    int
	used    int64
	whole   bool
	over    bool // time ran out
}

func (w *walk) tree(dir string) error {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w: %s cannot be looked at from here", errors.ErrUnsupported, dir)
	}
	if err != nil {
		return fmt.Errorf("measure %s: %w", dir, err)
	}
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("measure %s: %w", dir, err)
	}
	w.device = s.Dev
	w.used += s.Blocks * 512
	w.deep = append(w.deep, fd)
	for len(w.deep) > 0 {
		fd, w.deep = w.deep[len(w.deep)-1], w.deep[:len(w.deep)-1]
		w.directory(fd, 0)
	}
	return nil
}

// directory counts what is in an open directory, and closes it.
func (w *walk) directory(fd, depth int) {
	defer unix.Close(fd) //nolint:errcheck // only read
	if depth == len(w.buffers) {
		w.buffers = append(w.buffers, make([]byte, 8<<10))
	}
	buffer := w.buffers[depth]
	for {
		n, err := unix.ReadDirent(fd, buffer)
		if n <= 0 || err != nil || w.over {
			w.whole = w.whole && n == 0 && err == nil && !w.over
			return
		}
		_, _, names := unix.ParseDirent(buffer[:n], -1, nil)
		for _, name := range names {
			w.entry(fd, name, depth)
		}
	}
}

func (w *walk) entry(parent int, name string, depth int) {
	if w.seen++; w.seen%256 == 0 && w.ctx.Err() != nil {
		w.over = true
	}
	if w.over {
		return
	}
	var s unix.Stat_t
	if err := unix.Fstatat(parent, name, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil || s.Dev != w.device {
		return // it is gone, or it is not of this disk
	}
	directory := s.Mode&unix.S_IFMT == unix.S_IFDIR
	if s.Nlink > 1 && !directory {
		file := inode{s.Dev, s.Ino}
		if _, ok := w.links[file]; ok {
			return
		}
		w.links[file] = struct{}{}
	}
	w.used += s.Blocks * 512
	if !directory {
		return
	}
	if depth+1 == maxDepth && len(w.deep) >= maxDeep {
		w.whole = false
		return
	}
	child, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		w.whole = w.whole && errors.Is(err, fs.ErrNotExist)
		return
	}
	if depth+1 == maxDepth {
		w.deep = append(w.deep, child)
		return
	}
	w.directory(child, depth+1)
}
