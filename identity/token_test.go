package identity_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// countedStore counts what is asked of it for tokens.
type countedStore struct {
	silentStore
	tokens, people, touches atomic.Int64
}

func (s *countedStore) Token(ctx context.Context, hash string) (identity.Token, error) {
	s.tokens.Add(1)
	return s.Store.Token(ctx, hash)
}

func (s *countedStore) Person(ctx context.Context, id string) (identity.Person, error) {
	s.people.Add(1)
	return s.Store.Person(ctx, id)
}

func (s *countedStore) TouchToken(ctx context.Context, hash string, at time.Time) error {
	s.touches.Add(1)
	return s.Store.TouchToken(ctx, hash, at)
}

// token makes a token of caller's for a day.
func (s *site) token(caller identity.Caller, scopes ...identity.Scope) (string, identity.Token) {
	s.t.Helper()
	text, token, err := s.CreateToken(context.Background(), caller, "ci", scopes, 24*time.Hour)
	if err != nil {
		s.t.Fatal(err)
	}
	return text, token
}

// admin returns the first admin, signed in.
func (s *site) admin() identity.Caller {
	s.t.Helper()
	admin, err := s.FirstAdmin(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return s.caller(admin)
}

func bearer(text string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	return r
}

// use returns what service makes of a token now.
func use(service *identity.Service, text string) error {
	_, err := service.AuthenticateToken(bearer(text), text)
	return err
}

// anybody may open any workspace.
func anybody(context.Context, string) error { return nil }

// open returns what service makes of a token on host.
func open(service *identity.Service, text string, host workspace.Host) error {
	_, err := service.TokenGrant(bearer(text), text, host, anybody)
	return err
}

// set writes a change of a person.
func (s *site) set(p identity.Person, change func(*identity.Person)) {
	s.t.Helper()
	change(&p)
	if err := s.store.UpdatePerson(context.Background(), &p); err != nil {
		s.t.Fatal(err)
	}
}

func TestToken_ActsForItsPersonUntilItExpires(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	text, token := s.token(s.caller(asha), identity.ScopeWrite, identity.ScopeRead)
	want := identity.Token{
		ID: token.ID, Hash: identity.Hash(text), Person: asha.ID, Name: "ci", Scopes: "workspaces:read workspaces:write",
		CreatedAt: s.clock.Now(), ExpiresAt: s.clock.Now().Add(24 * time.Hour),
	}
	if diff := cmp.Diff(want, token); diff != "" || len(text) != 51 || !strings.HasPrefix(text, "kalpana_") || len(token.ID) != 26 {
		t.Fatal(diff, text, token.ID)
	}
	stored, err := s.store.Tokens(t.Context(), asha.ID)
	if err != nil || len(stored) != 1 || strings.Contains(fmt.Sprint(stored), text[8:]) {
		t.Errorf("the store has %v, %v", stored, err)
	}
	caller, err := s.AuthenticateToken(bearer(text), text)
	if err != nil || caller.Person != asha || caller.Token == nil || caller.Via() != "token "+token.ID {
		t.Fatalf("%+v, %v", caller, err)
	}
	for scope, want := range map[identity.Scope]bool{identity.ScopeRead: true, identity.ScopeWrite: true, identity.ScopeOpen: false, identity.ScopeAdmin: false, "": false} {
		if caller.May(scope) != want {
			t.Errorf("May(%q) is %v", scope, !want)
		}
	}
	s.advance(24*time.Hour - time.Second)
	mustBe(t, "just before its end", use(s.Service, text), nil)
	s.advance(time.Second)
	mustBe(t, "at its end", use(s.Service, text), identity.ErrToken)
	if list, err := s.Tokens(t.Context(), asha.ID); err != nil || len(list) != 0 {
		t.Errorf("it is listed still: %v, %v", list, err)
	}
}

func TestToken_WhatHasNotItsFormCostsTheStoreNothing(t *testing.T) {
	s := newSite(t)
	store := &countedStore{silentStore: silentStore{Store: s.store}}
	cfg := s.config()
	cfg.Store = store
	service := s.service(cfg)
	asha := s.person("Asha")
	text, token := s.token(s.caller(asha), identity.ScopeOpen)
	session := s.signIn(asha)
	for name, forged := range map[string]string{
		"nothing": "", "the prefix": "kalpana_", "one character less": text[:50], "one more": text + "A", "no prefix": text[8:],
		"another prefix": "kalpanaX" + text[8:], "a session": session.Value, "the stored hash": token.Hash,
		"its id": token.ID, "10,000 characters": "kalpana_" + strings.Repeat("x", 10_000),
	} {
		mustBe(t, name, use(service, forged), identity.ErrToken)
		mustBe(t, name+" on a workspace", open(service, forged, ideA), identity.ErrToken)
	}
	if n := store.tokens.Load() + store.people.Load(); n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	guess := identity.TokenPrefix + identity.NewSecret()
	mustBe(t, "a guess", use(service, guess), identity.ErrToken)
	if n := store.tokens.Load() + store.people.Load(); n != 1 {
		t.Errorf("a guess costs %d reads", n)
	}
	mustBe(t, "a session's token in the cookie's stead", use(service, identity.TokenPrefix+session.Value), identity.ErrToken)
}

func TestCreateToken_RefusesWhatItMustNotMake(t *testing.T) {
	s := newSite(t)
	member := s.caller(s.person("Asha"))
	text, _ := s.token(member, identity.Scopes[:4]...)
	byToken, err := s.AuthenticateToken(bearer(text), text)
	if err != nil {
		t.Fatal(err)
	}
	read := []identity.Scope{identity.ScopeRead}
	for _, test := range []struct {
		what     string
		caller   identity.Caller
		name     string
		scopes   []identity.Scope
		lifetime time.Duration
		want     error
	}{
		{"an hour", member, "a", read, time.Hour, nil},
		{"a year", member, "a", read, 365 * 24 * time.Hour, nil},
		{"less than an hour", member, "a", read, time.Hour - time.Second, identity.ErrTokenRequest},
		{"more than a year", member, "a", read, 365*24*time.Hour + time.Second, identity.ErrTokenRequest},
		{"no end", member, "a", read, 0, identity.ErrTokenRequest},
		{"no scope", member, "a", nil, time.Hour, identity.ErrTokenRequest},
		{"an unknown scope", member, "a", []identity.Scope{identity.ScopeRead, "workspaces:*"}, time.Hour, identity.ErrTokenRequest},
		{"no name", member, " ", read, time.Hour, identity.ErrTokenRequest},
		{"a name with a line break", member, "a\nb", read, time.Hour, identity.ErrTokenRequest},
		{"a member's admin token", member, "a", []identity.Scope{identity.ScopeAdmin}, time.Hour, identity.ErrNotAdmin},
		{"an admin's", s.admin(), "a", []identity.Scope{identity.ScopeAdmin}, time.Hour, nil},
		{"by a token", byToken, "a", read, time.Hour, identity.ErrScope},
	} {
		text, _, err := s.CreateToken(t.Context(), test.caller, test.name, test.scopes, test.lifetime)
		mustBe(t, test.what, err, test.want)
		if (text == "") != (test.want != nil) {
			t.Errorf("%s: %q", test.what, text)
		}
	}
	var last string
	for range identity.MaxTokens {
		var made identity.Token
		if _, made, err = s.CreateToken(t.Context(), member, "a", read, time.Hour); err != nil {
			break
		}
		last = made.ID
	}
	mustBe(t, "too many", err, identity.ErrTokenLimit)
	if err := s.RevokeToken(t.Context(), member, last); err != nil {
		t.Fatal(err)
	}
	var made atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, err := s.CreateToken(t.Context(), member, "a", read, time.Hour); err == nil {
				made.Add(1)
			} else if !errors.Is(err, identity.ErrTokenLimit) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made.Load() != 1 {
		t.Errorf("%d tokens made at once where there was room for one", made.Load())
	}
	s.advance(time.Hour)
	_, _, err = s.CreateToken(t.Context(), member, "a", read, time.Hour)
	mustBe(t, "when some have ended", err, nil)
}

func TestToken_AnAdminsIsNoneWhenTheyAreNoAdmin(t *testing.T) {
	s := newSite(t)
	admin := s.admin()
	text, _ := s.token(admin, identity.ScopeAdmin, identity.ScopeRead)
	caller, err := s.AuthenticateToken(bearer(text), text)
	if err != nil || !caller.May(identity.ScopeAdmin) {
		t.Fatalf("an admin's token: %+v, %v", caller, err)
	}
	s.set(admin.Person, func(p *identity.Person) { p.Role = identity.RoleMember })
	caller, err = s.AuthenticateToken(bearer(text), text)
	if err != nil || caller.May(identity.ScopeAdmin) || !caller.May(identity.ScopeRead) {
		t.Errorf("a former admin's token: %+v, %v", caller, err)
	}
}

func TestToken_OfADisabledOrDeletedPersonIsRefused(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	text, _ := s.token(s.caller(asha), identity.ScopeOpen)
	mustBe(t, "on a workspace", open(s.Service, text, ideA), nil)
	s.set(asha, func(p *identity.Person) { p.Disabled = true })
	if err := s.RevokePerson(t.Context(), asha.ID); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "on the console, disabled", use(s.Service, text), identity.ErrToken)
	mustBe(t, "on a workspace, disabled", open(s.Service, text, ideA), identity.ErrToken)
	s.advance(time.Minute)
	mustBe(t, "a minute later", open(s.Service, text, ideA), identity.ErrToken)
	asha.Revision++
	s.set(asha, func(p *identity.Person) { p.Disabled = false })
	mustBe(t, "on the console, enabled again", use(s.Service, text), nil)
	mustBe(t, "on a workspace, enabled again", open(s.Service, text, ideA), nil)

	orphan := identity.TokenPrefix + identity.NewSecret()
	err := s.store.CreateToken(t.Context(), identity.Token{
		ID: "x", Hash: identity.Hash(orphan), Person: "gone", Scopes: "workspaces:open", ExpiresAt: s.clock.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	mustBe(t, "of nobody", use(s.Service, orphan), identity.ErrToken)
}

func TestTokenGrant_OpensWhatItsPersonMayOpenAndNoMore(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	text, token := s.token(caller, identity.ScopeOpen)
	narrow, _ := s.token(caller, identity.ScopeRead, identity.ScopeWrite)
	asked := 0
	onlyA := func(_ context.Context, person string) error {
		asked++
		if person != caller.Person.ID {
			t.Errorf("asked for %s", person)
		}
		return nil
	}
	foreign := func(context.Context, string) error { return workspace.ErrNotFound }
	g, err := s.TokenGrant(bearer(text), text, ideA, onlyA)
	want := identity.Grant{Session: token.Hash, Person: caller.Person.ID, Token: token.ID, Label: string(wsA), IssuedAt: s.clock.Now(), EndsAt: token.ExpiresAt}
	if diff := cmp.Diff(want, g); diff != "" || err != nil {
		t.Error(diff, err)
	}
	_, err = s.TokenGrant(bearer(text), text, ideB, foreign)
	mustBe(t, "somebody else's workspace", err, workspace.ErrNotFound)
	_, err = s.TokenGrant(bearer(narrow), narrow, ideA, onlyA)
	mustBe(t, "without the scope", err, identity.ErrScope)
	if asked != 1 {
		t.Errorf("asked %d times for the one that it opens", asked)
	}
	var refusals []string
	for _, e := range events(t, s.Service, identity.AuditQuery{Action: identity.ActionRefusal}) {
		refusals = append(refusals, e.Outcome+" "+string(e.Workspace))
	}
	if diff := cmp.Diff([]string{"refused " + string(wsB), "refused " + string(wsA)}, refusals); diff != "" {
		t.Error(diff)
	}
}

func TestTokenGrant_IsInMemoryForAnHour(t *testing.T) {
	s := newSite(t)
	store := &countedStore{silentStore: silentStore{Store: s.store}}
	cfg := s.config()
	cfg.Store = store
	s.Service = s.service(cfg)
	text, _ := s.token(s.caller(s.person("Asha")), identity.ScopeOpen)
	store.tokens.Store(0)
	store.people.Store(0)
	asked := 0
	request := func() error {
		_, err := s.TokenGrant(bearer(text), text, ideA, func(context.Context, string) error { asked++; return nil })
		return err
	}
	for range 59 {
		mustBe(t, "within the hour", request(), nil)
		s.advance(time.Minute)
	}
	if asked != 1 || store.tokens.Load() != 1 || store.people.Load() != 1 {
		t.Errorf("asked %d times, %d reads of the token and %d of the person", asked, store.tokens.Load(), store.people.Load())
	}
	s.advance(2 * time.Minute)
	mustBe(t, "after the hour", request(), nil)
	if asked != 2 || store.tokens.Load() != 2 {
		t.Errorf("it was not looked up again: asked %d times", asked)
	}
	late, _, err := s.CreateToken(t.Context(), s.caller(s.person("Ravi")), "ci", []identity.Scope{identity.ScopeOpen}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	s.advance(30 * time.Minute)
	mustBe(t, "one that ends in half an hour", open(s.Service, late, ideA), nil)
	s.advance(30 * time.Minute)
	mustBe(t, "at its end", open(s.Service, late, ideA), identity.ErrToken)
	s.clock.Advance(6 * time.Minute) // nothing was read since
	mustBe(t, "when revocations cannot be read", request(), workspace.ErrStoreDown)
}

func TestTokenGrant_WhatEndsAGrantEndsIt(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	caller := s.caller(asha)
	for name, end := range map[string]func(text string, token identity.Token) error{
		"revoked": func(_ string, token identity.Token) error { return s.RevokeToken(t.Context(), caller, token.ID) },
		"the workspace was deleted": func(string, identity.Token) error {
			return s.Revoke(t.Context(), identity.Revocation{Workspace: wsA})
		},
		"the person lost access": func(string, identity.Token) error {
			return s.Revoke(t.Context(), identity.Revocation{Person: asha.ID, Workspace: wsA})
		},
	} {
		text, token := s.token(caller, identity.ScopeOpen)
		g, err := s.TokenGrant(bearer(text), text, ideA, anybody)
		if err != nil {
			t.Fatal(name, err)
		}
		stream, release := s.Hold(context.Background(), g)
		s.advance(time.Minute)
		if err := end(text, token); err != nil {
			t.Fatal(name, err)
		}
		if stream.Err() == nil {
			t.Errorf("%s: a stream goes on", name)
		}
		release()
		_, err = s.TokenGrant(bearer(text), text, ideA, func(context.Context, string) error { return workspace.ErrNotFound })
		if err == nil {
			t.Errorf("%s: it opens the workspace still", name)
		}
		s.advance(time.Minute)
	}
}

func TestToken_RevokedEndsStreamsOnEveryGatewayWithinThePoll(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		one, two := s.gateway(s.store), s.gateway(openStore(t, s.dir))
		caller := s.caller(s.person("Asha"))
		text, token := s.token(caller, identity.ScopeOpen)
		other, _ := s.token(caller, identity.ScopeOpen)
		hold := func(text string) context.Context {
			g, err := two.TokenGrant(bearer(text), text, ideA, anybody)
			if err != nil {
				t.Fatal(err)
			}
			stream, release := two.Hold(context.Background(), g)
			t.Cleanup(release)
			return stream
		}
		ends, stays := hold(text), hold(other)
		time.Sleep(time.Minute)
		if err := one.RevokeToken(context.Background(), caller, token.ID); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-ends.Done()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it ended after %v", took)
		}
		mustBe(t, "on the other gateway's workspace", open(two, text, ideA), identity.ErrToken)
		mustBe(t, "on the other gateway's console", use(two, text), identity.ErrToken)
		mustBe(t, "the other token's stream", stays.Err(), nil)
		mustBe(t, "the other token", open(two, other, ideA), nil)
	})
}

func TestRevokeToken_OnlyOnesOwn(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.caller(s.person("Asha")), s.caller(s.person("Ravi"))
	text, token := s.token(asha, identity.ScopeRead)
	mustBe(t, "somebody else's", s.RevokeToken(t.Context(), ravi, token.ID), identity.ErrNotFound)
	mustBe(t, "none", s.RevokeToken(t.Context(), asha, ""), identity.ErrNotFound)
	mustBe(t, "it works", use(s.Service, text), nil)
	mustBe(t, "one's own", s.RevokeToken(t.Context(), asha, token.ID), nil)
	mustBe(t, "it works no more", use(s.Service, text), identity.ErrToken)
	mustBe(t, "twice", s.RevokeToken(t.Context(), asha, token.ID), identity.ErrNotFound)
}

func TestToken_ItsLastUseIsWrittenOnceAMinuteInTheBackground(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		store := &countedStore{silentStore: silentStore{Store: s.store, idle: true}}
		service := s.gateway(store)
		caller := s.caller(s.person("Asha"))
		text, token := s.token(caller, identity.ScopeOpen)
		usedAt := func() time.Time {
			list, err := s.Tokens(context.Background(), caller.Person.ID)
			if err != nil || len(list) != 1 || list[0].ID != token.ID {
				t.Fatal(list, err)
			}
			return list[0].UsedAt
		}
		if at := usedAt(); !at.IsZero() {
			t.Errorf("used at %v before its first use", at)
		}
		for name, try := range map[string]func() error{
			"on the console": func() error { return use(service, text) }, "on a workspace": func() error { return open(service, text, ideA) },
		} {
			time.Sleep(2 * time.Minute)
			before, start := store.touches.Load(), time.Now()
			for range 300 {
				mustBe(t, name, try(), nil)
				if name == "on the console" {
					time.Sleep(time.Second) // each reads when it was last used
				}
			}
			if name != "on the console" {
				for time.Since(start) < 5*time.Minute {
					time.Sleep(time.Second)
					mustBe(t, name, try(), nil)
				}
			}
			time.Sleep(time.Second)
			if n := store.touches.Load() - before; n < 4 || n > 6 {
				t.Errorf("%s: written %d times in five minutes", name, n)
			}
			if at := usedAt(); time.Since(at) > 62*time.Second {
				t.Errorf("%s: used %v ago", name, time.Since(at))
			}
		}
	})
}

func TestToken_TheAuditLogHasMakingUseAndEnd(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	text, token := s.token(caller, identity.ScopeOpen)
	for range 10 {
		mustBe(t, "on the console", use(s.Service, text), nil)
		mustBe(t, "on a workspace", open(s.Service, text, ideA), nil)
		s.advance(time.Minute)
	}
	if err := s.RevokeToken(t.Context(), caller, token.ID); err != nil {
		t.Fatal(err)
	}
	mustBe(t, "revoked", use(s.Service, text), identity.ErrToken)
	type event struct{ Action, Outcome, Person, Via, Workspace string }
	var got []event
	for _, e := range events(t, s.Service, identity.AuditQuery{}) {
		if strings.HasPrefix(e.Action, "token") {
			got = append(got, event{e.Action, e.Outcome, e.Person, e.Via, string(e.Workspace)})
		}
	}
	person, via := caller.Person.ID, "token "+token.ID
	want := []event{
		{"token-create", "ok", person, "session", ""},
		{"token-use", "ok", person, via, ""},
		{"token-use", "ok", person, via, string(wsA)},
		{"token-revoke", "ok", person, "session", ""},
		{"token-use", "refused", "", "", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBearerToken_IsOursAlone(t *testing.T) {
	for header, want := range map[string]string{
		"Bearer kalpana_abc": "kalpana_abc", "bearer kalpana_abc": "kalpana_abc", "BEARER  kalpana_abc ": "kalpana_abc",
		"Basic kalpana_abc": "", "Bearer other_abc": "", "kalpana_abc": "", "Bearer": "", "Bearer Kalpana_abc": "", "Digest x, Bearer kalpana_abc": "",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Authorization", header)
		if got, ok := identity.BearerToken(r); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", header, got, ok)
		}
	}
	h := http.Header{"Authorization": {"Basic YTpi", "Bearer kalpana_abc", "Bearer theirs"}}
	identity.StripTokens(h)
	if diff := cmp.Diff(http.Header{"Authorization": {"Basic YTpi", "Bearer theirs"}}, h); diff != "" {
		t.Error(diff)
	}
	h = http.Header{"Authorization": {"Bearer kalpana_abc"}, "Accept": {"*/*"}}
	identity.StripTokens(h)
	if diff := cmp.Diff(http.Header{"Accept": {"*/*"}}, h); diff != "" {
		t.Error(diff)
	}
}
