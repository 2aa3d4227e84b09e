package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/ratelimit"
)

// countingStore counts what sign-in asks of the store.
type countingStore struct {
	identity.Store
	tickets, sessions atomic.Int64
}

func (s *countingStore) TakeTicket(ctx context.Context, kind, hash string, now time.Time) (identity.Ticket, error) {
	s.tickets.Add(1)
	return s.Store.TakeTicket(ctx, kind, hash, now)
}

func (s *countingStore) Session(ctx context.Context, hash string) (identity.Session, error) {
	s.sessions.Add(1)
	return s.Store.Session(ctx, hash)
}

// limitedSite is a site with rate limits. An hour passes before one more event is allowed, so that
// the time that a test takes does not matter.
func limitedSite(t *testing.T) (*site, *countingStore) {
	s := newSite(t)
	store := &countingStore{Store: s.store}
	s.identity = identity.New(identity.Config{Store: store, Hosts: s.hosts, Key: identity.NewKey()})
	if err := s.identity.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	limit := func(n int) *ratelimit.Limiter { return ratelimit.New(1, time.Hour, n) }
	s.Handler = api.New(api.Config{
		Hosts: s.hosts, Identity: s.identity, Orchestrator: s.orchestrator, Links: true, Stopping: s.stopping,
		Limits: api.Limits{SignIn: limit(10), FailedSignIns: limit(30), Handoff: limit(6), Requests: limit(20)},
	})
	return s, store
}

// from returns the same browser at another address.
func (b *browser) from(address string) func(method, target string, body any) *httptest.ResponseRecorder {
	return func(method, target string, body any) *httptest.ResponseRecorder {
		b.t.Helper()
		r := b.request(method, target, body)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests {
			tooMany(b.t, w)
			problemOf(b.t, w)
		}
		return w
	}
}

func tooMany(t testing.TB, w *httptest.ResponseRecorder) {
	t.Helper()
	if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || seconds < 1 || seconds > 3600 {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
}

func guess() api.LinkToken { return api.LinkToken{Token: identity.NewSecret()} }

// count makes n requests and returns how many had each status.
func count(n int, do func() *httptest.ResponseRecorder) map[int]int {
	statuses := map[int]int{}
	for range n {
		statuses[do().Code]++
	}
	return statuses
}

func TestSignIn_TenThousandAttemptsReachTheStoreTenTimes(t *testing.T) {
	s, store := limitedSite(t)
	attacker, asha := s.stranger().from("192.0.2.1:1"), s.stranger().from("192.0.2.2:1")
	link := s.link(s.person("Asha"))
	got := count(10_000, func() *httptest.ResponseRecorder { return attacker("POST", "/api/login/link", guess()) })
	if got[401] != 10 || got[429] != 9990 || store.tickets.Load() != 10 {
		t.Errorf("%v, %d looked up", got, store.tickets.Load())
	}
	if w := asha("POST", "/api/login/link", api.LinkToken{Token: link}); w.Code != 204 || len(w.Result().Cookies()) != 1 {
		t.Errorf("somebody else: %d %s", w.Code, w.Body)
	}
}

func TestSignIn_ASubscriberIsOneAddress(t *testing.T) {
	s, _ := limitedSite(t)
	n := 0
	got := count(30, func() *httptest.ResponseRecorder {
		n++
		return s.stranger().from(fmt.Sprintf("[2001:db8::%x]:1", n))("POST", "/api/login/link", guess())
	})
	if got[401] != 10 {
		t.Errorf("%v", got)
	}
	if w := s.stranger().from("[2001:db8:0:1::1]:1")("POST", "/api/login/link", guess()); w.Code != 401 {
		t.Errorf("another network: %d", w.Code)
	}
}

func TestSignIn_FailuresFromManyAddressesAreLimitedTogether(t *testing.T) {
	s, store := limitedSite(t)
	for i := range 20 { // what succeeds does not count
		p := s.person(fmt.Sprint("p", i))
		if w := s.stranger().from(fmt.Sprintf("10.0.0.%d:1", i))("POST", "/api/login/link", api.LinkToken{Token: s.link(p)}); w.Code != 204 {
			t.Fatalf("%d", w.Code)
		}
	}
	store.tickets.Store(0)
	n := 0
	got := count(1000, func() *httptest.ResponseRecorder {
		n++
		return s.stranger().from(fmt.Sprintf("10.1.%d.%d:1", n/250, n%250))("POST", "/api/login/link", guess())
	})
	if got[401] != 30 || got[429] != 970 || store.tickets.Load() != 30 {
		t.Errorf("%v, %d looked up", got, store.tickets.Load())
	}
}

func TestRequests_EachCallerHasABudget(t *testing.T) {
	s, _ := limitedSite(t)
	asha, ravi := s.signIn("Asha").from("192.0.2.1:1"), s.signIn("Ravi").from("192.0.2.1:1")
	if got := count(50, func() *httptest.ResponseRecorder { return asha("GET", "/api/me", nil) }); got[200] != 20 || got[429] != 30 {
		t.Errorf("Asha: %v", got)
	}
	if got := count(20, func() *httptest.ResponseRecorder { return ravi("GET", "/api/me", nil) }); got[200] != 20 {
		t.Errorf("Ravi: %v", got)
	}
}

func TestRequests_StrangersShareTheBudgetOfTheirAddress(t *testing.T) {
	s, store := limitedSite(t)
	asha := s.signIn("Asha").from("192.0.2.1:1")
	if w := asha("GET", "/api/me", nil); w.Code != 200 {
		t.Fatalf("%d", w.Code)
	}
	store.sessions.Store(0)
	for name, headers := range map[string]func() (string, string){
		"no credential":    func() (string, string) { return "X", "y" },
		"made-up sessions": func() (string, string) { return "Cookie", identity.SessionCookie + "=" + identity.NewSecret() },
		"made-up tokens": func() (string, string) {
			return "Authorization", "Bearer " + identity.TokenPrefix + identity.NewSecret()
		},
		"another's headers": func() (string, string) { return "Authorization", "Basic " + identity.NewSecret() },
	} {
		got := count(50, func() *httptest.ResponseRecorder {
			return s.stranger().with(headers()).from("192.0.2.1:1")("GET", "/api/me", nil)
		})
		if got[429] < 30 || got[401]+got[429] != 50 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if n := store.sessions.Load(); n > 20 {
		t.Errorf("%d made-up sessions were looked up", n)
	}
	if w := asha("GET", "/api/me", nil); w.Code != 200 {
		t.Errorf("somebody who is signed in, at the same address: %d", w.Code)
	}
	if w := s.stranger().from("192.0.2.1:1")("GET", "/api/openapi.json", nil); w.Code != 429 {
		t.Errorf("what anybody may read: %d", w.Code)
	}
	if w := s.stranger().from("192.0.2.9:1")("GET", "/api/openapi.json", nil); w.Code != 200 {
		t.Errorf("from elsewhere: %d", w.Code)
	}
}

func TestHandoff_IsLimitedBySessionAndByAddress(t *testing.T) {
	s, _ := limitedSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	id := asha.create("one").ID
	handoff := func(b *browser) func() *httptest.ResponseRecorder {
		return func() *httptest.ResponseRecorder { return b.handoff("GET", handoffPath(id, identity.Hash("nonce"))) }
	}
	if got := count(20, handoff(asha)); got[303] != 6 || got[429] != 14 {
		t.Errorf("Asha: %v", got)
	}
	w := handoff(asha)()
	tooMany(t, w)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || !strings.Contains(w.Body.String(), "reload this page") {
		t.Errorf("no page: %v %s", w.Header(), w.Body)
	}
	if got := count(3, handoff(ravi)); got[404] != 3 {
		t.Errorf("Ravi: %v", got)
	}
	if got := count(20, handoff(s.stranger())); got[303] != 6 || got[429] != 14 {
		t.Errorf("strangers: %v", got)
	}
	if got := count(3, handoff(ravi)); got[404] != 3 {
		t.Errorf("Ravi, where strangers are: %v", got)
	}
}

func TestSignIn_WhatProvidersSendBackIsLimitedToo(t *testing.T) {
	s, _ := limitedSite(t)
	back := func(address string) *httptest.ResponseRecorder {
		r := s.stranger().request("GET", "/login/nowhere/callback?code=x&state="+identity.NewSecret(), nil)
		r.RemoteAddr = address
		w := httptest.NewRecorder()
		s.CompleteLogin(w, r)
		return w
	}
	if got := count(30, func() *httptest.ResponseRecorder { return back("192.0.2.1:1") }); got[303] != 10 || got[429] != 20 {
		t.Errorf("%v", got)
	}
	w := back("192.0.2.1:1")
	tooMany(t, w)
	if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") || len(w.Result().Cookies()) != 0 {
		t.Errorf("no page: %v", w.Header())
	}
	n := 0
	got := count(100, func() *httptest.ResponseRecorder { n++; return back(fmt.Sprintf("10.1.0.%d:1", n)) })
	if got[303] != 20 || got[429] != 80 {
		t.Errorf("from many addresses: %v", got)
	}
	if w := s.stranger().from("192.0.2.7:1")("POST", "/api/invitations/redeem", api.Redemption{Token: identity.NewSecret(), Name: "Eve"}); w.Code != 429 {
		t.Errorf("an invitation: %d", w.Code)
	}
}
