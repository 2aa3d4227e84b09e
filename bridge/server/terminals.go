package server

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// ptsDir has a device for each pseudo terminal of the container.
const ptsDir = "/dev/pts"

// maxTerminals bounds how many terminals are looked at.
const maxTerminals = 1024

// terminals notices when a program of the container reads from or writes to a pseudo terminal. Linux moves the
// device's times on then (tty_update_time in drivers/tty/tty_io.c), in steps of eight seconds, so that nobody can
// count another's keystrokes: what is seen may be up to eight seconds older than it looks, and what comes within
// eight seconds of the last change changes nothing.
type terminals struct {
	dir string

	mu     sync.Mutex
	looked time.Time            // the last time
	seen   map[string]time.Time // the newest time of each device then
}

func newTerminals(dir string) *terminals {
	return &terminals{dir: dir, looked: time.Now(), seen: map[string]time.Time{}}
}

// look returns when a terminal was last used, zero if that was before the last look. Only a change counts, and it
// came after the last look, whatever the wall clock of the device says: somebody may set that, or the times.
func (t *terminals) look(now time.Time) (used time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := make(map[string]time.Time, len(t.seen))
	for _, name := range t.names() {
		stamp, ok := deviceTime(filepath.Join(t.dir, name))
		if !ok {
			continue
		}
		seen[name] = stamp
		if before, ok := t.seen[name]; ok && before.Equal(stamp) {
			continue
		}
		ago := min(max(0, now.Round(0).Sub(stamp)), now.Sub(t.looked))
		if at := now.Add(-ago); at.After(used) {
			used = at
		}
	}
	t.seen, t.looked = seen, now
	return used
}

// names returns the names of the devices. There is "ptmx" as well, from which every terminal is made.
func (t *terminals) names() (names []string) {
	dir, err := os.Open(t.dir)
	if err != nil {
		return nil
	}
	defer dir.Close()
	all, _ := dir.Readdirnames(maxTerminals)
	for _, name := range all {
		if _, err := strconv.Atoi(name); err == nil {
			names = append(names, name)
		}
	}
	return names
}

// deviceTime returns when a device was last read or written.
func deviceTime(path string) (time.Time, bool) {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&fs.ModeSymlink != 0 {
		return time.Time{}, false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return time.Time{}, false
	}
	newest := info.ModTime()
	if read := time.Unix(stat.Atim.Unix()); read.After(newest) {
		newest = read
	}
	return newest, true
}
