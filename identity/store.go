package identity

import (
	"context"
	"errors"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// ErrNotFound says that a person, session or ticket does not exist, or no longer.
var ErrNotFound = errors.New("not found")

// ErrExists says that a person of that id exists already.
var ErrExists = errors.New("exists already")

// Role is what a person may do beyond their own workspaces.
type Role string

// The roles.
const (
	RoleAdmin  Role = "admin"
	RoleMember Role = "member"
)

// Person is someone who may sign in.
type Person struct {
	ID        string // 26 characters at most, of our making
	Name      string
	Role      Role
	CreatedAt time.Time
}

// Session is one browser that is signed in. The store never sees its token, only the hash.
type Session struct {
	Hash      string // lower-case hex SHA-256 of the token
	Person    string
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// Ticket is a secret that works once: a sign-in link or a hand-off code. The store sees its hash.
type Ticket struct {
	Hash      string // lower-case hex SHA-256 of the secret
	Kind      string // "link", "handoff"
	Payload   []byte // JSON, at most 4 KiB
	ExpiresAt time.Time
}

// Revocation ends grants. Every field that is set must match; an empty Revocation ends none.
type Revocation struct {
	At        time.Time
	Session   string // hash
	Person    string
	Workspace workspace.ID
}

// Store keeps people, sessions, tickets and revocations. All methods are safe for concurrent use,
// also by several processes on one store. Store faults wrap workspace.ErrStoreDown or
// workspace.ErrStorageFull.
type Store interface {
	CreatePerson(ctx context.Context, p Person) error // ErrExists
	Person(ctx context.Context, id string) (Person, error)
	People(ctx context.Context) ([]Person, error) // oldest first

	CreateSession(ctx context.Context, s Session) error
	Session(ctx context.Context, hash string) (Session, error) // ErrNotFound; expired ones may still be returned
	TouchSession(ctx context.Context, hash string, seen, expires time.Time) error
	DeleteSession(ctx context.Context, hash string) error // a missing one is no error

	CreateTicket(ctx context.Context, t Ticket) error
	// TakeTicket returns the ticket and deletes it in one step, so that of several takers one
	// gets it. ErrNotFound when it is missing, of another kind, or ended at now.
	TakeTicket(ctx context.Context, kind, hash string, now time.Time) (Ticket, error)

	// AppendRevocation adds r. Revocations are read by their time, with an overlap.
	AppendRevocation(ctx context.Context, r Revocation) error
	Revocations(ctx context.Context, since time.Time) ([]Revocation, error)

	// Purge deletes sessions and tickets that ended before now and revocations older than keep.
	Purge(ctx context.Context, now time.Time, keep time.Duration) error
}
