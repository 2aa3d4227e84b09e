package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestRunCommand_WhatWasCutIsInItsLog(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	const command = `i=0; while [ $i -lt 100000 ]; do echo "line $i"; i=$((i+1)); done; echo end >&2`
	r, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: command})
	if err != nil || !r.Truncated || r.Log == "" || !strings.Contains(r.Stdout, "bytes left out") || r.Stderr != "end\n" {
		t.Fatalf("%d bytes, %+v, %v", len(r.Stdout), r.Log, err)
	}
	whole, code := printed(t, c.dial(), r.Log) // from another connection
	if lines := strings.Count(whole, "\n"); lines != 100_001 || !strings.HasPrefix(whole, "line 0\nline 1\n") || !strings.Contains(whole, "\nline 54321\n") || code != 0 {
		t.Errorf("%d lines, code %d", lines, code)
	}
	if r, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: "echo short"}); err != nil || r.Log != "" {
		t.Errorf("a short one: %+v, %v", r, err)
	}
	if list, err := cl.ListCommands(t.Context()); err != nil || len(list.Commands) != 0 {
		t.Errorf("they are not background commands: %+v, %v", list, err)
	}
}

func TestRunCommandLive_ShowsOutputWhileTheCommandRuns(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	var shown bytes.Buffer
	r, err := cl.RunCommandLive(t.Context(), bridge.RunCommandParams{
		Command: `echo ready; while [ ! -e go ]; do sleep 0.01; done; echo more >&2; exit 4`,
	}, func(part []byte) error {
		shown.Write(part)
		if shown.String() == "ready\n" {
			c.write("go", "") // it only goes on when it was seen
		}
		return nil
	})
	if err != nil || r.ExitCode != 4 || r.Stdout != "ready\n" || r.Stderr != "more\n" || r.Log == "" {
		t.Errorf("%+v, %v", r, err)
	}
	if shown.String() != "ready\nmore\n" {
		t.Errorf("shown: %q", shown.String())
	}
	r, err = cl.RunCommandLive(t.Context(), bridge.RunCommandParams{Command: "seq 100000"}, func([]byte) error { return errors.New("enough") })
	if err != nil || r.ExitCode != 0 || !r.Truncated {
		t.Errorf("when nobody looks any more: %v", err)
	}
	if _, err := cl.RunCommandLive(t.Context(), bridge.RunCommandParams{Argv: []string{"no-such-program"}}, func([]byte) error { return nil }); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("no such program: %v", err)
	}
}

func TestRunCommand_ItsIDIsItsOwn(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := bridge.NewCommandID()
	if r, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: "echo hi", ID: id}); err != nil || r.Log != id {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, id := range map[string]string{"again": id, "short": "abc", "a path": "../../../etc/x", "long": strings.Repeat("a", 65), "capitals": "ABCDEFGHIJ"} {
		if _, err := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: "true", ID: id}); !errors.Is(err, bridge.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stopped := make(chan *bridge.RunCommandResult, 1)
	id = bridge.NewCommandID()
	go func() {
		r, _ := cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: "echo up; sleep 1000", ID: id})
		stopped <- r
	}()
	_, err := cl.FollowCommand(t.Context(), id, 0, func([]byte, int64) error { return errors.New("it runs") })
	if err == nil || err.Error() != "it runs" {
		t.Fatal(err)
	}
	if _, err := cl.StopCommand(t.Context(), bridge.StopCommandParams{ID: id}); err != nil {
		t.Fatal(err)
	}
	if r := <-stopped; r == nil || r.ExitCode != 143 || r.TimedOut {
		t.Errorf("%+v", r)
	}
}

func TestFollowCommand_ComesAgainWhereItWasCutOff(t *testing.T) {
	c := start(t, "serve")
	id := started(t, c.dial(), "seq 1000000; exit 9")
	var all bytes.Buffer
	cut := errors.New("cut off")
	for n := 0; ; n++ {
		cl := c.dial() // another gateway
		parts := 0
		code, err := cl.FollowCommand(t.Context(), id, int64(all.Len()), func(part []byte, at int64) error {
			if at != int64(all.Len()) {
				t.Errorf("a part at %d, not %d", at, all.Len())
			}
			all.Write(part)
			if parts++; parts == 20 && n < 3 {
				return cut
			}
			return nil
		})
		if errors.Is(err, cut) {
			continue
		}
		if err != nil || code != 9 || n != 3 {
			t.Errorf("code %d after %d cuts, %v", code, n, err)
		}
		break
	}
	if want := 6888896; all.Len() != want || !strings.HasSuffix(all.String(), "\n1000000\n") {
		t.Errorf("%d bytes, want %d", all.Len(), want)
	}
	var end string
	if code, err := c.dial().FollowCommand(t.Context(), id, -8, func(part []byte, at int64) error { end += fmt.Sprint(at, string(part)); return nil }); err != nil || code != 9 || end != "68888881000000\n" {
		t.Errorf("from the end: %q, %d, %v", end, code, err)
	}
	if _, err := c.dial().FollowCommand(t.Context(), id, 0, func([]byte, int64) error { return cut }); !errors.Is(err, cut) {
		t.Error(err)
	}
}

func TestFollowCommand_AReaderWhoDoesNotReadHoldsUpNobody(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := started(t, cl, "head -c 70M /dev/zero; echo end")
	slow := webSocket(t, c.BridgeAddr(), bridge.CommandPath+"?id="+id, nil) // and it never reads
	defer slow.Close()
	var size, gap int64
	code, err := cl.FollowCommand(t.Context(), id, bridge.MaxCommandLog-10, func(part []byte, at int64) error {
		if size > 0 && at > size {
			gap = at - size
		}
		size = at + int64(len(part))
		return nil
	})
	if err != nil || code != 0 || size != 70<<20+4 || gap == 0 {
		t.Errorf("%d bytes with a gap of %d, code %d, %v", size, gap, code, err)
	}
}

func TestFollowCommand_WhatIsNotThereIsNotFound(t *testing.T) {
	c := start(t, "serve")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.dial().FollowCommand(ctx, "doesnotexist", 0, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it is waited for: %v", err)
	}
	if resp, _ := get(t, "GET", "http://"+c.BridgeAddr()+bridge.CommandPath+"?id=x&offset=y", nil); resp.StatusCode != http.StatusBadRequest {
		t.Error(resp.Status)
	}
}
