package runtimetest

import (
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/orchestrator"
)

// container is one container; its state is guarded by the runtime's lock.
type container struct {
	runtime *Runtime
	id      string
	spec    orchestrator.Spec
	token   string
	state   orchestrator.ContainerState
	run     *run
	last    *run // the one before

	before orchestrator.ContainerState // the state before this one, "" before a start …
	since  time.Time                   // … which began then
}

// become changes the state, and remembers the one before for an engine that lists late.
func (c *container) become(s orchestrator.ContainerState) {
	c.before, c.state, c.since = c.state, s, time.Now()
}

// run is what a container is between a start and its end.
type run struct {
	boot    Boot
	began   time.Time
	over    chan struct{} // it is ending
	closed  chan struct{} // its ports are free again
	servers []*http.Server
	serving sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
	thaw  chan struct{} // closed when it goes on; nil while it is not paused
}

func newContainer(r *Runtime, id string, spec orchestrator.Spec) *container {
	c := &container{runtime: r, id: id, spec: spec, state: orchestrator.ContainerCreated}
	for _, variable := range spec.Env {
		if token, ok := strings.CutPrefix(variable, bridge.EnvToken+"="); ok {
			c.token = token
		}
	}
	return c
}

// start opens the published ports.
func (c *container) start(boot Boot) error {
	now := &run{boot: boot, began: time.Now(), over: make(chan struct{}), closed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	for inside, outside := range c.spec.Ports {
		l, err := net.Listen("tcp", net.JoinHostPort(c.spec.Address, strconv.Itoa(outside)))
		if err != nil {
			now.end()
			return err
		}
		server := &http.Server{Handler: c.serve(now, inside), ReadHeaderTimeout: time.Minute, ConnState: now.track}
		now.servers = append(now.servers, server)
		now.serving.Go(func() { _ = server.Serve(freezer{l, now}) })
	}
	c.run, c.state, c.before = now, orchestrator.ContainerRunning, ""
	if boot.Exit {
		now.serving.Go(func() {
			select {
			case <-time.After(boot.After):
				go c.runtime.end(c.id, boot.Code, boot.OOM)
			case <-now.over:
			}
		})
	}
	return nil
}

// track knows every connection, also those that were taken over for a WebSocket.
func (n *run) track(conn net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch state {
	case http.StateNew:
		n.conns[conn] = struct{}{}
	case http.StateClosed:
		delete(n.conns, conn)
	default:
	}
}

func (n *run) end() {
	close(n.over)
	for _, server := range n.servers {
		_ = server.Close()
	}
	n.mu.Lock()
	for conn := range n.conns {
		_ = conn.Close()
	}
	n.mu.Unlock()
	n.serving.Wait()
	close(n.closed)
}

// shut ends the run, if there is one, without a word.
func (c *container) shut() {
	if c.run != nil {
		c.run.end()
		c.run = nil
	}
	c.state = orchestrator.ContainerExited
}

// serve is the container behind one of its published ports.
func (c *container) serve(now *run, inside int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header[bridge.TokenHeader]; len(got) != 1 || got[0] != c.token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if inside == bridge.IDEPort && r.URL.Path == bridge.ReadyPath {
			now.ready(w, r)
			return
		}
		c.runtime.record(c, inside, r)
		if app := c.runtime.App; app != nil {
			app.ServeHTTP(w, r)
			return
		}
		_, _ = w.Write([]byte("hello"))
	})
}

// ready holds the request as the bridge does.
func (n *run) ready(w http.ResponseWriter, r *http.Request) {
	if n.boot.Until != nil && !n.pass(r, n.boot.Until) {
		return
	}
	after := make(chan struct{})
	if !n.boot.Never && !n.boot.Exit {
		timer := time.AfterFunc(time.Until(n.began.Add(n.boot.After)), func() { close(after) })
		defer timer.Stop()
	}
	if !n.pass(r, after) {
		return
	}
	report := bridge.ReadyReport{Ready: n.boot.Failed == "", Error: n.boot.Failed, Log: n.boot.Log}
	if !report.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(report)
}

// pass waits for a channel, and reports whether the request still wants an answer.
func (n *run) pass(r *http.Request, open <-chan struct{}) bool {
	select {
	case <-open:
		return true
	case <-n.over:
		panic(http.ErrAbortHandler)
	case <-r.Context().Done():
		return false
	}
}
