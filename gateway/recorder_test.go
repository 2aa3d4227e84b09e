package gateway

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

// pieces reads as it is told, and notes how much room it was given each time.
type pieces struct {
	sizes []int
	rooms []int
	next  byte
	end   error
}

func (p *pieces) Read(room []byte) (int, error) {
	p.rooms = append(p.rooms, len(room))
	if len(p.sizes) == 0 {
		return 0, p.end
	}
	n := min(p.sizes[0], len(room))
	for i := range n {
		room[i] = p.next
		p.next++
	}
	if p.sizes[0] -= n; p.sizes[0] == 0 {
		p.sizes = p.sizes[1:]
	}
	return n, nil
}

func TestStream_KeepsASmallBufferWhileLittleComes(t *testing.T) {
	const much = 100 << 10
	from := &pieces{sizes: []int{10, much, 20, 30}, end: io.EOF}
	var to bytes.Buffer
	n, err := copyStream(&to, from)
	if want := int64(10 + much + 20 + 30); err != nil || n != want || int64(to.Len()) != want {
		t.Fatalf("%d bytes were copied, %v; want %d", n, err, want)
	}
	for i, b := range to.Bytes() {
		if b != byte(i) {
			t.Fatalf("byte %d is another", i)
		}
	}
	rooms := []int{quietBuffer, quietBuffer, copyBuffer, copyBuffer, copyBuffer, copyBuffer, quietBuffer, quietBuffer}
	if !slices.Equal(from.rooms[:len(rooms)], rooms) {
		t.Errorf("it was read into %v", from.rooms)
	}
}

func TestStream_TellsHowItEnded(t *testing.T) {
	broken := errors.New("broken")
	if _, err := copyStream(io.Discard, &pieces{sizes: []int{64 << 10}, end: broken}); !errors.Is(err, broken) {
		t.Errorf("reading ended in %v", err)
	}
	r, w := io.Pipe()
	_ = r.CloseWithError(broken)
	if _, err := copyStream(w, &pieces{sizes: []int{1}, end: io.EOF}); !errors.Is(err, broken) {
		t.Errorf("writing ended in %v", err)
	}
}
