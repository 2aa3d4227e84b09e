package runtimetest

import (
	"context"
	"net"
	"sync"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Pause implements orchestrator.Runtime. What is paused takes connections and answers nothing.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	if err := r.call(ctx, Pause, r.owner(id)); err != nil {
		return err
	}
	return r.Freeze(id)
}

// Unpause implements orchestrator.Runtime.
func (r *Runtime) Unpause(ctx context.Context, id string) error {
	if err := r.call(ctx, Unpause, r.owner(id)); err != nil {
		return err
	}
	return r.Thaw(id)
}

// Freeze pauses a container as an operator does with docker pause.
func (r *Runtime) Freeze(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	switch {
	case c == nil:
		return orchestrator.ErrNoContainer
	case c.state == orchestrator.ContainerPaused:
		return nil
	case c.run == nil:
		return orchestrator.ErrNotRunning
	}
	c.run.freeze()
	c.become(orchestrator.ContainerPaused)
	r.emit(orchestrator.ContainerEvent{Container: id, Workspace: c.spec.Workspace, Paused: true})
	return nil
}

// Thaw lets a container go on as an operator does with docker unpause.
func (r *Runtime) Thaw(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	switch {
	case c == nil:
		return orchestrator.ErrNoContainer
	case c.run == nil:
		return orchestrator.ErrNotRunning
	}
	r.thaw(c)
	return nil
}

// thaw resumes a container if it is paused; the caller holds the lock.
func (r *Runtime) thaw(c *container) {
	if c.state != orchestrator.ContainerPaused {
		return
	}
	c.run.goOn()
	c.become(orchestrator.ContainerRunning)
	r.emit(orchestrator.ContainerEvent{Container: c.id, Workspace: c.spec.Workspace, Resumed: true})
}

func (n *run) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.thaw = make(chan struct{})
}

func (n *run) goOn() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.thaw)
	n.thaw = nil
}

// wait returns at once unless the container is paused: then when it goes on, ends, or gone is closed.
func (n *run) wait(gone <-chan struct{}) {
	n.mu.Lock()
	thaw := n.thaw
	n.mu.Unlock()
	if thaw == nil {
		return
	}
	select {
	case <-thaw:
	case <-n.over:
	case <-gone:
	}
}

// freezer gives connections that stand still while the container is paused.
type freezer struct {
	net.Listener
	run *run
}

// Accept implements net.Listener.
func (f freezer) Accept() (net.Conn, error) {
	conn, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &frozenConn{Conn: conn, run: f.run, gone: make(chan struct{})}, nil
}

type frozenConn struct {
	net.Conn
	run  *run
	once sync.Once
	gone chan struct{}
}

// Read implements net.Conn.
func (c *frozenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		c.run.wait(c.gone)
	}
	return n, err
}

// Write implements net.Conn.
func (c *frozenConn) Write(p []byte) (int, error) {
	c.run.wait(c.gone)
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *frozenConn) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}
