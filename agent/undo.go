package agent

import (
	"context"
	"fmt"

	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge"
)

// Turn is what one message of the assistant changed in the workspace.
type Turn struct {
	MessageID string `json:"messageId"`
	Files     []File `json:"files"`
}

// File is a file that was changed.
type File struct {
	Path    string `json:"path"`
	Status  string `json:"status"`         // "added", "modified" or "deleted"
	Diff    string `json:"diff,omitempty"` // unified; "" where there is none to show
	Binary  bool   `json:"binary,omitempty"`
	NotKept bool   `json:"notKept,omitempty"` // it cannot be undone
	Undone  bool   `json:"undone,omitempty"`
}

// Undone is what an undo came to.
type Undone struct {
	// ID names this undo, which can be undone as a call.
	ID    string       `json:"id,omitempty"`
	Files []UndoneFile `json:"files"`
}

// UndoneFile is what an undo came to for one file.
type UndoneFile struct {
	Path   string `json:"path"`
	Result string `json:"result"`           // "restored", "merged", "unchanged", "conflict" or "failed"
	Reason string `json:"reason,omitempty"` // a sentence for people
}

// Undo says what is to be undone: a chat's changes, narrowed to a message, a call and a path where they are not "".
type Undo struct {
	MessageID string
	CallID    string
	Path      string
}

// Changes returns what a chat changed in its workspace, oldest first, with diffs. It wakes the workspace if it sleeps.
func (s *Service) Changes(ctx context.Context, person, chat string) ([]Turn, error) {
	client, done, err := s.reach(ctx, person, chat)
	if err != nil {
		return nil, err
	}
	defer done()
	res, err := client.CheckpointChanges(ctx, bridge.CheckpointChangesParams{Chat: chat, Diffs: true})
	if err != nil {
		return nil, err
	}
	turns := make([]Turn, len(res.Turns))
	for i, t := range res.Turns {
		turns[i] = Turn{MessageID: t.Message, Files: make([]File, len(t.Files))}
		for j, f := range t.Files {
			turns[i].Files[j] = File{Path: f.Path, Status: f.Status, Diff: f.Diff, Binary: f.Binary, NotKept: f.NotKept, Undone: f.Undone}
		}
	}
	return turns, nil
}

// Undo takes changes of the agent out of the files, and leaves what others changed. It is ErrRunning while the agent
// is at work.
func (s *Service) Undo(ctx context.Context, person, chat string, u Undo) (undone *Undone, err error) {
	if len(u.MessageID) > bridge.MaxCheckpointName || len(u.CallID) > bridge.MaxCheckpointName || len(u.Path) > bridge.MaxPath {
		return nil, invalid("there is nothing of that name")
	}
	client, done, err := s.reach(ctx, person, chat)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := s.take(chat); err != nil { // until it is done, no run begins here
		return nil, err
	}
	defer s.giveUp(chat)
	c, err := s.chat(ctx, chat)
	if err != nil {
		return nil, err
	}
	if c.State == StateRunning && !s.gone(c.Chat, true) {
		return nil, ErrRunning
	}
	if m := s.config().Metrics; m != nil {
		scope := "turn"
		if u.Path != "" {
			scope = "file"
		}
		defer func() { m.Undo(scope, err) }()
	}
	res, err := client.UndoCheckpoints(ctx, bridge.UndoCheckpointsParams{Chat: chat, Message: u.MessageID, Call: u.CallID, Path: u.Path})
	if err != nil {
		return nil, err
	}
	undone = &Undone{ID: res.ID, Files: make([]UndoneFile, len(res.Files))}
	for i, f := range res.Files {
		undone.Files[i] = UndoneFile(f)
	}
	return undone, nil
}

// reach connects to the workspace of a person's chat, which is busy until done is called.
func (s *Service) reach(ctx context.Context, person, chat string) (client *bridge.Client, done func(), err error) {
	c, err := s.owned(ctx, person, chat)
	if err != nil {
		return nil, nil, err
	}
	cfg := s.config()
	done = cfg.Busy(c.Workspace)
	if client, err = cfg.Bridge(ctx, c.Workspace); err != nil {
		done()
		return nil, nil, fmt.Errorf("%w: %w", tools.ErrWorkspace, err)
	}
	return client, done, nil
}
