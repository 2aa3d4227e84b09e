package runtimetest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// What the test does to the engine from outside, and what it sees of it.

// Request is what reached a container, past the token check.
type Request struct {
	Workspace workspace.ID
	Container string
	Port      int // inside the container
	Method    string
	Host      string
	URI       string
	Header    http.Header
}

func (r *Runtime) record(c *container, port int, in *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, Request{
		Workspace: c.spec.Workspace, Container: c.id, Port: port,
		Method: in.Method, Host: in.Host, URI: in.RequestURI, Header: in.Header.Clone(),
	})
}

// Requests returns what has reached containers so far; readiness is not among it.
func (r *Runtime) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Calls returns how often a verb was called.
func (r *Runtime) Calls(v Verb) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[v]
}

// AllCalls returns how often any verb was called.
func (r *Runtime) AllCalls() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, calls := range r.calls {
		n += calls
	}
	return n
}

// List returns the containers, oldest first, without counting as a call.
func (r *Runtime) List() []orchestrator.Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := []orchestrator.Container{}
	for _, c := range r.containers {
		list = append(list, orchestrator.Container{ID: c.id, Workspace: c.spec.Workspace, State: c.state, Image: c.spec.Image})
	}
	slices.SortFunc(list, func(a, b orchestrator.Container) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// Of returns the containers of a workspace.
func (r *Runtime) Of(id workspace.ID) (list []orchestrator.Container) {
	for _, c := range r.List() {
		if c.Workspace == id {
			list = append(list, c)
		}
	}
	return list
}

// Spec returns what a container was made from.
func (r *Runtime) Spec(id string) orchestrator.Spec {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.containers[id].spec
}

// Volumes returns the names of the volumes.
func (r *Runtime) Volumes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.volumes))
}

// SetBoot sets how containers come up; nil means at once. It is called with the engine locked.
func (r *Runtime) SetBoot(boot func(workspace.ID) Boot) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.boot = boot
}

// SetBefore sets what is called before each verb takes effect. It may wait, and its error is the
// verb's.
func (r *Runtime) SetBefore(before func(context.Context, Verb, workspace.ID) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before = before
}

// ListLate lets Containers and State tell of a container as it was for a while after its end, a pause
// or the end of a pause was reported.
func (r *Runtime) ListLate(by time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listLate = by
}

// SetDown makes the engine unreachable, or reachable again. Containers run on.
func (r *Runtime) SetDown(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// SetBusy lets a program that is not ours hold a port.
func (r *Runtime) SetBusy(port int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy[port] = true
}

// SetLog sets what the containers of a workspace have printed.
func (r *Runtime) SetLog(id workspace.ID, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log[id] = text
}

// Kill ends a container from inside.
func (r *Runtime) Kill(id string, code int, oom bool) { r.end(id, code, oom) }

func (r *Runtime) end(id string, code int, oom bool) {
	r.mu.Lock()
	c := r.containers[id]
	if c == nil || c.run == nil {
		r.mu.Unlock()
		return
	}
	over := c.run
	r.thaw(c) // as the engine does
	c.run, c.last = nil, over
	c.become(orchestrator.ContainerExited)
	r.mu.Unlock()
	over.end() // its requests may want the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emit(orchestrator.ContainerEvent{Container: id, Workspace: c.spec.Workspace, Died: true, ExitCode: code, OOMKilled: oom})
}

// Vanish removes a container as an operator does with docker rm -f.
func (r *Runtime) Vanish(id string) {
	r.end(id, 137, false)
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.containers, id)
}

// Plant makes a container that no record knows.
func (r *Runtime) Plant(id workspace.ID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := "planted-" + string(id)
	r.containers[name] = newContainer(r, name, orchestrator.Spec{Workspace: id})
	return name
}

// SetHost sets what the engine's machine has; before that nobody can tell.
func (r *Runtime) SetHost(h orchestrator.Host) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host = &h
}

// SetDiskUsed sets what the container and the volume of a workspace take, or for less than 0 that it
// cannot be told.
func (r *Runtime) SetDiskUsed(id workspace.ID, used int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disk[id] = used
}

// SetForeign lets the quota of a workspace's volume count more, or less, than the volume takes: whoever owns a
// file may have it counted elsewhere.
func (r *Runtime) SetForeign(id workspace.ID, counted int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.foreign[id] = counted
}
