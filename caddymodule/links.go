package caddymodule

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// The pauses between attempts to reach the bridge of a workspace that is up, and for how long it is tried: what starts
// answers within seconds, what does not answer for longer is gone or is being looked at.
const (
	linkFirst  = 250 * time.Millisecond
	linkPause  = 5 * time.Second
	linkGiveUp = time.Minute
	// linkDials bounds those that are dialled at once: a gateway that starts finds all that run.
	linkDials = 16
)

// links keep a connection to the bridge of each workspace that is up, over which the container may ask this gateway
// for what handlers answer.
type links struct {
	handlers map[string]bridge.Handler
	greet    func(context.Context, workspace.ID, *bridge.Client) // whenever one has connected
	dial     func(*orchestrator.Route) bridge.Endpoint
	log      *slog.Logger
	dials    chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	routes map[workspace.ID]*orchestrator.Route // those that are kept, by their newest route
	linked map[workspace.ID]*bridge.Client      // those that are connected
}

func newLinks(dial func(*orchestrator.Route) bridge.Endpoint, handlers map[string]bridge.Handler, greet func(context.Context, workspace.ID, *bridge.Client), log *slog.Logger) *links {
	l := &links{dial: dial, handlers: handlers, greet: greet, log: log, dials: make(chan struct{}, linkDials), routes: map[workspace.ID]*orchestrator.Route{}, linked: map[workspace.ID]*bridge.Client{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// up keeps the connection to a workspace that starts or runs. It does not wait.
func (l *links) up(r *orchestrator.Route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return
	}
	_, kept := l.routes[r.ID]
	l.routes[r.ID] = r
	if !kept {
		l.work.Go(func() { l.keep(r) })
	}
}

// keep connects to r's workspace, and again when that ends, until it does not answer on its newest route.
func (l *links) keep(r *orchestrator.Route) {
	pause, since := linkFirst, time.Now()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			return
		}
		began := time.Now()
		err := bridge.Answer(l.ctx, l.bounded(l.dial(r)), r.ID, l.handlers, func(ctx context.Context, c *bridge.Client) {
			l.mu.Lock()
			l.linked[r.ID] = c
			l.mu.Unlock()
			l.greet(ctx, r.ID, c)
		})
		l.mu.Lock()
		delete(l.linked, r.ID)
		l.mu.Unlock()
		if time.Since(began) > linkPause { // it was a connection
			pause, since = linkFirst, time.Now()
		}
		next, done := l.after(r, time.Since(since) > linkGiveUp)
		if done {
			l.log.Debug("a workspace's connection for questions has ended", "workspace", r.ID, "error", err)
			return
		}
		if next != r {
			r, pause, since = next, linkFirst, time.Now()
		}
		timer.Reset(pause)
		pause = min(2*pause, linkPause)
	}
}

// again greets those that are connected, and that are meant, once more. It does not wait.
func (l *links) again(meant func(context.Context, workspace.ID) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return
	}
	for id, c := range l.linked {
		l.work.Go(func() {
			if meant(l.ctx, id) {
				l.greet(l.ctx, id, c)
			}
		})
	}
}

// bounded returns an endpoint that is not dialled while linkDials others are.
func (l *links) bounded(at bridge.Endpoint) bridge.Endpoint {
	dial := at.Dial
	at.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case l.dials <- struct{}{}:
			defer func() { <-l.dials }()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return dial(ctx, network, addr)
	}
	return at
}

// after returns the newest route of r's workspace, or that it is to be left alone: it is down, or tried was long
// enough.
func (l *links) after(r *orchestrator.Route, longEnough bool) (next *orchestrator.Route, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = l.routes[r.ID]
	if next == r && (r.Gone() || longEnough) {
		delete(l.routes, r.ID)
		return nil, true
	}
	return next, false
}

func (l *links) close() {
	l.mu.Lock()
	l.cancel()
	l.mu.Unlock()
	l.work.Wait()
}
