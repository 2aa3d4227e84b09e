package server

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

// screen is a viewer of a terminal.
type screen struct {
	t    testing.TB
	conn *websocket.Conn
	seen bytes.Buffer
}

func (c *container) look(id string) *screen {
	c.t.Helper()
	return &screen{t: c.t, conn: webSocket(c.t, c.BridgeAddr(), bridge.TerminalPath+"?id="+url.QueryEscape(id), nil)}
}

func (s *screen) keys(text string) {
	s.t.Helper()
	if err := s.conn.WriteMessage(websocket.BinaryMessage, []byte(text)); err != nil {
		s.t.Fatal(err)
	}
}

// shows reads until a text was shown.
func (s *screen) shows(text string) {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for from := 0; !bytes.Contains(s.seen.Bytes()[from:], []byte(text)); {
		from = max(s.seen.Len()-len(text), 0)
		_, b, err := s.conn.ReadMessage()
		if err != nil {
			s.t.Fatalf("it never shows %q after %d bytes: %v", text, s.seen.Len(), err)
		}
		s.seen.Write(b)
	}
}

// ends reads until the terminal ends the connection, and returns how.
func (s *screen) ends() *websocket.CloseError {
	s.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	for {
		_, b, err := s.conn.ReadMessage()
		var end *websocket.CloseError
		if errors.As(err, &end) {
			return end
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.seen.Write(b)
	}
}

func terminalOf(t *testing.T, cl *bridge.Client, p bridge.CreateTerminalParams) string {
	t.Helper()
	r, err := cl.CreateTerminal(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestTerminal_IsSharedReplayedAndResized(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := terminalOf(t, cl, bridge.CreateTerminalParams{Argv: []string{"bash", "--norc"}, Env: []string{"PS1=$ ", "WHO=me"}, Cols: 100, Rows: 30})
	one := c.look(id)
	one.keys("stty size; echo \"I am $WHO\"; tty >/dev/null && echo on a tty\n")
	one.shows("30 100\r\n")
	one.shows("I am me\r\n")
	one.shows("on a tty\r\n")
	two := c.look(id)
	two.shows("I am me\r\n") // replayed
	if err := two.conn.WriteJSON(bridge.TerminalSize{Cols: 66, Rows: 22}); err != nil {
		t.Fatal(err)
	}
	two.keys("stty size\n")
	one.shows("22 66\r\n")
	list, err := cl.ListTerminals(t.Context())
	if err != nil || len(list.Terminals) != 1 || list.Terminals[0].Viewers != 2 || list.Terminals[0].Command != "bash --norc" {
		t.Errorf("%+v, %v", list, err)
	}
	_ = one.conn.Close()
	_ = two.conn.Close()
	_ = cl.Close() // it survives all of them
	three := c.look(id)
	three.keys("echo still $WHO; exit 3\n")
	if end := three.ends(); end.Code != websocket.CloseNormalClosure || end.Text != "exited 3" || !strings.Contains(three.seen.String(), "still me\r\n") {
		t.Errorf("%v after %q", end, three.seen.String())
	}
	eventually(t, "it is gone", func() bool {
		list, err := c.dial().ListTerminals(t.Context())
		return err == nil && len(list.Terminals) == 0
	})
	if resp, _ := get(t, "GET", "http://"+c.BridgeAddr()+bridge.TerminalPath+"?id="+id, nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("one that has ended: %s", resp.Status)
	}
}

func TestTerminal_AViewerThatDoesNotReadHoldsUpNobody(t *testing.T) {
	t.Parallel()
	c := start(t, "serve")
	cl := c.dial()
	id := terminalOf(t, cl, bridge.CreateTerminalParams{Argv: []string{"bash", "--norc"}, Env: []string{"PS1=$ "}})
	slow, quick := c.look(id), c.look(id)
	quick.keys("head -c 12M /dev/zero | tr '\\0' x; echo; echo e''nd\n")
	quick.shows("end\r\n")
	if n := quick.seen.Len(); n < 12<<20 {
		t.Errorf("the quick one saw %d bytes", n)
	}
	if end := slow.ends(); end.Code != websocket.CloseTryAgainLater {
		t.Errorf("the slow one: %v", end)
	}
	again := c.look(id)
	again.shows("end\r\n")
	if n := again.seen.Len(); n > bridge.TerminalReplay+1024 {
		t.Errorf("%d bytes were replayed", n)
	}
}

func TestTerminal_CloseEndsWhatRunsInIt(t *testing.T) {
	t.Parallel()
	c := start(t, "serve")
	cl := c.dial()
	for name, script := range map[string]string{"heeds SIGHUP": "sleep 1000", "does not": `trap "" HUP; while :; do sleep 0.01; done`} {
		id := terminalOf(t, cl, bridge.CreateTerminalParams{Argv: []string{"bash", "-c", "echo pid $$; " + script}})
		s := c.look(id)
		s.shows("\n")
		if _, err := cl.CloseTerminal(t.Context(), bridge.CloseTerminalParams{ID: id}); err != nil {
			t.Fatal(err)
		}
		if end := s.ends(); !strings.HasPrefix(end.Text, "exited 1") {
			t.Errorf("%s: %v", name, end)
		}
		if _, err := cl.CloseTerminal(t.Context(), bridge.CloseTerminalParams{ID: id}); !errors.Is(err, bridge.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	}
}

func TestTerminal_NothingOutlivesTheBridge(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := terminalOf(t, cl, bridge.CreateTerminalParams{Argv: []string{"bash", "-c", `trap "" HUP TERM; echo $$ at work; while :; do sleep 0.01; done`}})
	s := c.look(id)
	s.shows("at work")
	pid, err := strconv.Atoi(strings.Fields(s.seen.String())[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ends", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
}

func TestTerminal_ParametersAreChecked(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	create := func(p bridge.CreateTerminalParams) error { _, err := cl.CreateTerminal(t.Context(), p); return err }
	for name, tc := range map[string]struct{ got, want error }{
		"no such program": {create(bridge.CreateTerminalParams{Argv: []string{"no-such-program"}}), bridge.ErrNotFound},
		"outside":         {create(bridge.CreateTerminalParams{Cwd: "../.."}), bridge.ErrOutside},
		"one side":        {create(bridge.CreateTerminalParams{Cols: 80}), bridge.ErrInvalid},
		"large":           {create(bridge.CreateTerminalParams{Cols: 80, Rows: bridge.MaxTerminalSide + 1}), bridge.ErrInvalid},
		"a bad variable":  {create(bridge.CreateTerminalParams{Env: []string{"=x"}}), bridge.ErrInvalid},
	} {
		if !errors.Is(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
		}
	}
	for range bridge.MaxTerminals {
		terminalOf(t, cl, bridge.CreateTerminalParams{Argv: []string{"sleep", "1000"}})
	}
	if err := create(bridge.CreateTerminalParams{}); !errors.Is(err, bridge.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	id := ""
	if list, err := cl.ListTerminals(t.Context()); err != nil || len(list.Terminals) != bridge.MaxTerminals {
		t.Fatalf("%+v, %v", list, err)
	} else {
		id = list.Terminals[0].ID
	}
	for name, message := range map[string]string{"no JSON": "80x24", "no size": `{"cols":0,"rows":10}`} {
		s := c.look(id)
		if err := s.conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if end := s.ends(); end.Code != websocket.CloseGoingAway {
			t.Errorf("%s: %v", name, end)
		}
	}
}
