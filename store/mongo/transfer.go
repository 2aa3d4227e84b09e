package mongo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/store/transfer"
	"github.com/kalpana-dev/kalpana/workspace"
)

// everything lists the collections but installation, which has the schema's document.
var everything = []string{
	workspaces, usedIDs, owners, ports, leases, people, accounts, sessions, tokens, tickets, revocations, audit,
	chats, messages, budgetCounters, agentUsage, modelKeys,
}

// exportWait is for all records, and for what is done with them.
const exportWait = 6 * time.Hour

func (d portDoc) transfer() transfer.Record {
	return transfer.Port{Port: d.Port, Workspace: d.Workspace}
}

func (d onlyID) transfer() transfer.Record { return transfer.UsedID{ID: workspace.ID(d.ID)} }

// Export implements transfer.Store.
func (s *Store) Export(ctx context.Context, yield func(transfer.Record) error) error {
	ctx, cancel := context.WithTimeout(ctx, exportWait)
	defer cancel()
	all, inOrder := bson.M{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}})
	for _, export := range []func() error{
		func() error {
			return each[workspaceDoc](ctx, s, workspaces, all, inOrder, any1[*workspace.Workspace](yield))
		},
		func() error {
			return each[onlyID](ctx, s, usedIDs, all, inOrder, func(id string) error { return yield(onlyID{id}.transfer()) })
		},
		func() error {
			return each[portDoc](ctx, s, ports, all, inOrder, func(d portDoc) error { return yield(d.transfer()) })
		},
		func() error { return each[personDoc](ctx, s, people, all, inOrder, any1[identity.Person](yield)) },
		func() error { return each[accountDoc](ctx, s, accounts, all, inOrder, any1[*identity.Account](yield)) },
		func() error { return each[sessionDoc](ctx, s, sessions, all, inOrder, any1[identity.Session](yield)) },
		func() error { return each[tokenDoc](ctx, s, tokens, all, inOrder, any1[identity.Token](yield)) },
		func() error { return each[ticketDoc](ctx, s, tickets, all, inOrder, any1[identity.Ticket](yield)) },
		func() error {
			return each[revocationDoc](ctx, s, revocations, all, inOrder, any1[identity.Revocation](yield))
		},
		func() error { return each[auditDoc](ctx, s, audit, all, inOrder, any1[identity.AuditEvent](yield)) },
		func() error { return each[chatDoc](ctx, s, chats, all, inOrder, any1[*agent.Chat](yield)) },
		func() error { return each[messageDoc](ctx, s, messages, all, inOrder, any1[*agent.Message](yield)) },
		func() error {
			return each[counterDoc](ctx, s, budgetCounters, all, inOrder, func(d counterDoc) error {
				return yield(transfer.BudgetCount{Counter: budget.Counter{Key: d.Key, Until: moment(d.EndsAt)}, Used: d.count(time.Time{}).Used})
			})
		},
		func() error { return each[usageDoc](ctx, s, agentUsage, all, inOrder, any1[budget.Usage](yield)) },
		func() error {
			return each[modelKeyDoc](ctx, s, modelKeys, all, inOrder, any1[identity.ModelKey](yield))
		},
		func() error {
			return each[settledDoc](ctx, s, installation, bson.M{"_id": bson.M{"$ne": schemaID}}, inOrder, func(d settledDoc) error {
				return yield(transfer.Setting{Name: strings.TrimPrefix(d.Name, settledPrefix), Value: d.Value})
			})
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
	mark, err := s.schema(ctx)
	if err != nil {
		return err
	}
	settled := bson.M{"_id": bson.M{"$ne": schemaID}}
	if !mark.Copying {
		for _, collection := range everything {
			if collection == leases || collection == owners {
				continue
			}
			found, err := s.exists(ctx, collection, bson.M{})
			if err != nil {
				return err
			}
			if found {
				return transfer.ErrNotEmpty
			}
		}
		if found, err := s.exists(ctx, installation, settled); err != nil || found {
			if err == nil {
				err = transfer.ErrNotEmpty
			}
			return err
		}
		if _, err := s.update(ctx, installation, bson.M{"_id": schemaID}, bson.M{"$set": bson.M{"copying": true}}); err != nil {
			return err
		}
	}
	for _, collection := range everything {
		if _, err := s.delete(ctx, collection, bson.M{}); err != nil {
			return err
		}
	}
	_, err = s.delete(ctx, installation, settled)
	return err
}

// Import implements transfer.Store.
func (s *Store) Import(ctx context.Context, records []transfer.Record) error {
	docs := map[string][]any{}
	places := map[string]bson.M{} // by owner, of this batch
	for _, r := range records {
		collection, doc, err := imported(r)
		if err != nil {
			return err
		}
		docs[collection] = append(docs[collection], doc)
		if w, ok := r.(*workspace.Workspace); ok {
			if places[w.Owner] == nil {
				places[w.Owner] = bson.M{}
			}
			places[w.Owner]["held."+string(w.ID)] = w.CreatedAt.UnixMicro()
		}
	}
	for collection, some := range docs {
		if err := s.insertNew(ctx, collection, some); err != nil {
			return err
		}
	}
	for owner, held := range places {
		if _, err := s.insert(ctx, owners, bson.M{"_id": owner, "count": 0, "held": bson.M{}}); err != nil {
			return err
		}
		if _, err := s.update(ctx, owners, bson.M{"_id": owner}, bson.M{"$set": held, "$inc": bson.M{"count": len(held)}}); err != nil {
			return err
		}
	}
	return nil
}

// imported returns the document of a record and its collection.
func imported(r transfer.Record) (collection string, doc any, err error) {
	switch v := r.(type) {
	case *workspace.Workspace:
		collection = workspaces
		doc, err = docOf(v, v.Revision)
	case transfer.UsedID:
		collection, doc = usedIDs, onlyID{string(v.ID)}
	case transfer.Port:
		collection, doc = ports, portDoc{v.Port, v.Workspace}
	case identity.Person:
		collection = people
		doc, err = personDocOf(v)
	case *identity.Account:
		collection, doc = accounts, accountDocOf(v, v.Revision)
	case identity.Session:
		collection, doc = sessions, sessionDocOf(v)
	case identity.Token:
		collection, doc = tokens, tokenDocOf(v)
	case identity.Ticket:
		collection, doc = tickets, ticketDocOf(v)
	case identity.Revocation:
		collection, doc = revocations, revocationDocOf(v)
	case identity.AuditEvent:
		collection, doc = audit, auditDocOf(v)
	case *agent.Chat:
		collection, doc = chats, chatDocOf(v, v.Revision)
	case *agent.Message:
		collection, doc = messages, messageDocOf(v)
	case transfer.BudgetCount:
		counter := newCounter(v.Counter)
		counter.TakenCost, counter.TakenTokens = v.Used.Cost, v.Used.Tokens
		collection, doc = budgetCounters, counter
	case budget.Usage:
		collection, doc = agentUsage, usageDocOf(v)
	case identity.ModelKey:
		collection, doc = modelKeys, modelKeyDocOf(v)
	case transfer.Setting:
		collection, doc = installation, settledDoc{settledPrefix + v.Name, v.Value}
	default:
		err = fmt.Errorf("a record of the unknown type %T", r)
	}
	return collection, doc, err
}

// EndImport implements transfer.Store.
func (s *Store) EndImport(ctx context.Context) error {
	_, err := s.update(ctx, installation, bson.M{"_id": schemaID}, bson.M{"$set": bson.M{"copying": false}})
	return err
}
