package caddymodule

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/bridgetest"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// A workspace that does not answer is tried again, one that is down is left alone, and closing ends all of it.
func TestLinks_TryWhatIsUpAndLeaveAloneWhatIsDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var dialled atomic.Int32
	at := func(*orchestrator.Route) bridge.Endpoint {
		return bridge.Endpoint{Addr: listener.Addr().String(), Token: "t", Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled.Add(1)
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				_ = conn.Close() // as a container does that is on its way out
			}
			return conn, err
		}}
	}
	l := newLinks(at, nil, nil, slog.New(slog.DiscardHandler))
	route := &orchestrator.Route{ID: "abcdefghij"}
	l.up(route)
	l.up(route) // which is kept already
	for deadline := time.Now().Add(30 * time.Second); dialled.Load() < 2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("dialled %d times", dialled.Load())
		}
	}
	if next, done := l.after(route, false); done || next != route {
		t.Error("one that is up is left alone")
	}
	if _, done := l.after(route, true); !done {
		t.Error("one that does not answer is tried for ever")
	}
	l.close()
	l.up(route)
	if _, kept := l.routes[route.ID]; kept {
		t.Error("kept after the end")
	}
}

// Whose commits they are is told to a workspace when it connects, and again when its owner has changed that.
func TestLinks_GreetAgainThoseThatAreMeant(t *testing.T) {
	const mine, others = "abcdefghij", "bcdefghijk"
	at := map[workspace.ID]*bridgetest.Workspace{mine: bridgetest.Start(t, mine), others: bridgetest.Start(t, others)}
	greeted := make(chan workspace.ID, 10)
	l := newLinks(func(r *orchestrator.Route) bridge.Endpoint {
		return bridge.Endpoint{Addr: at[r.ID].Addr, Token: bridgetest.Token, Dial: new(net.Dialer).DialContext}
	}, nil, func(ctx context.Context, id workspace.ID, c *bridge.Client) {
		if err := c.SetGitIdentity(ctx, bridge.GitIdentity{Name: "Asha", Email: "asha@example.com"}); err != nil {
			t.Error(err)
		}
		greeted <- id
	}, slog.New(slog.DiscardHandler))
	l.up(&orchestrator.Route{ID: mine})
	l.up(&orchestrator.Route{ID: others})
	if first, second := <-greeted, <-greeted; first == second {
		t.Errorf("%s was greeted twice", first)
	}
	meant := func(_ context.Context, id workspace.ID) bool { return id == mine }
	l.again(meant)
	if id := <-greeted; id != mine {
		t.Errorf("%s was greeted", id)
	}
	l.close()
	l.again(meant)
	if len(greeted) > 0 || len(l.linked) > 0 {
		t.Errorf("%d were greeted after the end, %d are linked", len(greeted), len(l.linked))
	}
}
