package identity

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base32"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Times that others rely on.
const (
	SessionIdle    = 24 * time.Hour     // a session ends this long after it was last seen
	SessionMax     = 7 * 24 * time.Hour // and this long after sign-in at the latest
	LinkLifetime   = 10 * time.Minute
	HandoffLife    = 30 * time.Second // of the code
	nonceLifetime  = 10 * time.Minute // of the cookie that waits for the code
	GrantLifetime  = 24 * time.Hour
	grantRenewal   = time.Hour // a grant older than this is renewed by the way
	pollInterval   = 2 * time.Second
	pollTimeout    = 10 * time.Second
	pollOverlap    = 30 * time.Second // how late a revocation may show in the store
	storeGrace     = 5 * time.Minute  // grants outlive the store's silence by this
	revocationKeep = SessionMax + time.Hour
)

// Config is what a Service is made of.
type Config struct {
	Store Store
	Hosts *workspace.Hosts
	Key   Key
	// ModelsAt is the origin of the provider that people's own keys are for: a key is never given to another one.
	ModelsAt string
	// Sealer encrypts providers' tokens for the store; without one they cannot be kept.
	Sealer *Sealer
	Log    *slog.Logger
	Now    func() time.Time // nil means time.Now
	// LinkLifetime is how long a sign-in link works; 0 means [LinkLifetime].
	LinkLifetime time.Duration
	// AuditKeep is how long events of the audit log are kept; 0 means [AuditKeep], less than 0 for
	// ever.
	AuditKeep time.Duration
	// ClientAddress returns the IP address that a request comes from, where a trusted proxy stands in
	// front; nil means the connection's.
	ClientAddress func(*http.Request) string
	// Providers vouch for people; their names differ from one another and from "link".
	Providers []Provider
	Access    Access
}

// Service signs people in and checks them.
type Service struct {
	cfg      Config
	grants   *authenticator
	nonces   *authenticator
	attempts cipher.AEAD
	revoked  atomic.Pointer[revocations]
	streams  streams
	audit    audit
	tokens   tokens
	afar     afar
	quotas   quotas

	onRevocation func(Revocation)

	mu       sync.Mutex // serialises updates of revoked
	lastRead atomic.Pointer[time.Time]
}

// New returns a Service. Grants are checked only once [Service.Load] has read the revocations.
func New(cfg Config) *Service {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.LinkLifetime == 0 {
		cfg.LinkLifetime = LinkLifetime
	}
	if cfg.AuditKeep == 0 {
		cfg.AuditKeep = AuditKeep
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		cfg:      cfg,
		grants:   newAuthenticator(cfg.Key.derive("grant")),
		nonces:   newAuthenticator(cfg.Key.derive("handoff nonce")),
		attempts: newCookieAEAD(cfg.Key.derive("login attempt")),
		audit:    audit{wake: make(chan struct{}, 1)},
	}
	s.revoked.Store(&revocations{})
	return s
}

// newID returns 26 characters of lower-case base32.
func newID() string {
	var random [16]byte
	_, _ = rand.Read(random[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random[:]))
}
