package server

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sys/unix"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// watchPause is how long changes are collected before they are told.
	watchPause = 80 * time.Millisecond
	// watchBytes bounds the changes of a batch as JSON.
	watchBytes = bridge.MaxStreamMessage - 16<<10
	// watchMask is what is told of a folder: inotify(7).
	watchMask = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
		unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR | unix.IN_EXCL_UNLINK
)

// watches serves bridge.WatchPath.
type watches struct {
	folder folder
	open   atomic.Int64
	most   int // folders; 0 means bridge.MaxWatchFolders
}

func (ws *watches) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer ws.open.Add(-1)
	if ws.open.Add(1) > bridge.MaxWatches {
		http.Error(w, "Too many folders are watched.", http.StatusServiceUnavailable)
		return
	}
	watch, err := newWatch(ws.folder, r.URL.Query().Get("path"), ws.most)
	switch {
	case errors.Is(err, bridge.ErrNotFound):
		http.Error(w, "There is no such folder.", http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, bridge.Printable(err.Error(), 200), http.StatusBadRequest)
		return
	}
	defer watch.close()
	s, ok := openStream(w, r)
	if !ok {
		return
	}
	defer s.close()
	defer context.AfterFunc(s.ctx, func() { _ = watch.events.Close() })()
	gone, err := watch.run(func(batch bridge.WatchBatch) error {
		message, err := json.Marshal(batch)
		if err != nil {
			return err
		}
		return s.send(websocket.TextMessage, message)
	})
	switch {
	case gone:
		s.bye(websocket.CloseNormalClosure, "gone")
	case err != nil && s.ctx.Err() == nil:
		s.bye(websocket.CloseInternalServerErr, "it can be watched no longer")
	}
}

// watch watches one folder and those below it.
type watch struct {
	root   *os.Root // the workspace folder
	top    string
	most   int
	events *os.File // inotify's
	kernel syscall.RawConn

	folders map[int32]string // by watch descriptor
	batch   map[string]bool  // path to whether it was removed
	size    int              // of the batch as JSON
	partial bool             // there are more folders
	rescan  bool
}

func newWatch(f folder, p string, most int) (*watch, error) {
	root, top, err := f.locate(p)
	if err != nil {
		return nil, err
	}
	w := &watch{root: root, top: top, most: most, folders: map[int32]string{}, batch: map[string]bool{}}
	if w.most == 0 {
		w.most = bridge.MaxWatchFolders
	}
	if err := w.begin(); err != nil {
		root.Close()
		return nil, err
	}
	return w, nil
}

func (w *watch) begin() error {
	dir, info, err := openAny(w.root, w.top)
	if err != nil {
		return err
	}
	dir.Close()
	if !info.IsDir() {
		return bridge.ErrInvalid.With("this is not a folder")
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return bridge.ErrInternal.With("watching: %v", err)
	}
	w.events = os.NewFile(uintptr(fd), "inotify")
	if w.kernel, err = w.events.SyscallConn(); err != nil {
		w.events.Close()
		return bridge.ErrInternal.With("watching: %v", err)
	}
	w.add(w.top, false)
	if len(w.folders) == 0 {
		w.events.Close()
		return bridge.ErrInternal.With("the kernel watches no more folders")
	}
	return nil
}

func (w *watch) close() {
	_ = w.events.Close()
	_ = w.root.Close()
}

// add watches a folder and all below it. If it is told of, what is in it by now is a change.
func (w *watch) add(top string, tell bool) {
	for left := []string{top}; len(left) > 0; left = left[1:] {
		dir := left[0]
		if len(w.folders) >= w.most {
			w.partial = true
			return
		}
		file, info, err := openAny(w.root, dir)
		if err != nil {
			continue // gone by now, or not ours to read
		}
		if !info.IsDir() {
			file.Close()
			continue
		}
		// By its descriptor, so that nothing that happens to the path leads elsewhere.
		wd := -1
		closed := w.kernel.Control(func(fd uintptr) {
			wd, err = unix.InotifyAddWatch(int(fd), fmt.Sprintf("/proc/self/fd/%d", file.Fd()), watchMask)
		})
		if closed != nil {
			file.Close()
			return
		}
		if err != nil {
			file.Close()
			w.partial = w.partial || errors.Is(err, unix.ENOSPC)
			continue
		}
		if _, ok := w.folders[int32(wd)]; ok && w.folders[int32(wd)] != dir {
			file.Close()
			continue // the same folder by another way
		}
		w.folders[int32(wd)] = dir
		entries, _ := file.ReadDir(-1) // after it is watched, so that nothing is missed
		file.Close()
		for _, e := range entries {
			if tell {
				w.changed(path.Join(dir, e.Name()), false)
			}
			if e.IsDir() && !unwatched(e.Name()) {
				left = append(left, path.Join(dir, e.Name()))
			}
		}
	}
}

// unwatched reports whether a folder of that name is not looked into.
func unwatched(name string) bool { return name == ".git" || name == "node_modules" }

// forget stops watching a folder and all below it.
func (w *watch) forget(dir string) {
	for wd, at := range w.folders {
		if at == dir || strings.HasPrefix(at, dir+"/") {
			delete(w.folders, wd)
			_ = w.kernel.Control(func(fd uintptr) { _, _ = unix.InotifyRmWatch(int(fd), uint32(wd)) }) //nolint:gosec // It is never negative.
		}
	}
}

// changed puts a change into the batch.
func (w *watch) changed(p string, removed bool) {
	name := path.Base(p)
	if strings.HasPrefix(name, ".kalpana-") && strings.HasSuffix(name, ".tmp") {
		return // a file that is being written: see replace
	}
	if w.rescan {
		return
	}
	p = valid(p)
	if _, ok := w.batch[p]; !ok {
		w.size += bridge.JSONSize(p) + entryBytes
	}
	w.batch[p] = removed
	if len(w.batch) > bridge.MaxWatchChanges || w.size > watchBytes {
		w.rescan = true
	}
}

// run tells of changes until the folder is gone, or tell or the kernel fails.
func (w *watch) run(tell func(bridge.WatchBatch) error) (gone bool, err error) {
	told := w.partial
	if err := tell(bridge.WatchBatch{Ready: true, Partial: w.partial}); err != nil {
		return false, err
	}
	buffer := make([]byte, 64<<10)
	for {
		n, err := w.events.Read(buffer)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := tell(w.take(&told)); err != nil {
				return false, err
			}
			_ = w.events.SetReadDeadline(time.Time{})
			continue
		case err != nil:
			return false, err
		}
		quiet := len(w.batch) == 0 && !w.rescan
		if gone = w.read(buffer[:n]); gone {
			_ = tell(w.take(&told))
			return true, nil
		}
		if quiet && (len(w.batch) > 0 || w.rescan) {
			_ = w.events.SetReadDeadline(time.Now().Add(watchPause))
		}
	}
}

// take returns the batch, and begins another one.
func (w *watch) take(told *bool) bridge.WatchBatch {
	b := bridge.WatchBatch{Rescan: w.rescan, Partial: w.partial && !*told}
	if !w.rescan {
		for _, p := range slices.Sorted(maps.Keys(w.batch)) {
			b.Changes = append(b.Changes, bridge.WatchChange{Path: p, Removed: w.batch[p]})
		}
	}
	*told = w.partial
	w.rescan, w.size = false, 0
	clear(w.batch)
	return b
}

// read takes events, and reports whether the folder itself is gone.
func (w *watch) read(b []byte) (gone bool) {
	for len(b) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(b)) //nolint:gosec // inotify(7): an int.
		mask := binary.NativeEndian.Uint32(b[4:])
		length := int(binary.NativeEndian.Uint32(b[12:]))
		if len(b) < unix.SizeofInotifyEvent+length {
			break
		}
		name := strings.TrimRight(string(b[unix.SizeofInotifyEvent:unix.SizeofInotifyEvent+length]), "\x00")
		b = b[unix.SizeofInotifyEvent+length:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			// Folders may have come and gone: all are looked at anew.
			w.rescan = true
			for _, dir := range slices.Collect(maps.Values(w.folders)) {
				if dir != w.top {
					w.forget(dir)
				}
			}
			w.add(w.top, false)
			continue
		}
		dir, ok := w.folders[wd]
		if !ok {
			continue
		}
		if w.event(dir, name, mask) {
			return true
		}
		if mask&unix.IN_IGNORED != 0 {
			delete(w.folders, wd)
		}
	}
	return false
}

// event takes one event of a folder.
func (w *watch) event(dir, name string, mask uint32) (gone bool) {
	if mask&(unix.IN_DELETE_SELF|unix.IN_MOVE_SELF) != 0 {
		return dir == w.top // of others their parents tell
	}
	if name == "" {
		return false
	}
	p := path.Join(dir, name)
	folder := mask&unix.IN_ISDIR != 0 && !unwatched(name)
	switch {
	case mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0:
		if folder {
			w.forget(p)
		}
		w.changed(p, true)
	case mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		w.changed(p, false)
		if folder {
			w.add(p, true)
		}
	default:
		w.changed(p, false)
	}
	return false
}
