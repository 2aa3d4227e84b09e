package caddymodule

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/agent"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// newStoreMetrics returns how long the store's operations take. What it answers about a record, such
// as that there is none, is no fault.
func newStoreMetrics() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "kalpana_store_duration_seconds",
		Help:    "Time of the store's operations, by outcome.",
		Buckets: []float64{.0005, .002, .01, .05, .25, 1, 5, 10},
	}, []string{"operation", "outcome"})
}

// meteredStore measures every operation of a store.
type meteredStore struct {
	OpenStore
	took *prometheus.HistogramVec
}

func (s meteredStore) done(ctx context.Context, operation string, start time.Time, err *error) {
	outcome := "ok"
	switch {
	case *err == nil:
	case errors.Is(*err, workspace.ErrConflict):
		outcome = "conflict"
	case errors.Is(*err, workspace.ErrNotFound), errors.Is(*err, identity.ErrNotFound), errors.Is(*err, workspace.ErrLimit), errors.Is(*err, identity.ErrExists),
		errors.Is(*err, agent.ErrTooLarge):
	case errors.Is(ctx.Err(), context.Canceled):
		outcome = "canceled"
	default:
		outcome = "error"
	}
	s.took.WithLabelValues(operation, outcome).Observe(time.Since(start).Seconds())
}

func (s meteredStore) CreateWorkspace(ctx context.Context, w *workspace.Workspace, limit int) (err error) {
	defer s.done(ctx, "create_workspace", time.Now(), &err)
	return s.OpenStore.CreateWorkspace(ctx, w, limit)
}

func (s meteredStore) Workspace(ctx context.Context, id workspace.ID) (got *workspace.Workspace, err error) {
	defer s.done(ctx, "workspace", time.Now(), &err)
	return s.OpenStore.Workspace(ctx, id)
}

func (s meteredStore) Workspaces(ctx context.Context, owner string) (got []*workspace.Workspace, err error) {
	defer s.done(ctx, "workspaces", time.Now(), &err)
	return s.OpenStore.Workspaces(ctx, owner)
}

func (s meteredStore) UpdateWorkspace(ctx context.Context, w *workspace.Workspace) (err error) {
	defer s.done(ctx, "update_workspace", time.Now(), &err)
	return s.OpenStore.UpdateWorkspace(ctx, w)
}

func (s meteredStore) DeleteWorkspace(ctx context.Context, id workspace.ID, revision int64) (err error) {
	defer s.done(ctx, "delete_workspace", time.Now(), &err)
	return s.OpenStore.DeleteWorkspace(ctx, id, revision)
}

func (s meteredStore) ClaimPort(ctx context.Context, port int, id workspace.ID) (got bool, err error) {
	defer s.done(ctx, "claim_port", time.Now(), &err)
	return s.OpenStore.ClaimPort(ctx, port, id)
}

func (s meteredStore) ReleasePorts(ctx context.Context, id workspace.ID, ports ...int) (err error) {
	defer s.done(ctx, "release_ports", time.Now(), &err)
	return s.OpenStore.ReleasePorts(ctx, id, ports...)
}

func (s meteredStore) Ports(ctx context.Context) (got map[int]workspace.ID, err error) {
	defer s.done(ctx, "ports", time.Now(), &err)
	return s.OpenStore.Ports(ctx)
}

func (s meteredStore) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (got bool, err error) {
	defer s.done(ctx, "acquire_lease", time.Now(), &err)
	return s.OpenStore.AcquireLease(ctx, name, holder, now, until)
}

func (s meteredStore) ReleaseLease(ctx context.Context, name, holder string) (err error) {
	defer s.done(ctx, "release_lease", time.Now(), &err)
	return s.OpenStore.ReleaseLease(ctx, name, holder)
}

func (s meteredStore) Leases(ctx context.Context, prefix string, now time.Time) (got []orchestrator.Lease, err error) {
	defer s.done(ctx, "leases", time.Now(), &err)
	return s.OpenStore.Leases(ctx, prefix, now)
}

func (s meteredStore) CreatePerson(ctx context.Context, p identity.Person) (err error) {
	defer s.done(ctx, "create_person", time.Now(), &err)
	return s.OpenStore.CreatePerson(ctx, p)
}

func (s meteredStore) Person(ctx context.Context, id string) (got identity.Person, err error) {
	defer s.done(ctx, "person", time.Now(), &err)
	return s.OpenStore.Person(ctx, id)
}

func (s meteredStore) People(ctx context.Context) (got []identity.Person, err error) {
	defer s.done(ctx, "people", time.Now(), &err)
	return s.OpenStore.People(ctx)
}

func (s meteredStore) UpdatePerson(ctx context.Context, p *identity.Person) (err error) {
	defer s.done(ctx, "update_person", time.Now(), &err)
	return s.OpenStore.UpdatePerson(ctx, p)
}

func (s meteredStore) CreateAccount(ctx context.Context, a *identity.Account) (err error) {
	defer s.done(ctx, "create_account", time.Now(), &err)
	return s.OpenStore.CreateAccount(ctx, a)
}

func (s meteredStore) Account(ctx context.Context, provider, subject string) (got *identity.Account, err error) {
	defer s.done(ctx, "account", time.Now(), &err)
	return s.OpenStore.Account(ctx, provider, subject)
}

func (s meteredStore) Accounts(ctx context.Context, person string) (got []*identity.Account, err error) {
	defer s.done(ctx, "accounts", time.Now(), &err)
	return s.OpenStore.Accounts(ctx, person)
}

func (s meteredStore) UpdateAccount(ctx context.Context, a *identity.Account) (err error) {
	defer s.done(ctx, "update_account", time.Now(), &err)
	return s.OpenStore.UpdateAccount(ctx, a)
}

func (s meteredStore) DeleteAccount(ctx context.Context, provider, subject string) (err error) {
	defer s.done(ctx, "delete_account", time.Now(), &err)
	return s.OpenStore.DeleteAccount(ctx, provider, subject)
}

func (s meteredStore) CreateSession(ctx context.Context, session identity.Session) (err error) {
	defer s.done(ctx, "create_session", time.Now(), &err)
	return s.OpenStore.CreateSession(ctx, session)
}

func (s meteredStore) Session(ctx context.Context, hash string) (got identity.Session, err error) {
	defer s.done(ctx, "session", time.Now(), &err)
	return s.OpenStore.Session(ctx, hash)
}

func (s meteredStore) TouchSession(ctx context.Context, hash string, seen, expires time.Time) (err error) {
	defer s.done(ctx, "touch_session", time.Now(), &err)
	return s.OpenStore.TouchSession(ctx, hash, seen, expires)
}

func (s meteredStore) DeleteSession(ctx context.Context, hash string) (err error) {
	defer s.done(ctx, "delete_session", time.Now(), &err)
	return s.OpenStore.DeleteSession(ctx, hash)
}

func (s meteredStore) Sessions(ctx context.Context, person string) (got []identity.Session, err error) {
	defer s.done(ctx, "sessions", time.Now(), &err)
	return s.OpenStore.Sessions(ctx, person)
}

func (s meteredStore) CreateToken(ctx context.Context, t identity.Token) (err error) {
	defer s.done(ctx, "create_token", time.Now(), &err)
	return s.OpenStore.CreateToken(ctx, t)
}

func (s meteredStore) Token(ctx context.Context, hash string) (got identity.Token, err error) {
	defer s.done(ctx, "token", time.Now(), &err)
	return s.OpenStore.Token(ctx, hash)
}

func (s meteredStore) Tokens(ctx context.Context, person string) (got []identity.Token, err error) {
	defer s.done(ctx, "tokens", time.Now(), &err)
	return s.OpenStore.Tokens(ctx, person)
}

func (s meteredStore) TouchToken(ctx context.Context, hash string, used time.Time) (err error) {
	defer s.done(ctx, "touch_token", time.Now(), &err)
	return s.OpenStore.TouchToken(ctx, hash, used)
}

func (s meteredStore) DeleteToken(ctx context.Context, person, id string) (err error) {
	defer s.done(ctx, "delete_token", time.Now(), &err)
	return s.OpenStore.DeleteToken(ctx, person, id)
}

func (s meteredStore) CreateTicket(ctx context.Context, t identity.Ticket) (err error) {
	defer s.done(ctx, "create_ticket", time.Now(), &err)
	return s.OpenStore.CreateTicket(ctx, t)
}

func (s meteredStore) TakeTicket(ctx context.Context, kind, hash string, now time.Time) (got identity.Ticket, err error) {
	defer s.done(ctx, "take_ticket", time.Now(), &err)
	return s.OpenStore.TakeTicket(ctx, kind, hash, now)
}

func (s meteredStore) Tickets(ctx context.Context, kind string) (got []identity.Ticket, err error) {
	defer s.done(ctx, "tickets", time.Now(), &err)
	return s.OpenStore.Tickets(ctx, kind)
}

func (s meteredStore) DeleteTicket(ctx context.Context, kind, hash string) (err error) {
	defer s.done(ctx, "delete_ticket", time.Now(), &err)
	return s.OpenStore.DeleteTicket(ctx, kind, hash)
}

func (s meteredStore) AppendAudit(ctx context.Context, events ...identity.AuditEvent) (err error) {
	defer s.done(ctx, "append_audit", time.Now(), &err)
	return s.OpenStore.AppendAudit(ctx, events...)
}

func (s meteredStore) Audit(ctx context.Context, q identity.AuditQuery) (got []identity.AuditEvent, err error) {
	defer s.done(ctx, "audit", time.Now(), &err)
	return s.OpenStore.Audit(ctx, q)
}

func (s meteredStore) PurgeAudit(ctx context.Context, before time.Time) (err error) {
	defer s.done(ctx, "purge_audit", time.Now(), &err)
	return s.OpenStore.PurgeAudit(ctx, before)
}

func (s meteredStore) AppendRevocation(ctx context.Context, r identity.Revocation) (err error) {
	defer s.done(ctx, "append_revocation", time.Now(), &err)
	return s.OpenStore.AppendRevocation(ctx, r)
}

func (s meteredStore) Revocations(ctx context.Context, since time.Time) (got []identity.Revocation, err error) {
	defer s.done(ctx, "revocations", time.Now(), &err)
	return s.OpenStore.Revocations(ctx, since)
}

func (s meteredStore) Purge(ctx context.Context, now time.Time, keep time.Duration) (err error) {
	defer s.done(ctx, "purge", time.Now(), &err)
	return s.OpenStore.Purge(ctx, now, keep)
}

func (s meteredStore) Settle(ctx context.Context, name, value string) (got string, err error) {
	defer s.done(ctx, "settle", time.Now(), &err)
	return s.OpenStore.Settle(ctx, name, value)
}

func (s meteredStore) PutModelKey(ctx context.Context, k identity.ModelKey) (err error) {
	defer s.done(ctx, "put_model_key", time.Now(), &err)
	return s.OpenStore.PutModelKey(ctx, k)
}

func (s meteredStore) ModelKey(ctx context.Context, person string) (got identity.ModelKey, err error) {
	defer s.done(ctx, "model_key", time.Now(), &err)
	return s.OpenStore.ModelKey(ctx, person)
}

func (s meteredStore) ModelKeys(ctx context.Context) (got []identity.ModelKey, err error) {
	defer s.done(ctx, "model_keys", time.Now(), &err)
	return s.OpenStore.ModelKeys(ctx)
}

func (s meteredStore) ResealModelKey(ctx context.Context, person string, from, to []byte) (err error) {
	defer s.done(ctx, "reseal_model_key", time.Now(), &err)
	return s.OpenStore.ResealModelKey(ctx, person, from, to)
}

func (s meteredStore) DeleteModelKey(ctx context.Context, person string) (err error) {
	defer s.done(ctx, "delete_model_key", time.Now(), &err)
	return s.OpenStore.DeleteModelKey(ctx, person)
}

func (s meteredStore) CreateChat(ctx context.Context, c *agent.Chat) (err error) {
	defer s.done(ctx, "create_chat", time.Now(), &err)
	return s.OpenStore.CreateChat(ctx, c)
}

func (s meteredStore) Chat(ctx context.Context, id string) (got *agent.Chat, err error) {
	defer s.done(ctx, "chat", time.Now(), &err)
	return s.OpenStore.Chat(ctx, id)
}

func (s meteredStore) Chats(ctx context.Context, id workspace.ID, person string) (got []*agent.Chat, err error) {
	defer s.done(ctx, "chats", time.Now(), &err)
	return s.OpenStore.Chats(ctx, id, person)
}

func (s meteredStore) RunningChats(ctx context.Context) (got []*agent.Chat, err error) {
	defer s.done(ctx, "running_chats", time.Now(), &err)
	return s.OpenStore.RunningChats(ctx)
}

func (s meteredStore) UpdateChat(ctx context.Context, c *agent.Chat) (err error) {
	defer s.done(ctx, "update_chat", time.Now(), &err)
	return s.OpenStore.UpdateChat(ctx, c)
}

func (s meteredStore) DeleteChat(ctx context.Context, id string) (err error) {
	defer s.done(ctx, "delete_chat", time.Now(), &err)
	return s.OpenStore.DeleteChat(ctx, id)
}

func (s meteredStore) PutMessage(ctx context.Context, m *agent.Message) (err error) {
	defer s.done(ctx, "put_message", time.Now(), &err)
	return s.OpenStore.PutMessage(ctx, m)
}

func (s meteredStore) Messages(ctx context.Context, chat string) (got []*agent.Message, err error) {
	defer s.done(ctx, "messages", time.Now(), &err)
	return s.OpenStore.Messages(ctx, chat)
}

func (s meteredStore) CutMessages(ctx context.Context, chat string, from int64) (err error) {
	defer s.done(ctx, "cut_messages", time.Now(), &err)
	return s.OpenStore.CutMessages(ctx, chat, from)
}

func (s meteredStore) HoldBudget(ctx context.Context, hold string, bounds []budget.Bound, amount budget.Amount, now, until time.Time) (reached int, err error) {
	defer s.done(ctx, "hold_budget", time.Now(), &err)
	return s.OpenStore.HoldBudget(ctx, hold, bounds, amount, now, until)
}

func (s meteredStore) SettleBudget(ctx context.Context, b budget.Settlement) (err error) {
	defer s.done(ctx, "settle_budget", time.Now(), &err)
	return s.OpenStore.SettleBudget(ctx, b)
}

func (s meteredStore) BudgetCounts(ctx context.Context, counters []budget.Counter, now time.Time) (got []budget.Count, err error) {
	defer s.done(ctx, "budget_counts", time.Now(), &err)
	return s.OpenStore.BudgetCounts(ctx, counters, now)
}

func (s meteredStore) Usage(ctx context.Context, q budget.UsageQuery) (got []budget.Usage, err error) {
	defer s.done(ctx, "usage", time.Now(), &err)
	return s.OpenStore.Usage(ctx, q)
}
