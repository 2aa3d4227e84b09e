package agent

import (
	"time"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/uistream"
)

// metadata is that of an assistant's message (UIMessage.metadata).
type metadata struct {
	Model      string     `json:"model,omitempty"`
	Usage      *usage     `json:"usage,omitempty"`
	Cost       *float64   `json:"cost,omitempty"` // US dollars; absent where it is not known
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	DurationMs int64      `json:"durationMs,omitempty"`
	Left       *left      `json:"left,omitempty"`
}

// usage is model.Usage in tokens, with the cost in US dollars.
type usage struct {
	Input     int64   `json:"input"`
	Output    int64   `json:"output"`
	Cached    int64   `json:"cached"`
	Reasoning int64   `json:"reasoning"`
	Cost      float64 `json:"cost"`
}

// left is what may still be spent: absent where nothing bounds it.
type left struct {
	Cost   *float64 `json:"cost,omitempty"` // US dollars
	Tokens *int64   `json:"tokens,omitempty"`
}

func dollars(millionths int64) float64 { return float64(millionths) / 1e6 }

// showUsage tells what the message used and took until now.
func (r *Run) showUsage() {
	r.mu.Lock()
	u, began := r.turn.Usage, r.turn.Began
	took := r.turn.Working + r.cfg.Now().Sub(r.began)
	m := metadata{
		Model: r.info.ID, StartedAt: &began, DurationMs: max(1, took.Milliseconds()),
		Usage: &usage{Input: u.Input, Output: u.Output, Cached: u.Cached, Reasoning: u.Reasoning, Cost: dollars(u.Cost)},
	}
	if u.Priced {
		cost := dollars(u.Cost)
		m.Cost = &cost
	}
	if r.left != nil {
		l := left{}
		if n, bounded := r.left.Cost(); bounded {
			cost := dollars(n)
			l.Cost = &cost
		}
		if n, bounded := r.left.Tokens(); bounded {
			l.Tokens = &n
		}
		if l != (left{}) {
			m.Left = &l
		}
	}
	r.mu.Unlock()
	r.emit(uistream.Chunk{Type: uistream.MessageMetadata, MessageMetadata: m})
}

// used counts what a call of a model used.
func (r *Run) used(u model.Usage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn.Usage.Add(u)
}
