package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/transfer"
	"github.com/kalpana-dev/kalpana/workspace"
)

// unfinishedCopy names the row of installation that is there while a copy is under way.
const unfinishedCopy = "unfinished copy"

// everything lists the tables, those that others refer to last.
var everything = []string{
	"messages", "chats", "budget_holds", "budget_counters", "agent_usage", "model_keys",
	"ports", "workspaces", "used_ids", "leases", "people", "accounts", "sessions", "tokens", "tickets", "revocations", "audit", "installation",
}

func (s *Store) refuseUnfinished(ctx context.Context) error {
	if s.unfinished {
		return nil
	}
	var n int
	if err := s.reader.QueryRowContext(ctx, "SELECT count(*) FROM installation WHERE name = ?", unfinishedCopy).Scan(&n); err != nil {
		return s.fault(ctx, err)
	}
	if n > 0 {
		return fmt.Errorf("%w: a copy into %s was cut off; run kalpana store copy again", workspace.ErrStoreDown, s.path)
	}
	return nil
}

// Export implements transfer.Store.
func (s *Store) Export(ctx context.Context, yield func(transfer.Record) error) error {
	for _, export := range []func() error{
		func() error {
			return each(ctx, s, any1[*workspace.Workspace](yield), readWorkspace, "SELECT "+workspaceColumns+" FROM workspaces")
		},
		func() error {
			return each(ctx, s, any1[transfer.UsedID](yield), func(scan func(...any) error) (u transfer.UsedID, err error) {
				err = scan(&u.ID)
				return u, err
			}, "SELECT id FROM used_ids")
		},
		func() error {
			return each(ctx, s, any1[transfer.Port](yield), readPort, "SELECT port, workspace FROM ports")
		},
		func() error {
			return each(ctx, s, any1[identity.Person](yield), readPerson, "SELECT "+personColumns+" FROM people")
		},
		func() error {
			return each(ctx, s, any1[*identity.Account](yield), readAccount, "SELECT "+accountColumns+" FROM accounts")
		},
		func() error {
			return each(ctx, s, any1[identity.Session](yield), readSession, "SELECT "+sessionColumns+" FROM sessions")
		},
		func() error {
			return each(ctx, s, any1[identity.Token](yield), readToken, "SELECT "+tokenColumns+" FROM tokens")
		},
		func() error {
			return each(ctx, s, any1[identity.Ticket](yield), readTicket, "SELECT "+ticketColumns+" FROM tickets")
		},
		func() error {
			return each(ctx, s, any1[identity.Revocation](yield), readRevocation, "SELECT "+revocationColumns+" FROM revocations ORDER BY number")
		},
		func() error {
			return each(ctx, s, any1[identity.AuditEvent](yield), readAudit, "SELECT "+auditColumns+" FROM audit")
		},
		func() error {
			return each(ctx, s, any1[*agent.Chat](yield), readChat, "SELECT "+chatColumns+" FROM chats")
		},
		func() error {
			return each(ctx, s, any1[*agent.Message](yield), readMessage, "SELECT "+messageColumns+" FROM messages")
		},
		func() error {
			return each(ctx, s, any1[transfer.BudgetCount](yield), func(scan func(...any) error) (c transfer.BudgetCount, err error) {
				err = scan(&c.Key, moment{&c.Until}, &c.Used.Cost, &c.Used.Tokens)
				return c, err
			}, "SELECT key, ends_at, cost, tokens FROM budget_counters")
		},
		func() error {
			return each(ctx, s, any1[budget.Usage](yield), readUsage, "SELECT "+usageColumns+" FROM agent_usage")
		},
		func() error {
			return each(ctx, s, any1[identity.ModelKey](yield), readModelKey, "SELECT "+modelKeyColumns+" FROM model_keys")
		},
		func() error {
			return each(ctx, s, any1[transfer.Setting](yield), func(scan func(...any) error) (v transfer.Setting, err error) {
				err = scan(&v.Name, &v.Value)
				return v, err
			}, "SELECT name, value FROM installation WHERE name <> ?", unfinishedCopy)
		},
	} {
		if err := export(); err != nil {
			return err
		}
	}
	return nil
}

// any1 lets a function of any record take those of one type.
func any1[T any](yield func(transfer.Record) error) func(T) error {
	return func(one T) error { return yield(one) }
}

// BeginImport implements transfer.Store.
func (s *Store) BeginImport(ctx context.Context) error {
	return s.write(ctx, func(tx *tx) error {
		var n int
		again, err := tx.find("SELECT 1 FROM installation WHERE name = ?", []any{unfinishedCopy}, []any{&n})
		if err != nil {
			return err
		}
		for _, table := range everything {
			if again || table == "leases" || table == "budget_holds" {
				if _, err := tx.exec("DELETE FROM " + table); err != nil {
					return err
				}
				continue
			}
			found, err := tx.find("SELECT 1 FROM "+table+" LIMIT 1", nil, []any{&n})
			if err != nil {
				return err
			}
			if found {
				return transfer.ErrNotEmpty
			}
		}
		_, err = tx.exec("INSERT INTO installation (name, value) VALUES (?, '')", unfinishedCopy)
		return err
	})
}

// Import implements transfer.Store.
func (s *Store) Import(ctx context.Context, records []transfer.Record) error {
	return s.write(ctx, func(tx *tx) error {
		tx.prepared = map[string]*sql.Stmt{}
		for _, r := range records {
			if err := tx.insertRecord(r); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) insertRecord(r transfer.Record) error {
	var err error
	switch v := r.(type) {
	case *workspace.Workspace:
		err = t.insertWorkspace(v, v.Revision)
	case transfer.UsedID:
		_, err = t.exec("INSERT INTO used_ids (id) VALUES (?)", v.ID)
	case transfer.Port:
		_, err = t.exec("INSERT INTO ports (port, workspace) VALUES (?, ?)", v.Port, v.Workspace)
	case identity.Person:
		err = t.insertPerson(v)
	case *identity.Account:
		err = t.insertAccount(v, v.Revision)
	case identity.Session:
		err = t.insertSession(v)
	case identity.Token:
		err = t.insertToken(v)
	case identity.Ticket:
		err = t.insertTicket(v)
	case identity.Revocation:
		err = t.insertRevocation(v)
	case identity.AuditEvent:
		err = t.insertEvent(v)
	case *agent.Chat:
		_, err = t.insertChat(v, v.Revision)
	case *agent.Message:
		err = t.putMessage(v)
	case transfer.BudgetCount:
		_, err = t.exec("INSERT INTO budget_counters (key, cost, tokens, ends_at) VALUES (?, ?, ?, ?)", v.Key, v.Used.Cost, v.Used.Tokens, v.Until.UnixMicro())
	case budget.Usage:
		err = t.addUsage(v)
	case identity.ModelKey:
		err = t.putModelKey(v)
	case transfer.Setting:
		_, err = t.exec("INSERT INTO installation (name, value) VALUES (?, ?)", v.Name, v.Value)
	default:
		err = fmt.Errorf("a record of the unknown type %T", r)
	}
	return err
}

// EndImport implements transfer.Store.
func (s *Store) EndImport(ctx context.Context) error {
	return s.write(ctx, func(tx *tx) error {
		_, err := tx.exec("DELETE FROM installation WHERE name = ?", unfinishedCopy)
		return err
	})
}
