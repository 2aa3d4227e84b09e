package identity

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// TokenPrefix begins every API token, so that people and secret scanners know one when they see it.
const TokenPrefix = "kalpana_"

// Lifetimes of a token.
const (
	TokenMin     = time.Hour
	TokenDefault = 30 * 24 * time.Hour
	TokenMax     = 365 * 24 * time.Hour
)

// MaxTokens is how many tokens a person may have at a time.
const MaxTokens = 100

// Scope is a part of what a person may do, which a token of theirs may do too.
type Scope string

// The scopes.
const (
	ScopeRead  Scope = "workspaces:read"  // list and read workspaces, and follow their states
	ScopeWrite Scope = "workspaces:write" // create, start, stop, rename and delete them
	ScopeOpen  Scope = "workspaces:open"  // reach their hosts
	ScopeAgent Scope = "agent"            // have the agent work in them, which reads, writes and runs what it is told to
	ScopeAdmin Scope = "admin"            // whatever an admin may, as long as the person is one
)

// Scopes lists every scope.
var Scopes = []Scope{ScopeRead, ScopeWrite, ScopeOpen, ScopeAgent, ScopeAdmin}

// The faults of tokens.
var (
	ErrToken        = errors.New("this token is unknown, expired or revoked; make another in the console's settings")
	ErrScope        = errors.New("this token lacks the scope that this needs; make one that has it in the console's settings")
	ErrTokenRequest = errors.New("a token has a name of 1 to 64 characters, one or more of the known scopes, and a lifetime of an hour to a year")
	ErrTokenLimit   = errors.New("you have as many tokens as you may have; revoke one that is no longer used")
	ErrNotAdmin     = errors.New("this is for admins alone; ask one of them")
)

const (
	tokenLength  = len(TokenPrefix) + secretLength
	tokenRecheck = time.Hour   // how long a verified token is good without a look at the store
	tokenTouch   = time.Minute // how exact the time of its last use is
	tokenCache   = 4096        // pairs of a token and a host in memory, at most
)

func (t Token) via() string {
	if t.ID == "" {
		return ""
	}
	return "token " + t.ID
}

// Has reports whether the token has a scope.
func (t Token) Has(scope Scope) bool {
	return slices.Contains(strings.Fields(t.Scopes), string(scope))
}

// CreateToken makes a token of the caller's and returns its text, which is shown this once. A token
// makes no tokens: that would let one outlive its end.
func (s *Service) CreateToken(ctx context.Context, caller Caller, name string, scopes []Scope, lifetime time.Duration) (string, Token, error) {
	name, err := workspace.CleanName(name)
	if err != nil || len(scopes) == 0 || lifetime < TokenMin || lifetime > TokenMax {
		return "", Token{}, ErrTokenRequest
	}
	var words []string
	for _, scope := range Scopes {
		if slices.Contains(scopes, scope) {
			words = append(words, string(scope))
		}
	}
	if slices.ContainsFunc(scopes, func(scope Scope) bool { return !slices.Contains(Scopes, scope) }) {
		return "", Token{}, ErrTokenRequest
	}
	if caller.Token != nil {
		return "", Token{}, ErrScope
	}
	if slices.Contains(scopes, ScopeAdmin) && caller.Person.Role != RoleAdmin {
		return "", Token{}, ErrNotAdmin
	}
	text := TokenPrefix + NewSecret()
	now := s.cfg.Now().UTC().Truncate(time.Microsecond)
	t := Token{
		ID: newID(), Hash: Hash(text), Person: caller.Person.ID, Name: name, Scopes: strings.Join(words, " "),
		CreatedAt: now, ExpiresAt: now.Add(lifetime),
	}
	err = s.exclusively(ctx, "tokens "+caller.Person.ID, func() error {
		tokens, err := s.Tokens(ctx, caller.Person.ID)
		if err == nil && len(tokens) >= MaxTokens {
			err = ErrTokenLimit
		}
		if err != nil {
			return err
		}
		return s.cfg.Store.CreateToken(ctx, t)
	})
	if err != nil {
		return "", Token{}, err
	}
	e := caller.Event(ActionTokenCreate, "")
	e.Detail = t.ID + " " + t.Name + ": " + t.Scopes
	s.Audit(ctx, e)
	return text, t, nil
}

// Tokens returns the tokens of a person that still work, newest first.
func (s *Service) Tokens(ctx context.Context, person string) ([]Token, error) {
	all, err := s.cfg.Store.Tokens(ctx, person)
	now := s.cfg.Now()
	return slices.DeleteFunc(all, func(t Token) bool { return !now.Before(t.ExpiresAt) }), err
}

// RevokeToken ends the caller's token of that id, and the streams that it holds, within seconds on
// every gateway. ErrNotFound where they have none.
func (s *Service) RevokeToken(ctx context.Context, caller Caller, id string) error {
	all, err := s.cfg.Store.Tokens(ctx, caller.Person.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(t Token) bool { return t.ID == id })
	if i < 0 {
		return ErrNotFound
	}
	if err := s.Revoke(ctx, Revocation{Session: all[i].Hash}); err != nil { // first: a hash never comes back
		return err
	}
	if err := s.cfg.Store.DeleteToken(ctx, caller.Person.ID, id); err != nil {
		return err
	}
	e := caller.Event(ActionTokenRevoke, "")
	e.Detail = id + " " + all[i].Name
	s.Audit(ctx, e)
	return nil
}

// BearerToken returns the API token in a request's Authorization header. What else may be there is
// none of ours: a proxy in front, or an app, has its own.
func BearerToken(r *http.Request) (string, bool) {
	for _, value := range r.Header["Authorization"] {
		scheme, text, _ := strings.Cut(value, " ")
		if text = strings.Trim(text, " "); strings.EqualFold(scheme, "Bearer") && strings.HasPrefix(text, TokenPrefix) {
			return text, true
		}
	}
	return "", false
}

// StripTokens removes the Authorization headers that carry an API token.
func StripTokens(h http.Header) {
	values, ok := h["Authorization"]
	if !ok {
		return
	}
	kept := slices.DeleteFunc(slices.Clone(values), func(value string) bool { return strings.Contains(value, TokenPrefix) })
	if len(kept) == 0 {
		delete(h, "Authorization")
		return
	}
	h["Authorization"] = kept
}

// AuthenticateToken returns who a token makes requests for, as the store knows them now. ErrToken
// when it is no good. The caller's session stands for the token: it ends with it.
func (s *Service) AuthenticateToken(r *http.Request, text string) (Caller, error) {
	ctx := WithClient(r.Context(), s.ClientOf(r))
	caller, err := s.verify(ctx, text)
	if err != nil {
		return Caller{}, err
	}
	s.used(ctx, caller, "")
	return caller, nil
}

// verify looks a token up. What has not a token's form costs nothing; what has costs two reads.
func (s *Service) verify(ctx context.Context, text string) (Caller, error) {
	t, err := s.lookUp(ctx, text)
	if errors.Is(err, ErrNotFound) {
		err = ErrToken
	}
	var person Person
	if err == nil {
		person, err = s.cfg.Store.Person(ctx, t.Person)
		if errors.Is(err, ErrNotFound) || (err == nil && person.Disabled) {
			err = ErrToken
		}
	}
	if errors.Is(err, ErrToken) {
		s.Audit(ctx, AuditEvent{Action: ActionTokenUse, Outcome: OutcomeRefused, Person: t.Person, Via: t.via(), Detail: "the token is unknown, expired or revoked"})
	}
	if err != nil {
		return Caller{}, err
	}
	return Caller{Person: person, Token: &t, Session: Session{
		Hash: t.Hash, Person: t.Person, CreatedAt: s.cfg.Now().UTC(), ExpiresAt: t.ExpiresAt, EndsAt: t.ExpiresAt,
	}}, nil
}

func (s *Service) lookUp(ctx context.Context, text string) (Token, error) {
	if len(text) != tokenLength || !strings.HasPrefix(text, TokenPrefix) {
		return Token{}, ErrToken
	}
	t, err := s.cfg.Store.Token(ctx, Hash(text))
	if err != nil {
		return Token{}, err
	}
	now := s.cfg.Now()
	if !now.Before(t.ExpiresAt) || s.revoked.Load().ends(Grant{Session: t.Hash, Person: t.Person, IssuedAt: now}) {
		return t, ErrToken
	}
	return t, nil
}

// TokenGrant returns the grant that the token opens host with. mayOpen tells whether a person may
// open it: workspace.ErrNotFound if not. Once all is verified it is remembered for an hour, so that
// a request on a running workspace reads memory alone; what ends a grant ends it too.
func (s *Service) TokenGrant(r *http.Request, text string, host workspace.Host, mayOpen func(ctx context.Context, person string) error) (Grant, error) {
	if len(text) != tokenLength {
		return Grant{}, ErrToken
	}
	now := s.cfg.Now()
	if s.silent(now) {
		return Grant{}, workspace.ErrStoreDown
	}
	key := tokenKey{Hash(text), host.Label()}
	if known := s.tokens.get(key); known != nil && now.Sub(known.grant.IssuedAt) < tokenRecheck &&
		now.Before(known.grant.EndsAt) && !s.revoked.Load().ends(known.grant) {
		s.usedAgain(known, now)
		return known.grant, nil
	}
	s.tokens.drop(key)
	ctx := WithClient(r.Context(), s.ClientOf(r))
	caller, err := s.verify(ctx, text)
	if err != nil {
		return Grant{}, err
	}
	if !caller.May(ScopeOpen) {
		err = ErrScope
	} else {
		err = mayOpen(ctx, caller.Person.ID)
	}
	if errors.Is(err, workspace.ErrNotFound) || errors.Is(err, ErrScope) {
		e := caller.Event(ActionRefusal, host.ID)
		e.Outcome, e.Detail = OutcomeRefused, err.Error()
		s.Audit(ctx, e)
	}
	if err != nil {
		return Grant{}, err
	}
	g := Grant{
		Session: caller.Token.Hash, Person: caller.Person.ID, Token: caller.Token.ID, Label: host.Label(),
		IssuedAt: now, EndsAt: caller.Token.ExpiresAt,
	}
	if s.revoked.Load().ends(g) { // meanwhile, or it is a clock's difference old
		return Grant{}, ErrToken
	}
	k := &knownToken{grant: g}
	k.used.Store(now.UnixMilli())
	s.tokens.put(key, k)
	s.used(ctx, caller, host.ID)
	return g, nil
}

// tokenKey names a token on a host.
type tokenKey struct{ hash, label string }

type knownToken struct {
	grant Grant
	used  atomic.Int64 // when its use was last noted, Unix milliseconds
}

// tokens is what is in memory of tokens.
type tokens struct {
	mu    sync.RWMutex
	known map[tokenKey]*knownToken

	using   sync.Mutex
	uses    map[string]time.Time   // by hash: what the store is still to be told
	audited map[tokenUse]time.Time // when the audit log was last told
}

// tokenUse is one use of a token as the audit log sees it.
type tokenUse struct {
	hash, address string
	workspace     workspace.ID
}

func (t *tokens) get(key tokenKey) *knownToken {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.known[key]
}

func (t *tokens) put(key tokenKey, k *knownToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil || len(t.known) >= tokenCache { // whoever is still there is looked up once more
		t.known = map[tokenKey]*knownToken{}
	}
	t.known[key] = k
}

func (t *tokens) drop(key tokenKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.known, key)
}

// note keeps the time of use for the store.
func (t *tokens) note(hash string, now time.Time) {
	t.using.Lock()
	defer t.using.Unlock()
	if t.uses == nil {
		t.uses = map[string]time.Time{}
	}
	t.uses[hash] = now
}

// isNews reports whether the audit log is to be told of a use: the same is told once an hour.
func (t *tokens) isNews(use tokenUse, now time.Time) bool {
	t.using.Lock()
	defer t.using.Unlock()
	if last, ok := t.audited[use]; ok && now.Sub(last) < tokenRecheck {
		return false
	}
	if t.audited == nil || len(t.audited) >= tokenCache {
		t.audited = map[tokenUse]time.Time{}
	}
	t.audited[use] = now
	return true
}

// used notes that a token was looked up and found good.
func (s *Service) used(ctx context.Context, caller Caller, id workspace.ID) {
	now := s.cfg.Now().UTC()
	if now.Sub(caller.Token.UsedAt) >= tokenTouch {
		s.tokens.note(caller.Token.Hash, now)
		s.audit.knock()
	}
	if s.tokens.isNews(tokenUse{caller.Token.Hash, clientFrom(ctx).Address, id}, now) {
		s.Audit(ctx, caller.Event(ActionTokenUse, id))
	}
}

// usedAgain notes the use of a token that is in memory.
func (s *Service) usedAgain(k *knownToken, now time.Time) {
	if last := k.used.Load(); now.UnixMilli()-last >= tokenTouch.Milliseconds() && k.used.CompareAndSwap(last, now.UnixMilli()) {
		s.tokens.note(k.grant.Session, now.UTC())
		s.audit.knock()
	}
}

// flushUses tells the store when tokens were last used.
func (s *Service) flushUses(ctx context.Context) error {
	t := &s.tokens
	t.using.Lock()
	uses := t.uses
	t.uses = nil
	t.using.Unlock()
	for hash, at := range uses {
		if err := s.cfg.Store.TouchToken(ctx, hash, at); err != nil {
			return err // the next use tells again
		}
	}
	return nil
}
