package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
)

// Terminal is one viewer of a terminal in a container: see TerminalPath. Closing it leaves the terminal as it is.
type Terminal struct {
	ws      *websocket.Conn
	alive   func()
	message []byte // what is left of one
	ended   error

	writing sync.Mutex
}

// ErrLagging: this viewer read too slowly, and was sent away. It may come again, for the end of what was shown.
var ErrLagging = errors.New("bridge: the viewer of a terminal was too slow")

// ExitError is how a terminal's program ended.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("the program ended with code %d", e.Code) }

// Is makes it an io.EOF.
func (e *ExitError) Is(target error) bool { return target == io.EOF }

// OpenTerminal comes to a terminal as one more viewer. ctx bounds the dialling only. One that is not there, or has
// ended, is ErrNotFound.
func (c *Client) OpenTerminal(ctx context.Context, id string) (*Terminal, error) {
	ws, err := c.openStream(ctx, TerminalPath, url.Values{"id": {id}})
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(maxTerminalMessage)
	return &Terminal{ws: ws, alive: keepAlive(ws)}, nil
}

// maxTerminalMessage bounds one message of a terminal: the queue of a viewer, and what is printed at once.
const maxTerminalMessage = 2 << 20

// Read reads what the terminal shows, which begins with a replay. The end of its program is an *ExitError, for which
// errors.Is says io.EOF. It is for one reader.
func (t *Terminal) Read(p []byte) (int, error) {
	for len(t.message) == 0 && t.ended == nil {
		_, message, err := t.ws.ReadMessage()
		var end *websocket.CloseError
		switch {
		case errors.As(err, &end) && end.Code == websocket.CloseNormalClosure:
			t.ended = exitOf(end.Text)
		case errors.As(err, &end) && end.Code == websocket.CloseTryAgainLater:
			t.ended = ErrLagging
		case err != nil:
			t.ended = fmt.Errorf("%w: %w", ErrClosed, err)
		default:
			t.alive()
			t.message = message
		}
	}
	if len(t.message) == 0 {
		return 0, t.ended
	}
	n := copy(p, t.message)
	t.message = t.message[n:]
	return n, nil
}

// exitOf reads the reason with which CommandPath and TerminalPath are closed.
func exitOf(reason string) error {
	text, ok := strings.CutPrefix(reason, "exited ")
	code, err := strconv.Atoi(text)
	if !ok || err != nil || checkExitCode(code) != nil {
		return fmt.Errorf("%w: the end of a program", ErrBadAnswer)
	}
	return &ExitError{code}
}

// Write sends keys.
func (t *Terminal) Write(p []byte) (int, error) {
	t.writing.Lock()
	defer t.writing.Unlock()
	for sent := 0; ; {
		n := min(len(p)-sent, maxKeys)
		if n == 0 {
			return sent, nil
		}
		if err := t.ws.WriteMessage(websocket.BinaryMessage, p[sent:sent+n]); err != nil {
			return sent, err
		}
		sent += n
	}
}

// maxKeys is how many keys go in one message.
const maxKeys = 32 << 10

// Resize says how large this viewer's window is.
func (t *Terminal) Resize(size TerminalSize) error {
	message, err := json.Marshal(size)
	if err != nil {
		return err
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.ws.WriteMessage(websocket.TextMessage, message)
}

// Close ends this viewer, and with it Read.
func (t *Terminal) Close() error { return t.ws.Close() }
