package checkpoint

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/kalpana-dev/kalpana/bridge"
)

// digest names a content.
type digest [sha256.Size]byte

const (
	// segmentSize is where the next segment begins, in bytes.
	segmentSize = 32 << 20
	// headerSize of a record: a mark, whether it is deflated, the digest of the content, and the length of what follows.
	headerSize = 1 + 1 + sha256.Size + 4
	mark       = 'k'
)

// blobs keeps contents in segment files, to which it only appends: a few large files instead of one for each. What a
// kill left half written at the end of one is cut off when it is opened.
type blobs struct {
	dir     string
	index   map[digest]place
	sizes   map[int]int64 // of the segments, by number
	current int           // the number of the one that is appended to
	file    *os.File      // that one, nil before the first write
	pending bytes.Buffer  // of it, not written yet
	deflate *flate.Writer
	lost    func() // is called when what was put could not be written
}

type place struct {
	segment  int
	at       int64 // of the data
	size     uint32
	deflated bool
}

func openBlobs(dir string) (*blobs, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	b := &blobs{dir: dir, index: make(map[digest]place), sizes: make(map[int]int64)}
	b.deflate, _ = flate.NewWriter(io.Discard, flate.BestSpeed)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n > 0 {
			if err := b.load(n); err != nil {
				return nil, err
			}
			b.current = max(b.current, n)
		}
	}
	b.current++
	return b, nil
}

func (b *blobs) path(segment int) string { return filepath.Join(b.dir, fmt.Sprintf("%08d", segment)) }

// load reads what a segment holds.
func (b *blobs) load(segment int) error {
	file, err := os.OpenFile(b.path(segment), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var at int64
	var header [headerSize]byte
	for at < info.Size() {
		if _, err := file.ReadAt(header[:], at); err != nil || header[0] != mark {
			break
		}
		size := binary.LittleEndian.Uint32(header[headerSize-4:])
		data := at + headerSize
		if data+int64(size) > info.Size() {
			break
		}
		b.index[digest(header[2:2+sha256.Size])] = place{segment, data, size, header[1] == 1}
		at = data + int64(size)
	}
	if at < info.Size() {
		if err := file.Truncate(at); err != nil {
			return err
		}
	}
	b.sizes[segment] = at
	return nil
}

func (b *blobs) has(d digest) bool {
	_, ok := b.index[d]
	return ok
}

// put keeps a content of at most bridge.MaxCheckpointFile bytes. It is on disk after the next flush.
func (b *blobs) put(d digest, content []byte) error {
	if b.has(d) {
		return nil
	}
	if b.sizes[b.current] >= segmentSize {
		if err := b.flush(); err != nil {
			return err
		}
		b.closeFile()
		b.current++
	}
	start := b.pending.Len()
	var header [headerSize]byte
	header[0], header[1] = mark, 1
	copy(header[2:], d[:])
	b.pending.Write(header[:])
	b.deflate.Reset(&b.pending)
	_, _ = b.deflate.Write(content)
	_ = b.deflate.Close()
	all := b.pending.Bytes()[start:]
	if len(all)-headerSize >= len(content) { // it does not get shorter
		b.pending.Truncate(start + headerSize)
		b.pending.Write(content)
		all = b.pending.Bytes()[start:]
		all[1] = 0
	}
	size := uint32(len(all) - headerSize) //nolint:gosec // At most bridge.MaxCheckpointFile.
	binary.LittleEndian.PutUint32(all[headerSize-4:headerSize], size)
	b.index[d] = place{b.current, b.sizes[b.current] + headerSize, size, all[1] == 1}
	b.sizes[b.current] += int64(len(all))
	if b.pending.Len() > 1<<20 {
		return b.flush()
	}
	return nil
}

// flush writes what was put. Where it cannot, what was put since the last flush is forgotten.
func (b *blobs) flush() error {
	if b.pending.Len() == 0 {
		return nil
	}
	written := b.sizes[b.current] - int64(b.pending.Len())
	var err error
	if b.file == nil {
		b.file, err = os.OpenFile(b.path(b.current), os.O_WRONLY|os.O_CREATE, 0o600)
	}
	if err == nil {
		_, err = b.file.WriteAt(b.pending.Bytes(), written)
	}
	b.pending.Reset()
	if b.pending.Cap() > 8<<20 {
		b.pending = bytes.Buffer{}
	}
	if err == nil {
		return nil
	}
	if b.file != nil {
		_ = b.file.Truncate(written)
	}
	b.sizes[b.current] = written
	for d, at := range b.index {
		if at.segment == b.current && at.at >= written {
			delete(b.index, d)
		}
	}
	if b.lost != nil {
		b.lost()
	}
	return err
}

func (b *blobs) closeFile() {
	if b.file != nil {
		_ = b.file.Close()
		b.file = nil
	}
}

var errNotKept = errors.New("its content is not kept")

// get returns a content.
func (b *blobs) get(d digest) ([]byte, error) {
	at, ok := b.index[d]
	if !ok {
		return nil, errNotKept
	}
	if at.segment == b.current {
		if err := b.flush(); err != nil {
			return nil, err
		}
	}
	file, err := os.Open(b.path(at.segment))
	if err != nil {
		return nil, errNotKept
	}
	defer file.Close()
	var data io.Reader = io.NewSectionReader(file, at.at, int64(at.size))
	if at.deflated {
		data = flate.NewReader(data)
	}
	content, err := io.ReadAll(io.LimitReader(data, bridge.MaxCheckpointFile+1)) // not nil, if it is empty
	if err != nil || sha256.Sum256(content) != d {
		delete(b.index, d) // so that it is kept anew when it is seen again
		return nil, errNotKept
	}
	return content, nil
}

// size is what all segments take, in bytes.
func (b *blobs) size() (n int64) {
	for _, size := range b.sizes {
		n += size
	}
	return n
}

// sweep removes what is not live: segments of which less than half is needed are copied without the rest.
func (b *blobs) sweep(live map[digest]bool) error {
	if err := b.flush(); err != nil {
		return err
	}
	needed := make(map[int]int64)
	for d, at := range b.index {
		if live[d] {
			needed[at.segment] += headerSize + int64(at.size)
		}
	}
	b.closeFile()
	segments := make([]int, 0, len(b.sizes))
	next := b.current
	for segment := range b.sizes {
		segments = append(segments, segment)
		next = max(next, segment)
	}
	b.current = next + 1
	slices.Sort(segments)
	for _, segment := range segments {
		if 2*needed[segment] >= b.sizes[segment] && needed[segment] > 0 {
			continue
		}
		for d, at := range b.index {
			if at.segment != segment {
				continue
			}
			var content []byte
			if live[d] {
				content, _ = b.get(d)
			}
			delete(b.index, d)
			if content != nil {
				if err := b.put(d, content); err != nil {
					return err
				}
			}
		}
		if err := b.flush(); err != nil {
			return err
		}
		if err := os.Remove(b.path(segment)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		delete(b.sizes, segment)
	}
	return nil
}

func (b *blobs) close() {
	_ = b.flush()
	b.closeFile()
}

// free is the room on the file system of dir that an unprivileged user has, in bytes.
func free(dir string) (free, total int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil //nolint:gosec // Sizes of disks.
}
