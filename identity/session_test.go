package identity_test

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestSession_SlidesWhileItIsUsed(t *testing.T) {
	s := newSite(t)
	cookie := s.signIn(s.person("Asha"))
	for day := range 6 {
		s.advance(identity.SessionIdle - time.Hour)
		if _, err := s.Authenticate(request("/", cookie)); err != nil {
			t.Fatalf("use %d: %v", day+1, err)
		}
	}
}

func TestSession_EndsAfterADayWithoutUse(t *testing.T) {
	for _, test := range []struct {
		idle time.Duration
		want error
	}{{identity.SessionIdle - time.Second, nil}, {identity.SessionIdle, identity.ErrNoSession}, {identity.SessionIdle + time.Hour, identity.ErrNoSession}} {
		s := newSite(t)
		cookie := s.signIn(s.person("Asha"))
		s.advance(test.idle)
		_, err := s.Authenticate(request("/", cookie))
		mustBe(t, test.idle.String(), err, test.want)
	}
}

func TestSession_EndsAWeekAfterSignInHoweverBusy(t *testing.T) {
	s := newSite(t)
	cookie := s.signIn(s.person("Asha"))
	start := s.clock.Now()
	for s.clock.Now().Sub(start) < identity.SessionMax-6*time.Hour {
		s.advance(6 * time.Hour)
		caller, err := s.Authenticate(request("/", cookie))
		if err != nil {
			t.Fatalf("after %v: %v", s.clock.Now().Sub(start), err)
		}
		if caller.Session.ExpiresAt.After(start.Add(identity.SessionMax)) {
			t.Fatalf("after %v it ends at %v", s.clock.Now().Sub(start), caller.Session.ExpiresAt)
		}
	}
	s.advance(6 * time.Hour)
	_, err := s.Authenticate(request("/", cookie))
	mustBe(t, "after a week", err, identity.ErrNoSession)
}

func TestSession_IsWrittenOnceAMinuteAtMost(t *testing.T) {
	s := newSite(t)
	cookie := s.signIn(s.person("Asha"))
	seen := func() time.Time {
		session, err := s.store.Session(context.Background(), identity.Hash(cookie.Value))
		if err != nil {
			t.Fatal(err)
		}
		return session.SeenAt
	}
	first := seen()
	for range 60 {
		if _, err := s.Authenticate(request("/", cookie)); err != nil {
			t.Fatal(err)
		}
		s.advance(time.Second)
	}
	if got := seen(); !got.Equal(first) {
		t.Errorf("written after %v", got.Sub(first))
	}
	s.advance(time.Second)
	if _, err := s.Authenticate(request("/", cookie)); err != nil {
		t.Fatal(err)
	}
	if got := seen(); !got.Equal(s.clock.Now()) {
		t.Errorf("seen %v, now %v", got, s.clock.Now())
	}
}

func TestSession_ForgedCookiesAreRefused(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	cookie := s.signIn(asha)
	grant := s.grant(s.caller(asha), ideA)
	for name, value := range map[string]string{
		"nothing": "", "a guess": identity.NewSecret(), "the stored hash": identity.Hash(cookie.Value),
		"one character less": cookie.Value[:42], "one more": cookie.Value + "A", "a link's secret": s.link(asha),
		"a grant": grant.Value, "the person": asha.ID, "10,000 characters": strings.Repeat("x", 10_000),
	} {
		_, err := s.Authenticate(request("/", &http.Cookie{Name: identity.SessionCookie, Value: value}))
		mustBe(t, name, err, identity.ErrNoSession)
	}
	for _, name := range []string{"kalpana_session", "__Secure-kalpana_session", "__host-kalpana_session", identity.SessionCookie + "x"} {
		_, err := s.Authenticate(request("/", &http.Cookie{Name: name, Value: cookie.Value}))
		mustBe(t, "the token under the name "+name, err, identity.ErrNoSession)
	}
	_, err := s.Authenticate(request("/"))
	mustBe(t, "no cookie", err, identity.ErrNoSession)
}

func TestSignIn_GivesANewTokenEachTime(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	if one, two := s.signIn(asha), s.signIn(asha); one.Value == two.Value {
		t.Error("two sign-ins gave the same token")
	} else if raw, err := base64.RawURLEncoding.DecodeString(one.Value); err != nil || len(raw) != 256/8 {
		t.Errorf("a session's token has %d bytes, %v", len(raw), err)
	}
}

func TestSignOut_EndsSessionGrantsAndStreamsAtOnce(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	here, elsewhere := s.signIn(asha), s.signIn(asha)
	type browser struct {
		cookie   *http.Cookie
		caller   identity.Caller
		ide, pre *http.Cookie
		streams  []context.Context
	}
	open := func(cookie *http.Cookie) browser {
		caller, err := s.Authenticate(request("/", cookie))
		if err != nil {
			t.Fatal(err)
		}
		b := browser{cookie: cookie, caller: caller, ide: s.grant(caller, ideA), pre: s.grant(caller, previewA)}
		g, err := s.CheckGrant(request("/", b.ide), ideA)
		if err != nil {
			t.Fatal(err)
		}
		tab, release := s.Hold(context.Background(), g)
		t.Cleanup(release)
		events, release := s.HoldCaller(context.Background(), caller)
		t.Cleanup(release)
		b.streams = []context.Context{tab, events}
		return b
	}
	left, stays := open(here), open(elsewhere)

	clear, err := s.SignOut(context.Background(), left.caller.Session)
	if err != nil {
		t.Fatal(err)
	}
	if clear.Name != identity.SessionCookie || clear.Value != "" || clear.MaxAge >= 0 {
		t.Errorf("the cookie is not cleared: %s", clear)
	}
	for _, stream := range left.streams {
		if stream.Err() == nil {
			t.Error("a stream goes on after sign-out")
		}
	}
	_, err = s.Authenticate(request("/", left.cookie))
	mustBe(t, "the session", err, identity.ErrNoSession)
	mustBe(t, "the grant", check(s.Service, left.ide, ideA), identity.ErrNoGrant)
	mustBe(t, "the preview's grant", check(s.Service, left.pre, previewA), identity.ErrNoGrant)

	for _, stream := range stays.streams {
		mustBe(t, "a stream of the other browser", stream.Err(), nil)
	}
	_, err = s.Authenticate(request("/", stays.cookie))
	mustBe(t, "the other browser's session", err, nil)
	mustBe(t, "the other browser's grant", check(s.Service, stays.ide, ideA), nil)
}

// brittleStore fails in one place, as a store does that goes away between two writes.
type brittleStore struct {
	identity.Store
}

func (brittleStore) DeleteSession(context.Context, string) error { return workspace.ErrStoreDown }

func TestSignOut_HoldsWhenTheStoreGoesAwayHalfWay(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	cfg.Store = brittleStore{s.store}
	brittle := s.service(cfg)
	cookie := s.signIn(s.person("Asha"))
	caller, err := brittle.Authenticate(request("/", cookie))
	if err != nil {
		t.Fatal(err)
	}
	_, err = brittle.SignOut(context.Background(), caller.Session)
	mustBe(t, "SignOut", err, workspace.ErrStoreDown)
	_, err = brittle.Authenticate(request("/", cookie))
	mustBe(t, "the session", err, identity.ErrNoSession)
	_, err = s.service(s.config()).Authenticate(request("/", cookie)) // another gateway, or after a restart
	mustBe(t, "the session elsewhere", err, identity.ErrNoSession)
}

func TestRevoke_OfAPersonEndsTheirSessions(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.person("Asha"), s.person("Ravi")
	his, hers := s.signIn(ravi), s.signIn(asha)
	s.advance(time.Minute)
	if err := s.Revoke(context.Background(), identity.Revocation{Person: asha.ID}); err != nil {
		t.Fatal(err)
	}
	_, err := s.Authenticate(request("/", hers))
	mustBe(t, "her session", err, identity.ErrNoSession)
	_, err = s.Authenticate(request("/", his))
	mustBe(t, "his session", err, nil)
	s.advance(time.Minute)
	_, err = s.Authenticate(request("/", s.signIn(asha)))
	mustBe(t, "her next session", err, nil)
}

func TestAuthenticate_StoreFaultsAreNoAnswer(t *testing.T) {
	s := newSite(t)
	cookie := s.signIn(s.person("Asha"))
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Authenticate(request("/", cookie))
	if errors.Is(err, identity.ErrNoSession) || !errors.Is(err, workspace.ErrStoreDown) {
		t.Errorf("%v, want ErrStoreDown", err)
	}
}

func TestSession_TellsWhereItBegan(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	_, _, err := s.SignInByLink(from(s.Service, "[2001:db8::7]:4242", "Firefox\n"+strings.Repeat("x", 1000)), s.link(asha))
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Sessions(t.Context(), asha.ID)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	got := list[0]
	if got.Provider != "link" || got.Address != "2001:db8::7" || !strings.HasPrefix(got.UserAgent, `Firefox\u000axxx`) || len(got.UserAgent) > 256 {
		t.Errorf("%+v", got)
	}
}

func TestSignIn_ReplacesTheBrowsersOldSession(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.person("Asha"), s.person("Ravi")
	old, elsewhere := s.signIn(asha), s.signIn(asha)
	caller, err := s.Authenticate(request("/", old))
	if err != nil {
		t.Fatal(err)
	}
	grant := s.grant(caller, ideA)
	next, _, err := s.SignInByLink(from(s.Service, "192.0.2.1:1", "", old), s.link(ravi))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Authenticate(request("/", old))
	mustBe(t, "the old session", err, identity.ErrNoSession)
	mustBe(t, "a grant of the old session", check(s.Service, grant, ideA), identity.ErrNoGrant)
	if list, err := s.Sessions(t.Context(), asha.ID); err != nil || len(list) != 1 {
		t.Errorf("%d sessions are left to her, %v", len(list), err)
	}
	_, err = s.Authenticate(request("/", elsewhere))
	mustBe(t, "her other browser", err, nil)
	who, err := s.Authenticate(request("/", next))
	if err != nil || who.Person.ID != ravi.ID {
		t.Errorf("the browser is %+v's, %v", who.Person, err)
	}
	if _, _, err := s.SignInByLink(from(s.Service, "192.0.2.1:1", "", next), "x"); err == nil {
		t.Fatal("signed in by a bad link")
	}
	_, err = s.Authenticate(request("/", next))
	mustBe(t, "after a sign-in that failed", err, nil)
}

func TestSessions_AreListedAndRevokedByTheirPersonAlone(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.person("Asha"), s.person("Ravi")
	ended := s.signIn(asha)
	s.advance(identity.SessionIdle + time.Hour)
	var cookies []*http.Cookie
	for range 3 {
		cookies = append(cookies, s.signIn(asha))
		s.advance(time.Minute)
	}
	his := s.signIn(ravi)
	who := func(cookie *http.Cookie) identity.Caller {
		caller, err := s.Authenticate(request("/", cookie))
		if err != nil {
			t.Fatal(err)
		}
		return caller
	}
	list, err := s.Sessions(t.Context(), asha.ID)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d sessions, %v; one has ended: %s", len(list), err, identity.Hash(ended.Value)[:16])
	}
	for i, v := range list {
		if want := identity.Hash(cookies[2-i].Value); v.Hash != want || v.ID() != want[:16] {
			t.Errorf("session %d is %s, want %s", i, v.ID(), want)
		}
	}
	mustBe(t, "his by her", s.RevokeSession(t.Context(), who(cookies[0]), who(his).Session.ID()), identity.ErrNotFound)
	mustBe(t, "none", s.RevokeSession(t.Context(), who(cookies[0]), ""), identity.ErrNotFound)
	mustBe(t, "hers", s.RevokeSession(t.Context(), who(cookies[0]), list[0].ID()), nil)
	_, err = s.Authenticate(request("/", cookies[2]))
	mustBe(t, "the revoked one", err, identity.ErrNoSession)

	tab, release := s.HoldCaller(context.Background(), who(cookies[1]))
	defer release()
	mustBe(t, "all others", s.RevokeOtherSessions(t.Context(), who(cookies[0])), nil)
	if tab.Err() == nil {
		t.Error("a stream of another session goes on")
	}
	_, err = s.Authenticate(request("/", cookies[1]))
	mustBe(t, "another", err, identity.ErrNoSession)
	who(cookies[0])
	who(his)
}

func TestDisabled_NeitherSignsInNorStaysSignedIn(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	cookie, link := s.signIn(asha), s.link(asha)
	s.set(asha, func(p *identity.Person) { p.Disabled = true })
	_, err := s.Authenticate(request("/", cookie))
	mustBe(t, "her session, though nothing was revoked yet", err, identity.ErrNoSession)
	if err := s.RevokePerson(t.Context(), asha.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.SignInByLink(t.Context(), link)
	mustBe(t, "signing in", err, identity.ErrDisabled)
	asha.Revision++
	s.set(asha, func(p *identity.Person) { p.Disabled = false })
	s.advance(time.Minute)
	_, err = s.Authenticate(request("/", cookie))
	mustBe(t, "her old session, when she is back", err, identity.ErrNoSession)
	_, err = s.Authenticate(request("/", s.signIn(asha)))
	mustBe(t, "her new session", err, nil)
}
