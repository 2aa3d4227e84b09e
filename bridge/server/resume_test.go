package server

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestReconnect_WhatRunsIsFoundAgainByItsID(t *testing.T) {
	c := start(t, "serve")
	first := c.dial()
	command := started(t, first, `echo before; while [ ! -e go ]; do sleep 0.01; done; echo after`)
	terminal := terminalOf(t, first, bridge.CreateTerminalParams{Argv: []string{"bash", "--norc"}, Env: []string{"PS1=$ "}})
	screen := c.look(terminal)
	screen.keys("A=kept; echo re''ady\n")
	screen.shows("ready\r\n")
	if r, err := first.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: command, WaitSeconds: 30}); err != nil || r.Content != "before\n" {
		t.Fatalf("%+v, %v", r, err)
	}
	// The gateway goes away without a word.
	_ = screen.conn.NetConn().(*net.TCPConn).SetLinger(0)
	_ = screen.conn.NetConn().Close()
	_ = first.Close()

	second := c.dial()
	commands, err := second.ListCommands(t.Context())
	if err != nil || len(commands.Commands) != 1 || commands.Commands[0].ID != command || !commands.Commands[0].Running {
		t.Fatalf("%+v, %v", commands, err)
	}
	c.write("go", "")
	if text, code := printed(t, second, command); text != "before\nafter\n" || code != 0 {
		t.Errorf("%q, %d", text, code)
	}
	terminals, err := second.ListTerminals(t.Context())
	if err != nil || len(terminals.Terminals) != 1 || terminals.Terminals[0].ID != terminal {
		t.Fatalf("%+v, %v", terminals, err)
	}
	again := c.look(terminal)
	again.shows("ready\r\n") // replayed
	again.keys("echo still $A\n")
	again.shows("still kept\r\n")
}

func TestReconnect_TwoGatewaysWorkAtOnce(t *testing.T) {
	c := start(t, "serve")
	one, two := c.dial(), c.dial()
	command := started(t, one, `while [ ! -e go ]; do sleep 0.01; done; echo done`)
	terminal := terminalOf(t, two, bridge.CreateTerminalParams{Argv: []string{"bash", "--norc"}, Env: []string{"PS1=$ "}})
	ones, twos := c.look(terminal), c.look(terminal)
	ones.keys("echo from o''ne\n")
	twos.shows("from one\r\n")
	twos.keys("echo from t''wo\n")
	ones.shows("from two\r\n")
	w, err := one.WriteFile(t.Context(), bridge.WriteFileParams{Path: "shared.txt", Content: "one\n"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := two.EditFile(t.Context(), bridge.EditFileParams{Path: "shared.txt", Edits: []bridge.Edit{{Old: "one", New: "two"}}, IfVersion: w.Version}); err != nil {
		t.Fatal(err)
	}
	if _, err := one.WriteFile(t.Context(), bridge.WriteFileParams{Path: "shared.txt", Content: "lost", IfVersion: w.Version}); err == nil {
		t.Error("the other gateway's edit is overwritten")
	}
	_ = one.Close()
	c.write("go", "")
	if text, code := printed(t, two, command); text != "done\n" || code != 0 {
		t.Errorf("%q, %d", text, code)
	}
	twos.keys("echo still th''ere\n")
	twos.shows("still there\r\n")
}

func TestOpenTerminal_ShowsTakesKeysAndTellsTheEnd(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := terminalOf(t, cl, bridge.CreateTerminalParams{Argv: []string{"bash", "--norc"}, Env: []string{"PS1=$ "}})
	one, err := cl.OpenTerminal(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if err := one.Resize(bridge.TerminalSize{Cols: 91, Rows: 33}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(one, "stty size; exit 5\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(bufio.NewReader(one))
	var exit *bridge.ExitError
	if !errors.As(err, &exit) || exit.Code != 5 || !errors.Is(err, io.EOF) || !strings.Contains(string(all), "33 91\r\n") {
		t.Errorf("%q, %v", all, err)
	}
	eventually(t, "it is gone", func() bool {
		_, err := cl.OpenTerminal(t.Context(), id)
		return errors.Is(err, bridge.ErrNotFound)
	})
}
