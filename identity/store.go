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
	ID       string // 26 characters at most, of our making
	Name     string
	Email    string // verified by whoever vouches for the person, or ""
	GitName  string // for commits, as the person wants it, or ""; see [Person.Committer]
	GitEmail string // likewise, vouched for by nobody
	Role     Role
	Disabled bool // may not sign in, and has neither sessions nor tokens that work
	// ByRule says that a rule of the configuration let the person in, not an invitation, so that they
	// come in only as long as one does; AdminByRule, that the role comes from a rule and goes with it.
	ByRule      bool
	AdminByRule bool
	Quota       workspace.Quota // zero fields are the installation's
	Revision    int64           // counts the writes; 1 in a new record
	CreatedAt   time.Time
}

// Account is what a login provider vouches for: one of its users is this person.
type Account struct {
	Provider  string // the configured name of the login, e.g. "github"
	Subject   string // the provider's own id of the user, which never changes or comes back
	Person    string
	Login     string // the user's name there, for people to read
	Email     string // verified there, or ""
	Groups    string // organisations, teams and groups that the rules may name, one a line
	Token     []byte // sealed, or empty
	Revision  int64  // counts the writes, from 1
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Session is one browser that is signed in. The store never sees its token, only the hash.
type Session struct {
	Hash      string // lower-case hex SHA-256 of the token
	Person    string
	Provider  string // name of the login, "link" for a sign-in link
	Address   string // IP address that signed in
	UserAgent string // of the browser that signed in, cut to 256 bytes
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time // moves with use
	EndsAt    time.Time // never moves
}

// Token lets a program act for a person. The store never sees the secret, only the hash.
type Token struct {
	ID        string // names it in lists; no secret
	Hash      string // lower-case hex SHA-256 of the secret
	Person    string
	Name      string
	Scopes    string // separated by spaces
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // zero when it was never used
}

// ModelKey is a person's own key at the provider of language models.
type ModelKey struct {
	Person    string
	Sealed    []byte
	Last      string // the last four characters of the key, for the person to know it by
	UpdatedAt time.Time
}

// AuditEvent is one line of the audit log: who did what, from where, to which workspace.
type AuditEvent struct {
	ID        string // sorts by time
	At        time.Time
	Action    string // e.g. "sign-in"
	Outcome   string // "ok" or "refused"
	Person    string // who acted, or ""
	Via       string // "session", "token <id>", "link", or ""
	Workspace workspace.ID
	Address   string // IP address, or ""
	UserAgent string
	Detail    string // for people to read; capped and escaped
}

// AuditQuery selects events of the audit log. Empty fields select all.
type AuditQuery struct {
	Person    string
	Workspace workspace.ID
	Action    string
	Before    string // only events whose ID sorts before this one
	Limit     int    // at most so many
}

// Ticket is a secret that works once: a sign-in link or a hand-off code. The store sees its hash.
type Ticket struct {
	Hash      string // lower-case hex SHA-256 of the secret
	Kind      string // "link", "handoff", "invitation"
	Payload   []byte // JSON, at most 4 KiB
	ExpiresAt time.Time
}

// Revocation ends grants. Every field that is set must match; an empty Revocation ends none.
type Revocation struct {
	At        time.Time
	Session   string // hash
	Person    string
	Workspace workspace.ID
	Label     string // first label of a workspace host
}

// Store keeps people, sessions, tickets and revocations. All methods are safe for concurrent use,
// also by several processes on one store. Store faults wrap workspace.ErrStoreDown or
// workspace.ErrStorageFull.
type Store interface {
	CreatePerson(ctx context.Context, p Person) error // ErrExists
	Person(ctx context.Context, id string) (Person, error)
	People(ctx context.Context) ([]Person, error) // oldest first
	// UpdatePerson writes p where the stored revision is still p.Revision, and increments it; else
	// workspace.ErrConflict, or ErrNotFound. ID and CreatedAt never change.
	UpdatePerson(ctx context.Context, p *Person) error

	// CreateAccount inserts a with revision 1; ErrExists when the provider's user has one already.
	CreateAccount(ctx context.Context, a *Account) error
	Account(ctx context.Context, provider, subject string) (*Account, error) // ErrNotFound
	Accounts(ctx context.Context, person string) ([]*Account, error)         // all for "", oldest first
	// UpdateAccount writes a where the stored revision is still a.Revision, and increments it; else
	// workspace.ErrConflict, or ErrNotFound. Provider, Subject and CreatedAt never change.
	UpdateAccount(ctx context.Context, a *Account) error
	DeleteAccount(ctx context.Context, provider, subject string) error // a missing one is no error

	CreateSession(ctx context.Context, s Session) error
	Session(ctx context.Context, hash string) (Session, error) // ErrNotFound; expired ones may still be returned
	TouchSession(ctx context.Context, hash string, seen, expires time.Time) error
	DeleteSession(ctx context.Context, hash string) error           // a missing one is no error
	Sessions(ctx context.Context, person string) ([]Session, error) // newest first

	CreateToken(ctx context.Context, t Token) error                    // ErrExists
	Token(ctx context.Context, hash string) (Token, error)             // ErrNotFound; expired ones may still be returned
	Tokens(ctx context.Context, person string) ([]Token, error)        // all for "", newest first
	TouchToken(ctx context.Context, hash string, used time.Time) error // a missing one is no error
	DeleteToken(ctx context.Context, person, id string) error          // ErrNotFound

	PutModelKey(ctx context.Context, k ModelKey) error             // in the place of the person's earlier one
	ModelKey(ctx context.Context, person string) (ModelKey, error) // ErrNotFound
	ModelKeys(ctx context.Context) ([]ModelKey, error)
	// ResealModelKey changes Sealed where it is still from; else workspace.ErrConflict.
	ResealModelKey(ctx context.Context, person string, from, to []byte) error
	DeleteModelKey(ctx context.Context, person string) error // a missing one is no error

	CreateTicket(ctx context.Context, t Ticket) error
	// TakeTicket returns the ticket and deletes it in one step, so that of several takers one
	// gets it. ErrNotFound when it is missing, of another kind, or ended at now.
	TakeTicket(ctx context.Context, kind, hash string, now time.Time) (Ticket, error)

	Tickets(ctx context.Context, kind string) ([]Ticket, error) // those that last longest first
	DeleteTicket(ctx context.Context, kind, hash string) error  // a missing one is no error

	// AcquireLease and ReleaseLease are orchestrator.Store's.
	AcquireLease(ctx context.Context, name, holder string, now, until time.Time) (bool, error)
	ReleaseLease(ctx context.Context, name, holder string) error

	AppendAudit(ctx context.Context, events ...AuditEvent) error
	Audit(ctx context.Context, q AuditQuery) ([]AuditEvent, error) // newest first
	PurgeAudit(ctx context.Context, before time.Time) error

	// AppendRevocation adds r. Revocations are read by their time, with an overlap.
	AppendRevocation(ctx context.Context, r Revocation) error
	Revocations(ctx context.Context, since time.Time) ([]Revocation, error)

	// Purge deletes sessions and tickets that ended before now and revocations older than keep.
	Purge(ctx context.Context, now time.Time, keep time.Duration) error
}
