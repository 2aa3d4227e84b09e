package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"

	"github.com/gorilla/websocket"
)

// WatchPath, on BridgePort, is a WebSocket that tells of changes below the folder that the parameter path names, by
// default the workspace folder: text messages, each a WatchBatch, of what happened within about a tenth of a second.
// Folders named .git and node_modules are not looked into, and symlinks are not followed. When the folder itself is
// gone, it is closed with 1000 and "gone". Like on CommandPath, a reader that takes nothing for ten seconds is gone.
const WatchPath = "/watch"

// Limits of WatchPath.
const (
	// MaxWatchFolders bounds the folders that are watched for one connection, MaxWatches the connections.
	MaxWatchFolders = 4096
	MaxWatches      = 16
	// MaxWatchChanges bounds the changes of a batch; more are a rescan.
	MaxWatchChanges = 1000
)

// WatchBatch is a message of WatchPath.
type WatchBatch struct {
	// Ready is in the first one: what happens from now on is told.
	Ready bool `json:"ready,omitempty"`
	// Partial: there are more folders than are watched. Of the others nothing is told.
	Partial bool `json:"partial,omitempty"`
	// Rescan: more has happened than could be told, so that everything may be different.
	Rescan bool `json:"rescan,omitempty"`
	// Changes are sorted by path, each path once.
	Changes []WatchChange `json:"changes,omitempty"`
}

// WatchChange is a file or folder that was made or changed, or, if Removed, is not there any more. Of a folder that is
// removed or made, what was or is in it may be told or not.
type WatchChange struct {
	// Path is relative to the workspace folder. Client replaces control characters by U+FFFD.
	Path    string `json:"path"`
	Removed bool   `json:"removed,omitempty"`
}

// Watch passes on what changes below a folder until ctx is done, the folder is gone, or show returns an error, which is
// then returned. The folder's end is ErrNotFound, as is a folder that is not there.
func (c *Client) Watch(ctx context.Context, path string, show func(WatchBatch) error) error {
	ws, err := c.openStream(ctx, WatchPath, url.Values{"path": {path}})
	if err != nil {
		return err
	}
	defer ws.Close()
	defer context.AfterFunc(ctx, func() { _ = ws.Close() })()
	alive := keepAlive(ws)
	for {
		_, message, err := ws.ReadMessage()
		var end *websocket.CloseError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &end) && end.Code == websocket.CloseNormalClosure:
			return ErrNotFound.With("the folder is gone")
		case err != nil:
			return fmt.Errorf("%w: %w", ErrClosed, err)
		}
		alive()
		var batch WatchBatch
		if err := json.Unmarshal(message, &batch); err != nil || len(batch.Changes) > MaxWatchChanges {
			return fmt.Errorf("%w: changes", ErrBadAnswer)
		}
		for i := range batch.Changes {
			change := &batch.Changes[i]
			if change.Path, err = checkPath(change.Path); err != nil {
				return fmt.Errorf("%w: %w", ErrBadAnswer, err)
			}
		}
		if err := show(batch); err != nil {
			return err
		}
	}
}
