// Package transfer copies everything that one store keeps into another, and checks that it arrived.
package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// ErrNotEmpty says that the target of a copy has records.
var ErrNotEmpty = errors.New("the target has records already: name an empty database, or remove that one")

// Record is one of what a store keeps, as *workspace.Workspace, UsedID, Port, identity.Person,
// *identity.Account, identity.Session, identity.Token, identity.Ticket, identity.Revocation,
// identity.AuditEvent, *agent.Chat, *agent.Message, BudgetCount, budget.Usage, identity.ModelKey or Setting.
// Leases, and what calls of models under way have reserved, are not copied: they do not last.
type Record any

type (
	// UsedID is an id that a workspace has or had.
	UsedID struct{ ID workspace.ID }
	// Port is a port that a workspace has.
	Port struct {
		Port      int
		Workspace workspace.ID
	}
	// BudgetCount is what was used of a budget.
	BudgetCount struct {
		budget.Counter
		Used budget.Amount
	}
	// Setting is what a store's method Settle keeps.
	Setting struct{ Name, Value string }
)

// Store can be copied from and to.
type Store interface {
	// Export calls yield with every record, workspaces before their ports and chats, and chats before their
	// messages, until yield fails.
	Export(ctx context.Context, yield func(Record) error) error
	// BeginImport makes an empty store ready and marks it as unfinished, so that no gateway uses it.
	// What an import left that was cut off is removed. Any other record is ErrNotEmpty.
	BeginImport(ctx context.Context) error
	// Import adds records as they are.
	Import(ctx context.Context, records []Record) error
	// EndImport takes the mark away.
	EndImport(ctx context.Context) error
}

// Kinds are the kinds of records, as people read them.
var Kinds = []string{
	"workspaces", "used ids", "ports", "people", "accounts", "sessions", "API tokens", "tickets", "revocations", "audit events",
	"chats", "messages of chats", "budget counters", "records of use", "model keys", "settings",
}

func kindOf(r Record) (int, error) {
	switch r.(type) {
	case *workspace.Workspace:
		return 0, nil
	case UsedID:
		return 1, nil
	case Port:
		return 2, nil
	case identity.Person:
		return 3, nil
	case *identity.Account:
		return 4, nil
	case identity.Session:
		return 5, nil
	case identity.Token:
		return 6, nil
	case identity.Ticket:
		return 7, nil
	case identity.Revocation:
		return 8, nil
	case identity.AuditEvent:
		return 9, nil
	case *agent.Chat:
		return 10, nil
	case *agent.Message:
		return 11, nil
	case BudgetCount:
		return 12, nil
	case budget.Usage:
		return 13, nil
	case identity.ModelKey:
		return 14, nil
	case Setting:
		return 15, nil
	}
	return 0, fmt.Errorf("a record of the unknown type %T", r)
}

// Summary is how many records of each of [Kinds] there are, and what tells whether two stores hold the
// same ones, in whichever order.
type Summary struct {
	Counts []int
	sums   [][4]uint64
}

func newSummary() Summary {
	return Summary{Counts: make([]int, len(Kinds)), sums: make([][4]uint64, len(Kinds))}
}

func (s *Summary) add(r Record) error {
	kind, err := kindOf(r)
	if err != nil {
		return err
	}
	switch v := r.(type) { // stores do not tell no bytes from none
	case *identity.Account:
		account := *v
		account.Token = append([]byte{}, v.Token...)
		r = account
	case identity.Ticket:
		v.Payload = append([]byte{}, v.Payload...)
		r = v
	case identity.ModelKey:
		v.Sealed = append([]byte{}, v.Sealed...)
		r = v
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	for i := range s.sums[kind] {
		s.sums[kind][i] += binary.LittleEndian.Uint64(sum[8*i:])
	}
	s.Counts[kind]++
	return nil
}

// Summarize reads everything that a store keeps.
func Summarize(ctx context.Context, s Store) (Summary, error) {
	summary := newSummary()
	err := s.Export(ctx, summary.add)
	return summary, err
}

// What is written at once, at most but for one record.
const (
	batch      = 500     // records
	batchBytes = 8 << 20 // of messages and of what chats keep
)

// size is what a record may be large by.
func size(r Record) int {
	switch v := r.(type) {
	case *agent.Chat:
		return len(v.Data)
	case *agent.Message:
		return len(v.UI) + len(v.Model)
	}
	return 0
}

// Copy copies every record of from into to, which must be empty, and reads to again to compare. A copy
// that was cut off can be made again; until it has ended, no gateway opens its target.
//
// Nobody may write to either store meanwhile.
func Copy(ctx context.Context, from, to Store) (Summary, error) {
	if err := to.BeginImport(ctx); err != nil {
		return Summary{}, err
	}
	read := newSummary()
	var pending []Record
	bytes := 0 // of them
	flush := func() error {
		if len(pending) == 0 {
			return nil
		}
		err := to.Import(ctx, pending)
		clear(pending)
		pending, bytes = pending[:0], 0
		return err
	}
	err := from.Export(ctx, func(r Record) error {
		if err := read.add(r); err != nil {
			return err
		}
		if bytes+size(r) > batchBytes {
			if err := flush(); err != nil {
				return err
			}
		}
		bytes += size(r)
		if pending = append(pending, r); len(pending) < batch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return Summary{}, err
	}
	written, err := Summarize(ctx, to)
	if err != nil {
		return Summary{}, err
	}
	for kind := range Kinds {
		if written.Counts[kind] != read.Counts[kind] {
			return Summary{}, fmt.Errorf("the target has %d %s, but %d were copied: does a gateway run on one of the two?", written.Counts[kind], Kinds[kind], read.Counts[kind])
		}
		if written.sums[kind] != read.sums[kind] {
			return Summary{}, fmt.Errorf("the %s in the target differ from those that were copied: does a gateway run on one of the two?", Kinds[kind])
		}
	}
	return read, to.EndImport(ctx)
}
