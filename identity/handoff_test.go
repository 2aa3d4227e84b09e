package identity_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// approve returns the address that completes a hand-off on host with the given challenge.
func (s *site) approve(caller identity.Caller, host workspace.Host, challenge string) string {
	s.t.Helper()
	address, err := s.ApproveHandoff(context.Background(), caller, host, challenge)
	if err != nil {
		s.t.Fatal(err)
	}
	return address
}

func (s *site) complete(address string, host workspace.Host, cookies ...*http.Cookie) error {
	s.t.Helper()
	grant, clear, path, err := s.CompleteHandoff(request(address, cookies...), host)
	if err != nil && (grant != nil || clear != nil || path != "") {
		s.t.Errorf("a hand-off that failed returned %v, %v, %q", grant, clear, path)
	}
	return err
}

func TestHandoff_GivesAGrantAndReturnsToThePath(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	const path = "/?folder=/home/coder&q=%2F%2Fevil.com#no"
	nonce, address := s.BeginHandoff(previewA, path)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Scheme + "://" + u.Host + u.Path; got != "http://kalpana.localhost:8080/handoff" {
		t.Errorf("sent to %s", got)
	}
	query := u.Query()
	if len(query) != 2 || query.Get("host") != "3000-abcdefghij" || len(query.Get("challenge")) != identity.ChallengeLength {
		t.Errorf("query %v", query)
	}
	if strings.Contains(address, "folder") {
		t.Error("the address carries the path")
	}
	back := s.approve(caller, previewA, query.Get("challenge"))
	if !strings.HasPrefix(back, "http://3000-abcdefghij.ws.kalpana.localhost:8080/.kalpana/handoff?code=") {
		t.Errorf("sent back to %s", back)
	}
	grant, clear, got, err := s.CompleteHandoff(request(back, nonce), previewA)
	if err != nil {
		t.Fatal(err)
	}
	if got != path {
		t.Errorf("returns to %q, want %q", got, path)
	}
	if clear.Name != identity.NonceCookie || clear.MaxAge >= 0 {
		t.Errorf("the nonce is not cleared: %s", clear)
	}
	mustBe(t, "the grant", check(s.Service, grant, previewA), nil)
}

func TestHandoff_AnUnknownVisitorMakesTheServerStoreNothing(t *testing.T) {
	s := newSite(t)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	if cookie, address := s.BeginHandoff(ideA, "/"); cookie == nil || address == "" {
		t.Error("needs the store")
	}
}

func TestHandoff_TabsThatAreHandedOverTogetherAllArrive(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	first, challenge := begin(t, s.Service, ideA, "/one")
	second, address := s.BeginHandoff(ideA, "/two", "app=1; "+first.Name+"="+first.Value)
	if u, err := url.Parse(address); err != nil || u.Query().Get("challenge") != challenge {
		t.Fatalf("%s does not ask for the challenge that the first tab asks for", address)
	}
	// The browser has the second cookie by now.
	mustBe(t, "the first tab's code", s.complete(s.approve(caller, ideA, challenge), ideA, second), nil)
	mustBe(t, "the second tab's code", s.complete(s.approve(caller, ideA, challenge), ideA, second), nil)

	for name, other := range map[string]workspace.Host{"another workspace's": ideB, "a preview's": previewA} {
		if _, address := s.BeginHandoff(other, "/", first.Name+"="+first.Value); strings.Contains(address, challenge) {
			t.Errorf("%s hand-off has the same nonce", name)
		}
	}
	s.clock.Advance(11 * time.Minute)
	if _, address := s.BeginHandoff(ideA, "/", first.Name+"="+first.Value); strings.Contains(address, challenge) {
		t.Error("a nonce whose time is over is used again")
	}
}

func TestHandoff_WorksOnceHereWithThatNonceInTime(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	fresh := func() (nonce *http.Cookie, address string) {
		nonce, challenge := begin(t, s.Service, ideA, "/")
		return nonce, s.approve(caller, ideA, challenge)
	}

	nonce, address := fresh()
	mustBe(t, "the first use", s.complete(address, ideA, nonce), nil)
	mustBe(t, "the second use", s.complete(address, ideA, nonce), identity.ErrHandoff)

	nonce, address = fresh()
	s.clock.Advance(identity.HandoffLife - time.Microsecond)
	mustBe(t, "just in time", s.complete(address, ideA, nonce), nil)
	nonce, address = fresh()
	s.clock.Advance(identity.HandoffLife)
	mustBe(t, "just late", s.complete(address, ideA, nonce), identity.ErrHandoff)

	nonce, address = fresh()
	mustBe(t, "without a nonce", s.complete(address, ideA), identity.ErrHandoff)
	mustBe(t, "with it afterwards", s.complete(address, ideA, nonce), nil)

	other, _ := begin(t, s.Service, ideA, "/")
	nonce, address = fresh()
	mustBe(t, "with the nonce of another hand-off", s.complete(address, ideA, other), identity.ErrHandoff)
	mustBe(t, "then with its own", s.complete(address, ideA, nonce), identity.ErrHandoff)

	for _, host := range []workspace.Host{ideB, previewA, otherA} {
		nonce, address = fresh()
		mustBe(t, "on host "+host.Label(), s.complete(address, host, nonce), identity.ErrHandoff)
		theirs, _ := begin(t, s.Service, host, "/")
		mustBe(t, "with the nonce of host "+host.Label(), s.complete(address, ideA, theirs), identity.ErrHandoff)
		mustBe(t, "on host "+host.Label()+" with its nonce", s.complete(address, host, theirs), identity.ErrHandoff)
	}
}

func TestHandoff_TheNonceWaitsTenMinutes(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	for wait, want := range map[time.Duration]error{10 * time.Minute: nil, 10*time.Minute + time.Millisecond: identity.ErrHandoff} {
		nonce, challenge := begin(t, s.Service, ideA, "/")
		s.clock.Advance(wait) // the person signs in
		mustBe(t, wait.String(), s.complete(s.approve(caller, ideA, challenge), ideA, nonce), want)
	}
}

func TestHandoff_ForgedCodesAreRefused(t *testing.T) {
	s := newSite(t)
	asha := s.person("Asha")
	nonce, challenge := begin(t, s.Service, ideA, "/")
	address := s.approve(s.caller(asha), ideA, challenge)
	_, code, _ := strings.Cut(address, "?code=")
	for name, forged := range map[string]string{
		"nothing": "", "a guess": identity.NewSecret(), "the stored hash": identity.Hash(code), "one character less": code[:42],
		"one more": code + "A", "a link's secret": s.link(asha), "a session": s.signIn(asha).Value, "the challenge": challenge,
		"10,000 characters": strings.Repeat("x", 10_000),
	} {
		target := "/.kalpana/handoff?" + url.Values{"code": {forged}}.Encode()
		mustBe(t, name, s.complete(target, ideA, nonce), identity.ErrHandoff)
	}
	mustBe(t, "no query", s.complete("/.kalpana/handoff", ideA, nonce), identity.ErrHandoff)
	mustBe(t, "the true one", s.complete(address, ideA, nonce), nil)
}

func TestHandoff_ForgedNoncesAreRefused(t *testing.T) {
	here, there := newSite(t), newSite(t)
	caller := here.caller(here.person("Asha"))
	nonce, challenge := begin(t, here.Service, ideA, "/")
	address := here.approve(caller, ideA, challenge)
	for i := range nonce.Value {
		for _, flip := range []byte{1, 4, 32} {
			b := []byte(nonce.Value)
			b[i] ^= flip
			mustBe(t, "a flipped bit", here.complete(address, ideA, &http.Cookie{Name: nonce.Name, Value: string(b)}), identity.ErrHandoff)
		}
	}
	foreign, _ := begin(t, there.Service, ideA, "/")
	grant := here.grant(caller, ideA)
	for name, value := range map[string]string{
		"another installation's": foreign.Value, "a grant": grant.Value, "nothing": "", "without a MAC": nonce.Value[:strings.LastIndexByte(nonce.Value, '.')],
		"the nonce alone": nonce.Value[:22],
	} {
		mustBe(t, name, here.complete(address, ideA, &http.Cookie{Name: nonce.Name, Value: value}), identity.ErrHandoff)
	}
	mustBe(t, "the true one", here.complete(address, ideA, nonce), nil)
}

// One MAC in 256 ends in a zero byte, which a decoder that skips line breaks does not miss.
func TestHandoff_AMACHasOneSpelling(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	for range 20_000 {
		nonce, challenge := begin(t, s.Service, ideA, "/")
		last := nonce.Value[len(nonce.Value)-2:]
		if last[1] != 'A' || !strings.Contains("AQgw", last[:1]) {
			continue
		}
		address := s.approve(caller, ideA, challenge)
		shorter := &http.Cookie{Name: nonce.Name, Value: nonce.Value[:len(nonce.Value)-1] + "\n"}
		mustBe(t, "without its last character", s.complete(address, ideA, shorter), identity.ErrHandoff)
		mustBe(t, "whole", s.complete(address, ideA, nonce), nil)
		return
	}
	t.Error("no MAC ended in a zero byte")
}

func TestHandoff_MalformedChallengesAreRefused(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	for _, challenge := range []string{"", "x", identity.Hash("")[1:], identity.Hash("") + "0", strings.Repeat("x", 10_000)} {
		_, err := s.ApproveHandoff(context.Background(), caller, ideA, challenge)
		mustBe(t, challenge[:min(len(challenge), 20)], err, identity.ErrHandoff)
	}
	nonce, _ := begin(t, s.Service, ideA, "/")
	address := s.approve(caller, ideA, strings.Repeat("\xff", identity.ChallengeLength))
	mustBe(t, "one that is not text", s.complete(address, ideA, nonce), identity.ErrHandoff)
}

func TestHandoff_OfFiftyConcurrentTakersOneWins(t *testing.T) {
	s := newSite(t)
	nonce, challenge := begin(t, s.Service, ideA, "/")
	address := s.approve(s.caller(s.person("Asha")), ideA, challenge)
	var won atomic.Int64
	var takers sync.WaitGroup
	for range 50 {
		takers.Go(func() {
			if _, _, _, err := s.CompleteHandoff(request(address, nonce), ideA); err == nil {
				won.Add(1)
			}
		})
	}
	takers.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
}

// Access is checked on the console; what is revoked before the browser is back on the workspace's
// host counts, however long that takes.
func TestHandoff_WhatIsRevokedOnTheWayCounts(t *testing.T) {
	for name, revocation := range map[string]func(identity.Caller) identity.Revocation{
		"session":   func(c identity.Caller) identity.Revocation { return identity.Revocation{Session: c.Session.Hash} },
		"person":    func(c identity.Caller) identity.Revocation { return identity.Revocation{Person: c.Person.ID} },
		"workspace": func(identity.Caller) identity.Revocation { return identity.Revocation{Workspace: wsA} },
		"access": func(c identity.Caller) identity.Revocation {
			return identity.Revocation{Person: c.Person.ID, Workspace: wsA}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			caller := s.caller(s.person("Asha"))
			nonce, challenge := begin(t, s.Service, ideA, "/")
			address := s.approve(caller, ideA, challenge)
			late, challenge := begin(t, s.Service, ideA, "/")
			unread := s.approve(caller, ideA, challenge)
			elsewhere := s.service(s.config()) // has not read what comes now

			s.clock.Advance(5 * time.Second)
			if err := s.Revoke(context.Background(), revocation(caller)); err != nil {
				t.Fatal(err)
			}
			s.clock.Advance(20 * time.Second)
			mustBe(t, "on the gateway that knows", s.complete(address, ideA, nonce), identity.ErrHandoff)
			grant, _, _, err := elsewhere.CompleteHandoff(request(unread, late), ideA)
			if err != nil {
				t.Fatal(err)
			}
			if err := elsewhere.Load(context.Background()); err != nil {
				t.Fatal(err)
			}
			mustBe(t, "on a gateway that learns of it later", check(elsewhere, grant, ideA), identity.ErrNoGrant)
		})
	}
}
