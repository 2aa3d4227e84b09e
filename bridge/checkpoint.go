package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Methods of checkpoints: what a call of an agent changed in the workspace folder is found by a look at the folder
// before and after it, and can be undone. The repository's own .git is never touched, and what is kept for it is
// on the workspace's volume, outside the workspace folder.
const (
	MethodBeginCheckpoint   = "beginCheckpoint"
	MethodEndCheckpoint     = "endCheckpoint"
	MethodCheckpointChanges = "checkpointChanges"
	MethodUndoCheckpoints   = "undoCheckpoints"
	MethodForgetCheckpoints = "forgetCheckpoints"
)

// Limits of checkpoints.
const (
	// MaxCheckpointName bounds the names of chats, messages and calls, in bytes.
	MaxCheckpointName = 128
	// MaxCheckpointPaths bounds BeginCheckpointParams.Paths.
	MaxCheckpointPaths = 100
	// MaxCheckpointFile bounds the file that can be restored, in bytes. Of a larger one it is known that it was
	// changed.
	MaxCheckpointFile = 5 << 20
	// MaxCheckpointChanges bounds the files of one answer, MaxCheckpointTurns the turns.
	MaxCheckpointChanges = 1000
	MaxCheckpointTurns   = 200
	// MaxCheckpointDiff bounds one file's diff, in bytes.
	MaxCheckpointDiff = 64 << 10
)

// BeginCheckpointParams are the parameters of MethodBeginCheckpoint. Chat, message and call are names of the
// gateway's, one line of 1 to MaxCheckpointName bytes.
type BeginCheckpointParams struct {
	Chat    string `json:"chat"`
	Message string `json:"message"`
	Call    string `json:"call"`
	// Paths are the only ones that the call changes, ignored or not. Without any, it is the whole folder but for what
	// .gitignore files name, .git, node_modules, and folders of caches and virtual environments.
	Paths []string `json:"paths,omitempty"`
}

// BeginCheckpointResult is the answer to MethodBeginCheckpoint.
type BeginCheckpointResult struct {
	// ID names the checkpoint to MethodEndCheckpoint.
	ID string `json:"id"`
	// Files is how many were looked at, and NotKept of how many of them the content is not kept: what is done to
	// them cannot be undone.
	Files   int `json:"files"`
	NotKept int `json:"notKept"`
}

// EndCheckpointParams are the parameters of MethodEndCheckpoint.
type EndCheckpointParams struct {
	ID string `json:"id"`
	// Discard: the call changed nothing, whatever is found: it was refused.
	Discard bool `json:"discard,omitempty"`
	// Open: a command of the call goes on. What has changed when the next checkpoint of its message begins, or ends, is
	// the call's as well.
	Open bool `json:"open,omitempty"`
}

// EndCheckpointResult is the answer to MethodEndCheckpoint.
type EndCheckpointResult struct {
	// Changes are those of the call, by path, without diffs: at most MaxCheckpointChanges of Total.
	Changes []FileChange `json:"changes"`
	Total   int          `json:"total"`
}

// Values of FileChange.Status.
const (
	StatusAdded    = "added"
	StatusModified = "modified"
	StatusDeleted  = "deleted"
)

// FileChange is what happened to a file.
type FileChange struct {
	// Path is relative to the workspace folder. Client replaces control characters in it by U+FFFD.
	Path   string `json:"path"`
	Status string `json:"status"` // one of the Status constants
	// Diff is a unified diff with three lines around each change. It is empty where there is none to show: not asked
	// for, not text, only the mode changed, longer than MaxCheckpointDiff, or no room in the answer. Client makes it fit to be shown.
	Diff string `json:"diff,omitempty"`
	// Binary: one of its sides is not text, or a symlink.
	Binary bool `json:"binary,omitempty"`
	// NotKept: it cannot be undone, since the file was too large to be kept.
	NotKept bool `json:"notKept,omitempty"`
	// Undone: it has been undone.
	Undone bool `json:"undone,omitempty"`
}

// CheckpointChangesParams are the parameters of MethodCheckpointChanges.
type CheckpointChangesParams struct {
	Chat string `json:"chat"`
	// Message, Call and Path narrow the answer; empty ones do not.
	Message string `json:"message,omitempty"`
	Call    string `json:"call,omitempty"`
	Path    string `json:"path,omitempty"`
	// Diffs asks for them.
	Diffs bool `json:"diffs,omitempty"`
}

// CheckpointChangesResult is the answer to MethodCheckpointChanges.
type CheckpointChangesResult struct {
	// Turns are the messages that changed something, oldest first.
	Turns []CheckpointTurn `json:"turns"`
	// Truncated: there is more than the limits allow.
	Truncated bool `json:"truncated,omitempty"`
}

// CheckpointTurn is what the calls of one message came to.
type CheckpointTurn struct {
	Message string `json:"messageId"`
	// Files are sorted by path. What was changed and changed back is not among them.
	Files []FileChange `json:"files"`
	// EndedAt is the time of the last change in milliseconds since 1970, UTC.
	EndedAt int64 `json:"endedAt"`
}

// UndoCheckpointsParams are the parameters of MethodUndoCheckpoints: what is undone is what MethodCheckpointChanges
// would list. The ID of an earlier undo, as Call, undoes that one.
type UndoCheckpointsParams struct {
	Chat    string `json:"chat"`
	Message string `json:"message,omitempty"`
	Call    string `json:"call,omitempty"`
	Path    string `json:"path,omitempty"`
}

// UndoCheckpointsResult is the answer to MethodUndoCheckpoints.
type UndoCheckpointsResult struct {
	// ID names this undo, which is a call of its own that can be undone; empty where no file was changed by it.
	ID string `json:"id,omitempty"`
	// Files are sorted by path: at most MaxCheckpointChanges of Total.
	Files []UndoneFile `json:"files"`
	Total int          `json:"total"`
}

// Values of UndoneFile.Result.
const (
	// UndoRestored: the file is as it was before.
	UndoRestored = "restored"
	// UndoMerged: the agent's changes are out of it; what others changed since is still in it.
	UndoMerged = "merged"
	// UndoUnchanged: there was nothing to undo any more.
	UndoUnchanged = "unchanged"
	// UndoConflict: it was changed since, in the same places, and was left alone. Reason tells.
	UndoConflict = "conflict"
	// UndoFailed: it could not be written, or was never kept. Reason tells.
	UndoFailed = "failed"
)

// UndoneFile is what an undo came to for one file.
type UndoneFile struct {
	Path   string `json:"path"`
	Result string `json:"result"`           // one of the Undo constants
	Reason string `json:"reason,omitempty"` // a sentence for people
}

// ForgetCheckpointsParams are the parameters of MethodForgetCheckpoints.
type ForgetCheckpointsParams struct {
	Chat string `json:"chat"`
}

// ForgetCheckpointsResult is the answer to MethodForgetCheckpoints: nothing.
type ForgetCheckpointsResult struct{}

// checkpointTime is what a look at the whole folder may take.
const checkpointTime = time.Minute

// BeginCheckpoint looks at the folder before a call of an agent. ErrDiskFull: nothing can be kept; ErrTooLarge: the
// folder has more files than can be looked at.
func (c *Client) BeginCheckpoint(ctx context.Context, p BeginCheckpointParams) (*BeginCheckpointResult, error) {
	return ask(ctx, c, MethodBeginCheckpoint, checkpointTime, &p, func(r *BeginCheckpointResult) error {
		return errors.Join(checkCommandID(r.ID), notNegative(int64(r.Files)), notNegative(int64(r.NotKept)))
	})
}

// EndCheckpoint looks at the folder after the call, and keeps what it changed. ErrNotFound: the container was
// started anew since the checkpoint began.
func (c *Client) EndCheckpoint(ctx context.Context, p EndCheckpointParams) (*EndCheckpointResult, error) {
	return ask(ctx, c, MethodEndCheckpoint, checkpointTime, &p, func(r *EndCheckpointResult) error {
		return errors.Join(notNegative(int64(r.Total)), checkChanges(r.Changes))
	})
}

// CheckpointChanges lists what the calls of a chat changed.
func (c *Client) CheckpointChanges(ctx context.Context, p CheckpointChangesParams) (*CheckpointChangesResult, error) {
	return ask(ctx, c, MethodCheckpointChanges, checkpointTime, &p, func(r *CheckpointChangesResult) error {
		if len(r.Turns) > MaxCheckpointTurns {
			return fmt.Errorf("%d turns", len(r.Turns))
		}
		for i := range r.Turns {
			t := &r.Turns[i]
			if t.Message == "" || len(t.Message) > MaxCheckpointName || Printable(t.Message, MaxCheckpointName) != t.Message {
				return errors.New("no name of a message")
			}
			if err := errors.Join(notNegative(t.EndedAt), checkChanges(t.Files)); err != nil {
				return err
			}
		}
		return nil
	})
}

// UndoCheckpoints takes out of the files what the calls of a chat changed in them. What was changed since, by
// whomever, is merged with; where that cannot be done the file is left alone and the result says so.
func (c *Client) UndoCheckpoints(ctx context.Context, p UndoCheckpointsParams) (*UndoCheckpointsResult, error) {
	return ask(ctx, c, MethodUndoCheckpoints, 2*checkpointTime, &p, (*UndoCheckpointsResult).check)
}

// ForgetCheckpoints removes what is kept for a chat. A chat that is not known is no error.
func (c *Client) ForgetCheckpoints(ctx context.Context, p ForgetCheckpointsParams) error {
	_, err := ask(ctx, c, MethodForgetCheckpoints, 0, &p, func(*ForgetCheckpointsResult) error { return nil })
	return err
}

func checkChanges(changes []FileChange) error {
	if len(changes) > MaxCheckpointChanges {
		return fmt.Errorf("%d changes", len(changes))
	}
	for i := range changes {
		c := &changes[i]
		var err error
		if c.Path, err = checkPath(c.Path); err != nil {
			return err
		}
		switch c.Status {
		case StatusAdded, StatusModified, StatusDeleted:
		default:
			return errors.New("no such status of a file")
		}
		if len(c.Diff) > MaxCheckpointDiff {
			return errors.New("a diff above the limit")
		}
		c.Diff = printable(strings.ReplaceAll(c.Diff, "\r\n", "\n"), MaxCheckpointDiff, "\n\t")
	}
	return nil
}

func (r *UndoCheckpointsResult) check() error {
	if len(r.Files) > MaxCheckpointChanges {
		return fmt.Errorf("%d files", len(r.Files))
	}
	if r.ID != "" {
		if err := checkCommandID(r.ID); err != nil {
			return err
		}
	}
	for i := range r.Files {
		f := &r.Files[i]
		var err error
		if f.Path, err = checkPath(f.Path); err != nil {
			return err
		}
		f.Reason = Printable(f.Reason, maxErrorText)
		switch f.Result {
		case UndoRestored, UndoMerged, UndoUnchanged, UndoConflict, UndoFailed:
		default:
			return errors.New("no such result of an undo")
		}
	}
	return notNegative(int64(r.Total))
}
