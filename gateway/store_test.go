package gateway_test

import (
	"context"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// countingStore counts every call of the store.
type countingStore struct {
	*sqlite.Store
	calls atomic.Int64
}

var (
	_ orchestrator.Store = (*countingStore)(nil)
	_ identity.Store     = (*countingStore)(nil)
)

func (s *countingStore) counted() *sqlite.Store {
	s.calls.Add(1)
	return s.Store
}

func (s *countingStore) CreateWorkspace(ctx context.Context, w *workspace.Workspace, limit int) error {
	return s.counted().CreateWorkspace(ctx, w, limit)
}

func (s *countingStore) Workspace(ctx context.Context, id workspace.ID) (*workspace.Workspace, error) {
	return s.counted().Workspace(ctx, id)
}

func (s *countingStore) Workspaces(ctx context.Context, owner string) ([]*workspace.Workspace, error) {
	return s.counted().Workspaces(ctx, owner)
}

func (s *countingStore) UpdateWorkspace(ctx context.Context, w *workspace.Workspace) error {
	return s.counted().UpdateWorkspace(ctx, w)
}

func (s *countingStore) DeleteWorkspace(ctx context.Context, id workspace.ID, revision int64) error {
	return s.counted().DeleteWorkspace(ctx, id, revision)
}

func (s *countingStore) ClaimPort(ctx context.Context, port int, id workspace.ID) (bool, error) {
	return s.counted().ClaimPort(ctx, port, id)
}

func (s *countingStore) ReleasePorts(ctx context.Context, id workspace.ID, ports ...int) error {
	return s.counted().ReleasePorts(ctx, id, ports...)
}

func (s *countingStore) Ports(ctx context.Context) (map[int]workspace.ID, error) {
	return s.counted().Ports(ctx)
}

func (s *countingStore) AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	return s.counted().AcquireLease(ctx, name, holder, now, until)
}

func (s *countingStore) ReleaseLease(ctx context.Context, name, holder string) error {
	return s.counted().ReleaseLease(ctx, name, holder)
}

func (s *countingStore) Leases(ctx context.Context, prefix string, now time.Time) ([]orchestrator.Lease, error) {
	return s.counted().Leases(ctx, prefix, now)
}

func (s *countingStore) CreatePerson(ctx context.Context, p identity.Person) error {
	return s.counted().CreatePerson(ctx, p)
}

func (s *countingStore) Person(ctx context.Context, id string) (identity.Person, error) {
	return s.counted().Person(ctx, id)
}

func (s *countingStore) People(ctx context.Context) ([]identity.Person, error) {
	return s.counted().People(ctx)
}

func (s *countingStore) CreateSession(ctx context.Context, session identity.Session) error {
	return s.counted().CreateSession(ctx, session)
}

func (s *countingStore) Session(ctx context.Context, hash string) (identity.Session, error) {
	return s.counted().Session(ctx, hash)
}

func (s *countingStore) TouchSession(ctx context.Context, hash string, seen, expires time.Time) error {
	return s.counted().TouchSession(ctx, hash, seen, expires)
}

func (s *countingStore) DeleteSession(ctx context.Context, hash string) error {
	return s.counted().DeleteSession(ctx, hash)
}

func (s *countingStore) CreateTicket(ctx context.Context, t identity.Ticket) error {
	return s.counted().CreateTicket(ctx, t)
}

func (s *countingStore) TakeTicket(ctx context.Context, kind, hash string, now time.Time) (identity.Ticket, error) {
	return s.counted().TakeTicket(ctx, kind, hash, now)
}

func (s *countingStore) AppendRevocation(ctx context.Context, r identity.Revocation) error {
	return s.counted().AppendRevocation(ctx, r)
}

func (s *countingStore) Revocations(ctx context.Context, since time.Time) ([]identity.Revocation, error) {
	return s.counted().Revocations(ctx, since)
}

func (s *countingStore) Purge(ctx context.Context, now time.Time, keep time.Duration) error {
	return s.counted().Purge(ctx, now, keep)
}

func (s *countingStore) UpdatePerson(ctx context.Context, p *identity.Person) error {
	return s.counted().UpdatePerson(ctx, p)
}

func (s *countingStore) CreateAccount(ctx context.Context, a *identity.Account) error {
	return s.counted().CreateAccount(ctx, a)
}

func (s *countingStore) Account(ctx context.Context, provider, subject string) (*identity.Account, error) {
	return s.counted().Account(ctx, provider, subject)
}

func (s *countingStore) Accounts(ctx context.Context, person string) ([]*identity.Account, error) {
	return s.counted().Accounts(ctx, person)
}

func (s *countingStore) UpdateAccount(ctx context.Context, a *identity.Account) error {
	return s.counted().UpdateAccount(ctx, a)
}

func (s *countingStore) DeleteAccount(ctx context.Context, provider, subject string) error {
	return s.counted().DeleteAccount(ctx, provider, subject)
}

func (s *countingStore) Sessions(ctx context.Context, person string) ([]identity.Session, error) {
	return s.counted().Sessions(ctx, person)
}

func (s *countingStore) CreateToken(ctx context.Context, t identity.Token) error {
	return s.counted().CreateToken(ctx, t)
}

func (s *countingStore) Token(ctx context.Context, hash string) (identity.Token, error) {
	return s.counted().Token(ctx, hash)
}

func (s *countingStore) Tokens(ctx context.Context, person string) ([]identity.Token, error) {
	return s.counted().Tokens(ctx, person)
}

func (s *countingStore) TouchToken(ctx context.Context, hash string, used time.Time) error {
	return s.counted().TouchToken(ctx, hash, used)
}

func (s *countingStore) DeleteToken(ctx context.Context, person, id string) error {
	return s.counted().DeleteToken(ctx, person, id)
}

func (s *countingStore) Tickets(ctx context.Context, kind string) ([]identity.Ticket, error) {
	return s.counted().Tickets(ctx, kind)
}

func (s *countingStore) DeleteTicket(ctx context.Context, kind, hash string) error {
	return s.counted().DeleteTicket(ctx, kind, hash)
}

func (s *countingStore) AppendAudit(ctx context.Context, events ...identity.AuditEvent) error {
	return s.counted().AppendAudit(ctx, events...)
}

func (s *countingStore) Audit(ctx context.Context, q identity.AuditQuery) ([]identity.AuditEvent, error) {
	return s.counted().Audit(ctx, q)
}

func (s *countingStore) PurgeAudit(ctx context.Context, before time.Time) error {
	return s.counted().PurgeAudit(ctx, before)
}

func (s *countingStore) PutModelKey(ctx context.Context, k identity.ModelKey) error {
	return s.counted().PutModelKey(ctx, k)
}

func (s *countingStore) ModelKey(ctx context.Context, person string) (identity.ModelKey, error) {
	return s.counted().ModelKey(ctx, person)
}

func (s *countingStore) ModelKeys(ctx context.Context) ([]identity.ModelKey, error) {
	return s.counted().ModelKeys(ctx)
}

func (s *countingStore) ResealModelKey(ctx context.Context, person string, from, to []byte) error {
	return s.counted().ResealModelKey(ctx, person, from, to)
}

func (s *countingStore) DeleteModelKey(ctx context.Context, person string) error {
	return s.counted().DeleteModelKey(ctx, person)
}

// A method that is added to the store's interfaces would otherwise not be counted.
func TestCost_EveryCallOfTheStoreIsCounted(t *testing.T) {
	store := reflect.TypeFor[*countingStore]()
	for _, of := range []reflect.Type{reflect.TypeFor[orchestrator.Store](), reflect.TypeFor[identity.Store]()} {
		for i := range of.NumMethod() {
			m, ok := store.MethodByName(of.Method(i).Name)
			if !ok {
				t.Fatal(of.Method(i).Name)
			}
			if file, _ := runtime.FuncForPC(m.Func.Pointer()).FileLine(m.Func.Pointer()); !strings.HasSuffix(file, "store_test.go") {
				t.Errorf("%s is not counted", m.Name)
			}
		}
	}
}
