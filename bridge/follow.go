package bridge

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// MaxStreamMessage bounds a message of CommandPath, WatchPath and TunnelPath, in bytes.
const MaxStreamMessage = 256 << 10

// StreamPing is the pause between the container's pings on CommandPath and WatchPath; either side is gone for the other
// after three of them in silence.
const StreamPing = 20 * time.Second

// CommandGap says that what was printed before Offset is not kept any more.
type CommandGap struct {
	Offset int64 `json:"offset"`
}

// ValidCommandID reports whether a caller may name a command so.
func ValidCommandID(id string) bool {
	return len(id) >= 8 && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// NewCommandID returns an id for RunCommandParams.
func NewCommandID() string { return strings.ToLower(rand.Text()) }

// openStream opens a WebSocket of its own for reading.
func (c *Client) openStream(ctx context.Context, path string, query url.Values) (*websocket.Conn, error) {
	ws, err := c.at.webSocket(ctx, path+"?"+query.Encode())
	var status *statusError
	if errors.As(err, &status) {
		switch status.status {
		case http.StatusNotFound:
			return nil, ErrNotFound
		case http.StatusBadRequest:
			return nil, ErrInvalid.With("%s", path)
		case http.StatusServiceUnavailable:
			return nil, ErrBusy
		}
	}
	if err != nil {
		return nil, err
	}
	ws.SetReadLimit(MaxStreamMessage)
	return ws, nil
}

// FollowCommand passes on what a command prints, from offset on, until it has ended, and returns its exit code. show is
// called with each part and the offset of its first byte, which is past the end of the one before where something is
// not kept any more; an offset below zero is so many bytes before the end. An error of show ends it, and is returned. The parts are raw; they must not be kept. A command
// that is not known, or no longer, is ErrNotFound.
//
// Whoever is cut off may follow again from where the last part ended.
func (c *Client) FollowCommand(ctx context.Context, id string, offset int64, show func(part []byte, at int64) error) (exitCode int, err error) {
	ws, err := c.openStream(ctx, CommandPath, url.Values{"id": {id}, "offset": {strconv.FormatInt(offset, 10)}})
	if err != nil {
		return 0, err
	}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	alive := keepAlive(ws)
	at := max(offset, 0)
	for {
		kind, part, err := ws.ReadMessage()
		var end *websocket.CloseError
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.As(err, &end) && end.Code == websocket.CloseNormalClosure:
			var exit *ExitError
			if err := exitOf(end.Text); !errors.As(err, &exit) {
				return 0, err
			}
			return exit.Code, nil
		case err != nil:
			return 0, fmt.Errorf("%w: %w", ErrClosed, err)
		}
		alive()
		if kind == websocket.TextMessage {
			var gap CommandGap
			if json.Unmarshal(part, &gap) != nil || gap.Offset < 0 {
				return 0, fmt.Errorf("%w: a gap in a command's output", ErrBadAnswer)
			}
			at = gap.Offset
			continue
		}
		if err := show(part, at); err != nil {
			return 0, err
		}
		at += int64(len(part))
	}
}

// keepAlive ends the connection when nothing comes any more, pings included. The function that it returns is called
// for every message.
func keepAlive(ws *websocket.Conn) func() {
	alive := func() { _ = ws.SetReadDeadline(time.Now().Add(3 * StreamPing)) }
	alive()
	answer := ws.PingHandler()
	ws.SetPingHandler(func(data string) error { alive(); return answer(data) })
	return alive
}

// RunCommandLive is RunCommand that shows what the command prints while it runs: both outputs, as they come. show is
// called from one goroutine at a time, and not after RunCommandLive has returned. The command does not wait for it: what
// was not shown a second after its end is left out, and after an error of show nothing more is shown. The result is the
// same in any case.
func (c *Client) RunCommandLive(ctx context.Context, p RunCommandParams, show func(part []byte) error) (*RunCommandResult, error) {
	if p.ID == "" {
		p.ID = NewCommandID()
	}
	following, stop := context.WithCancel(ctx)
	defer stop()
	var shown sync.WaitGroup
	shown.Go(func() {
		_, _ = c.FollowCommand(following, p.ID, 0, func(part []byte, _ int64) error { return show(part) })
	})
	result, err := c.RunCommand(ctx, p)
	// What is on its way is waited for a moment; after an error there is nothing to wait for.
	if err == nil {
		defer time.AfterFunc(liveEnd, stop).Stop()
	} else {
		stop()
	}
	shown.Wait()
	return result, err
}

// liveEnd is how long RunCommandLive shows what is left after the command's end.
const liveEnd = time.Second
