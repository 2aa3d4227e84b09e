package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/creack/pty"
	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

// echoing is a program that shows each key, and nothing of the terminal does. It says when it begins.
var echoing = []string{"sh", "-c", "stty raw -echo && echo ready && exec cat"}

// typed is the pause between two keys: each is the first after a rest, as a person's is.
const typed = 5 * time.Millisecond

// benchTerminal measures how long a key takes until it is shown.
func (b *bench) benchTerminal(ctx context.Context) ([]line, error) {
	b.quiet()
	i, w, _, err := b.workspace(ctx, b.image)
	if err != nil {
		return nil, err
	}
	defer b.quiet()
	keys := 500
	if b.short {
		keys = 100
	}
	l := line{
		Name: "terminal", Unit: "ms", Peer: "a local terminal", Bar: 1, More: 5,
		What: fmt.Sprintf("a key in a terminal of a workspace until its echo is there, from the console's WebSocket through gateway and bridge to\n"+
			"the container, against the same program on a pseudo-terminal of this machine; the median of %d keys", keys),
	}
	shown, err := i.client.terminal(ctx, w.ID)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, i.log.Tail())
	}
	defer shown.Close()
	local, kill, err := localTerminal(ctx)
	if err != nil {
		return nil, err
	}
	defer kill()
	measure := func(terminal io.ReadWriter, figures *[]float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			var all []float64
			for n := range keys {
				took, err := press(terminal, byte('a'+n%26))
				if err != nil {
					return "", err
				}
				all = append(all, float64(took.Nanoseconds())/1e6)
				if err := pause(ctx, typed); err != nil {
					return "", err
				}
			}
			*figures = append(*figures, median(all))
			return fmt.Sprintf("%.3f ms", median(all)), nil
		}
	}
	err = b.alternate(ctx, "terminal", end{"Kalpana", measure(shown, &l.Ours)}, end{"a local terminal", measure(local, &l.Theirs)})
	return []line{l}, err
}

// press sends a key and waits for its echo.
func press(terminal io.ReadWriter, key byte) (time.Duration, error) {
	one := []byte{key}
	began := time.Now()
	if _, err := terminal.Write(one); err != nil {
		return 0, err
	}
	n, err := terminal.Read(one)
	took := time.Since(began)
	if err == nil && (n != 1 || one[0] != key) {
		err = fmt.Errorf("the echo of %q is %q", key, one[:n])
	}
	return took, err
}

// begun reads until the program is ready for keys.
func begun(terminal io.Reader) error {
	var said strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(said.String(), "ready\n") {
		n, err := terminal.Read(one)
		if err != nil || said.Len() > 1000 {
			return errors.Join(fmt.Errorf("the terminal shows %q", said.String()), err)
		}
		said.Write(one[:n])
	}
	return nil
}

// localTerminal runs the program on a pseudo-terminal here.
func localTerminal(ctx context.Context) (device *os.File, kill func(), err error) {
	cmd := exec.CommandContext(ctx, echoing[0], echoing[1:]...)
	if device, err = pty.Start(cmd); err != nil {
		return nil, nil, err
	}
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = device.Close()
	}
	if err = begun(device); err != nil {
		kill()
	}
	return device, kill, err
}

// screen is a terminal of a workspace, as a page of the console has it.
type screen struct {
	*websocket.Conn
	left []byte // of the message that was read last
}

func (s *screen) Write(keys []byte) (int, error) {
	return len(keys), s.WriteMessage(websocket.BinaryMessage, keys)
}

func (s *screen) Read(p []byte) (n int, err error) {
	for len(s.left) == 0 {
		if err := s.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return 0, err
		}
		if _, s.left, err = s.ReadMessage(); err != nil {
			return 0, err
		}
	}
	n = copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

// terminal runs the program in a terminal of a workspace, which it looks into.
func (c *client) terminal(ctx context.Context, id string) (*screen, error) {
	calls, err := c.socket(ctx, "/api/workspaces/"+id+"/bridge")
	if err != nil {
		return nil, err
	}
	defer calls.Close()
	err = calls.WriteJSON(map[string]any{"jsonrpc": "2.0", "id": 1, "method": bridge.MethodCreateTerminal, "params": bridge.CreateTerminalParams{Argv: echoing}})
	if err != nil {
		return nil, err
	}
	var answer struct {
		Result bridge.CreateTerminalResult
		Error  json.RawMessage
	}
	if err := calls.ReadJSON(&answer); err != nil {
		return nil, err
	}
	if answer.Result.ID == "" {
		return nil, fmt.Errorf("no terminal: %.600s", answer.Error)
	}
	conn, err := c.socket(ctx, "/api/workspaces/"+id+"/terminals/"+answer.Result.ID)
	if err != nil {
		return nil, err
	}
	s := &screen{Conn: conn}
	if err := begun(s); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// socket opens a WebSocket of the console, as its own page does.
func (c *client) socket(ctx context.Context, path string) (*websocket.Conn, error) {
	dialer := websocket.Dialer{NetDialContext: toLoopback, HandshakeTimeout: 30 * time.Second}
	conn, resp, err := dialer.DialContext(ctx, strings.Replace(c.console, "http", "ws", 1)+path,
		http.Header{"Origin": {c.console}, "Cookie": {c.cookieHeader("kalpana.localhost")}})
	if err != nil && resp != nil {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		err = fmt.Errorf("%s: %w: %s %s", path, err, resp.Status, text)
	}
	return conn, err
}
