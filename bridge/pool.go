package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Endpoint is where the bridge of a container is.
type Endpoint struct {
	// Addr is the host:port of a published BridgePort, Token the workspace's.
	Addr, Token string
	// Dial makes the TCP connections; nil means the system's. It is a net.Dialer's DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// What the container may ask over the connection; see Answer.
	handlers  map[string]Handler
	workspace workspace.ID
}

// poolDial bounds the finding and dialling of one workspace, which may have to be woken.
const poolDial = 2 * time.Minute

// ErrPoolClosed: the pool, or the program that has it, comes to its end.
var ErrPoolClosed = errors.New("bridge: the pool of connections is closed")

// Pool keeps one connection to each workspace that was asked for, shared by all who ask. It is dialled when it is
// first asked for, and again when it has ended; one that is open costs nothing but itself. Its methods may be called
// from several goroutines.
//
// A connection may end at any moment, so that a call on it returns ErrClosed: whoever made the call knows whether it
// may be made again, on the Client that the pool then has. If it is ErrNotSent as well, the container never saw it.
type Pool struct {
	find func(context.Context, workspace.ID) (Endpoint, error)

	ctx    context.Context // ends with the pool
	cancel context.CancelCauseFunc
	work   sync.WaitGroup

	mu  sync.Mutex
	all map[workspace.ID]*pooled
}

// pooled is what is known of one workspace.
type pooled struct {
	flight *flight // under way; else nil
	at     Endpoint
	client *Client // nil, or it may have ended
}

// flight is one attempt, whose result all share who wait for it.
type flight struct {
	done   chan struct{}
	client *Client
	err    error
}

// NewPool returns an empty pool. find is asked before each use, since a workspace may sleep or have moved while a
// connection to it still looks whole: it wakes the workspace if it has to, and is quick if it runs. It is asked once
// at a time for a workspace, and its context ends with the pool, or after two minutes: not when those who asked have
// gone.
func NewPool(find func(context.Context, workspace.ID) (Endpoint, error)) *Pool {
	p := &Pool{find: find, all: map[workspace.ID]*pooled{}}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	return p
}

// Client returns the connection to a workspace, which must not be closed. ctx bounds the caller's waiting only. The
// error is find's, DialWith's, ctx's or ErrPoolClosed.
func (p *Pool) Client(ctx context.Context, id workspace.ID) (*Client, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := p.join(id)
	if f == nil {
		return nil, ErrPoolClosed
	}
	select {
	case <-f.done:
		return f.client, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// join returns the attempt that is under way, or begins one; nil when the pool is closed.
func (p *Pool) join(id workspace.ID) *flight {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil
	}
	entry := p.all[id]
	if entry == nil {
		p.sweep()
		entry = &pooled{}
		p.all[id] = entry
	}
	if entry.flight == nil {
		f := &flight{done: make(chan struct{})}
		entry.flight = f
		p.work.Go(func() { p.fly(id, entry, f) })
	}
	return entry.flight
}

// sweep forgets the workspaces whose connection has ended; the caller holds the lock.
func (p *Pool) sweep() {
	for id, entry := range p.all {
		if entry.flight == nil && entry.client.ended() {
			delete(p.all, id)
		}
	}
}

// ended reports whether there is no connection any more.
func (c *Client) ended() bool {
	if c == nil {
		return true
	}
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

func (p *Pool) fly(id workspace.ID, entry *pooled, f *flight) {
	defer close(f.done)
	client, at, err := p.connect(id, entry)
	p.mu.Lock()
	defer p.mu.Unlock()
	entry.flight = nil
	switch {
	case p.ctx.Err() != nil: // Close has been, and did not see this one
		if client != nil {
			_ = client.Close()
		}
		f.err = ErrPoolClosed
		return
	case err != nil:
		f.err = err
		if entry.client.ended() {
			delete(p.all, id)
		}
		return
	}
	if entry.client != client && entry.client != nil {
		_ = entry.client.Close() // it leads to where the workspace was
	}
	entry.client, entry.at = client, at
	f.client = client
}

// connect returns the connection that there is, if it is still the right one, or another. Only the one attempt that
// is under way reads and writes entry's client.
func (p *Pool) connect(id workspace.ID, entry *pooled) (*Client, Endpoint, error) {
	ctx, cancel := context.WithTimeout(p.ctx, poolDial)
	defer cancel()
	at, err := p.find(ctx, id)
	if err != nil {
		return nil, at, fmt.Errorf("bridge: finding workspace %s: %w", id, err)
	}
	p.mu.Lock()
	client, same := entry.client, entry.at.Addr == at.Addr && entry.at.Token == at.Token
	p.mu.Unlock()
	if same && !client.ended() {
		return client, at, nil
	}
	client, err = DialWith(ctx, at)
	return client, at, err
}

// Close ends every connection, and what is being dialled. Nothing can be had from the pool afterwards.
func (p *Pool) Close() {
	p.cancel(ErrPoolClosed)
	p.mu.Lock()
	for _, entry := range p.all {
		if entry.client != nil {
			_ = entry.client.Close()
		}
	}
	clear(p.all)
	p.mu.Unlock()
	p.work.Wait()
}
