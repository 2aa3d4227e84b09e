package checkpoint

import (
	"context"

	"github.com/kalpana-dev/kalpana/bridge"
)

// maxAnswer bounds an answer as JSON, in bytes, so that it fits into a frame.
const maxAnswer = bridge.MaxFrame - 128<<10

// Changes lists what the calls of a chat changed, by message.
func (s *Store) Changes(ctx context.Context, p bridge.CheckpointChangesParams) (*bridge.CheckpointChangesResult, error) {
	if err := checkNames(p.Chat); err != nil {
		return nil, err
	}
	want, err := s.cleanPath(p.Path)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	records, undone := s.ofChat(p.Chat)
	var turns []*turn
	byMessage := make(map[string]*turn)
	for _, r := range records {
		if r.Undo || p.Message != "" && r.Message != p.Message || p.Call != "" && r.Call != p.Call {
			continue
		}
		t := byMessage[r.Message]
		if t == nil {
			t = &turn{message: r.Message, files: make(map[string]*turnFile)}
			byMessage[r.Message] = t
			turns = append(turns, t)
		}
		t.at = max(t.at, r.At)
		for _, c := range r.Changes {
			if selects(c.Path, want) && !c.isFolder() {
				t.add(c, undone[r.ID][c.Path])
			}
		}
	}

	result := &bridge.CheckpointChangesResult{Turns: []bridge.CheckpointTurn{}}
	size, files := 0, 0
	for _, t := range turns {
		out := bridge.CheckpointTurn{Message: t.message, EndedAt: t.at, Files: []bridge.FileChange{}}
		for _, path := range t.order {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			f := t.files[path]
			c := f.left
			if !f.some {
				c = f.all
			}
			if c.Before == c.After {
				continue
			}
			shown := describe(c)
			shown.Undone = !f.some
			if size += bridge.JSONSize(shown.Path) + 160; size > maxAnswer || files == bridge.MaxCheckpointChanges {
				result.Truncated = true
				break
			}
			files++
			if p.Diffs {
				s.diff(&shown, c)
				if n := bridge.JSONSize(shown.Diff); size+n > maxAnswer*3/4 {
					shown.Diff = ""
				} else {
					size += n
				}
			}
			out.Files = append(out.Files, shown)
		}
		if len(out.Files) == 0 {
			continue
		}
		if len(result.Turns) == bridge.MaxCheckpointTurns {
			result.Truncated = true
			break
		}
		sortChanges(out.Files)
		result.Turns = append(result.Turns, out)
	}
	return result, nil
}

// turn is what the calls of a message changed.
type turn struct {
	message string
	at      int64
	files   map[string]*turnFile
	order   []string
}

// turnFile is what they changed of one file: in all, and in those calls that are not undone, if there are some.
type turnFile struct {
	all, left change
	some      bool
}

func (t *turn) add(c change, undone bool) {
	f := t.files[c.Path]
	if f == nil {
		f = &turnFile{all: c}
		t.files[c.Path] = f
		t.order = append(t.order, c.Path)
	}
	f.all.After = c.After
	if undone {
		return
	}
	if !f.some {
		f.left, f.some = c, true
	}
	f.left.After = c.After
}
