package bridge

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/workspace"
)

// honest is a bridge that answers every call in one way, and counts its connections.
type honest struct {
	*httptest.Server
	connections atomic.Int64
	mu          sync.Mutex
	open        []*websocket.Conn
	work        sync.WaitGroup
}

func newHonest(t *testing.T) *honest {
	h := &honest{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		h.connections.Add(1)
		h.mu.Lock()
		h.open = append(h.open, ws)
		h.mu.Unlock()
		h.work.Go(func() {
			defer ws.Close()
			answers("result", `{"editor":"running","protocol":1}`)(ws)
		})
	}))
	t.Cleanup(func() {
		h.hangUp()
		h.Close()
		h.work.Wait()
	})
	return h
}

// hangUp ends every connection.
func (h *honest) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ws := range h.open {
		ws.Close()
	}
	h.open = nil
}

func (h *honest) endpoint() Endpoint {
	return Endpoint{Addr: h.Listener.Addr().String(), Token: testToken}
}

func poolOf(t *testing.T, find func(context.Context, workspace.ID) (Endpoint, error)) *Pool {
	p := NewPool(find)
	t.Cleanup(p.Close)
	return p
}

const (
	oneID = workspace.ID("aaaaaaaaaa")
	twoID = workspace.ID("bbbbbbbbbb")
)

func TestPool_ManyWhoAskShareOneWakeAndOneConnection(t *testing.T) {
	h := newHonest(t)
	woken := make(chan struct{})
	var asked atomic.Int64
	p := poolOf(t, func(ctx context.Context, _ workspace.ID) (Endpoint, error) {
		asked.Add(1)
		select {
		case <-woken:
		case <-ctx.Done():
			return Endpoint{}, ctx.Err()
		}
		return h.endpoint(), nil
	})
	got := make(chan *Client, 50)
	for range cap(got) {
		go func() {
			c, err := p.Client(t.Context(), oneID)
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Client(impatient, oneID); !errors.Is(err, context.Canceled) {
		t.Errorf("someone who has gone: %v", err)
	}
	close(woken)
	first := <-got
	for range cap(got) - 1 {
		if c := <-got; c != first {
			t.Error("another connection")
		}
	}
	if c, err := p.Client(t.Context(), oneID); err != nil || c != first {
		t.Errorf("later: %v", err)
	}
	if n := h.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
	if c, err := p.Client(t.Context(), twoID); err != nil || c == first {
		t.Errorf("another workspace: %v", err)
	}
}

func TestPool_AWaiterWhoLeavesLeavesTheOthersTheirs(t *testing.T) {
	h := newHonest(t)
	asked, woken := make(chan struct{}), make(chan struct{})
	p := poolOf(t, func(context.Context, workspace.ID) (Endpoint, error) {
		close(asked)
		<-woken
		return h.endpoint(), nil
	})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := p.Client(ctx, oneID); left <- err }()
	<-asked
	stays := make(chan error, 1)
	go func() { _, err := p.Client(t.Context(), oneID); stays <- err }()
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(woken)
	if err := <-stays; err != nil {
		t.Error(err)
	}
}

func TestPool_AConnectionThatEndedIsDialledAgain(t *testing.T) {
	h := newHonest(t)
	p := poolOf(t, func(context.Context, workspace.ID) (Endpoint, error) { return h.endpoint(), nil })
	first, err := p.Client(t.Context(), oneID)
	if err != nil {
		t.Fatal(err)
	}
	h.hangUp()
	<-first.Done()
	if _, err := first.Health(t.Context()); !errors.Is(err, ErrNotSent) || !errors.Is(err, ErrClosed) {
		t.Errorf("a call on the old one: %v", err)
	}
	second, err := p.Client(t.Context(), oneID)
	if err != nil || second == first {
		t.Fatalf("%v", err)
	}
	if _, err := second.Health(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestPool_AWorkspaceThatMovedIsFollowed(t *testing.T) {
	before, after := newHonest(t), newHonest(t)
	var moved atomic.Bool
	p := poolOf(t, func(context.Context, workspace.ID) (Endpoint, error) {
		if moved.Load() {
			return after.endpoint(), nil
		}
		return before.endpoint(), nil
	})
	first, err := p.Client(t.Context(), oneID)
	if err != nil {
		t.Fatal(err)
	}
	moved.Store(true)
	second, err := p.Client(t.Context(), oneID)
	if err != nil || second == first || after.connections.Load() != 1 {
		t.Fatalf("%v", err)
	}
	<-first.Done()
}

func TestPool_AFailureIsNotRemembered(t *testing.T) {
	h := newHonest(t)
	asleep := errors.New("it sleeps")
	var awake atomic.Bool
	p := poolOf(t, func(context.Context, workspace.ID) (Endpoint, error) {
		if !awake.Load() {
			return Endpoint{}, asleep
		}
		return h.endpoint(), nil
	})
	if _, err := p.Client(t.Context(), oneID); !errors.Is(err, asleep) {
		t.Fatal(err)
	}
	if len(p.all) != 0 {
		t.Errorf("remembered: %v", p.all)
	}
	awake.Store(true)
	if _, err := p.Client(t.Context(), oneID); err != nil {
		t.Fatal(err)
	}
}

func TestPool_CloseEndsConnectionsAndWhatIsBeingDialled(t *testing.T) {
	h := newHonest(t)
	asked := make(chan struct{})
	p := NewPool(func(ctx context.Context, id workspace.ID) (Endpoint, error) {
		if id == oneID {
			return h.endpoint(), nil
		}
		close(asked)
		<-ctx.Done()
		return Endpoint{}, context.Cause(ctx)
	})
	c, err := p.Client(t.Context(), oneID)
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() { _, err := p.Client(t.Context(), twoID); waits <- err }()
	<-asked
	p.Close()
	<-c.Done()
	if err := <-waits; !errors.Is(err, ErrPoolClosed) {
		t.Errorf("who waited: %v", err)
	}
	if _, err := p.Client(t.Context(), oneID); !errors.Is(err, ErrPoolClosed) {
		t.Errorf("afterwards: %v", err)
	}
	p.Close()
}

func TestDialWith_UsesTheDialerItIsGiven(t *testing.T) {
	h := newHonest(t)
	var dialled string
	c, err := DialWith(t.Context(), Endpoint{Addr: "nowhere.invalid:3001", Token: testToken, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = addr
		var d net.Dialer
		return d.DialContext(ctx, network, h.Listener.Addr().String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Health(t.Context()); err != nil || dialled != "nowhere.invalid:3001" {
		t.Errorf("%q, %v", dialled, err)
	}
}
