package identity_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// silentStore is a store that can fall silent, and come back.
type silentStore struct {
	identity.Store
	silent atomic.Bool
	hangs  atomic.Bool
	reads  atomic.Int64
	idle   bool // there is nothing to read; an hour has 1,800 polls
}

func (s *silentStore) Revocations(ctx context.Context, since time.Time) ([]identity.Revocation, error) {
	s.reads.Add(1)
	if s.idle {
		return nil, nil
	}
	if s.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if s.silent.Load() {
		return nil, workspace.ErrStoreDown
	}
	return s.Store.Revocations(ctx, since)
}

// gateway is a service whose Run is under way in the bubble.
func (s *site) gateway(store identity.Store) *identity.Service {
	s.t.Helper()
	cfg := s.config()
	cfg.Store, cfg.Now = store, nil // the bubble's clock
	service := s.service(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { service.Run(ctx) })
	s.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return service
}

// inBubble runs a test on the bubble's clock, with a site of its own whose clock is the bubble's.
func inBubble(t *testing.T, test func(t *testing.T, s *site)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		cfg := s.config()
		cfg.Now = nil
		s.Service = s.service(cfg)
		test(t, s)
	})
}

// held is a stream that service holds for a grant's cookie.
func held(t *testing.T, service *identity.Service, cookie *http.Cookie, host workspace.Host) context.Context {
	t.Helper()
	g, err := service.CheckGrant(request("/", cookie), host)
	if err != nil {
		t.Fatal(err)
	}
	ctx, release := service.Hold(context.Background(), g)
	t.Cleanup(release)
	return ctx
}

func TestRun_TwoGatewaysSeeEachOthersRevocationsWithinThePoll(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		one, two := s.gateway(s.store), s.gateway(openStore(t, s.dir))
		asha, ravi := s.person("Asha"), s.person("Ravi")
		hers, his := s.grant(s.caller(asha), ideA), s.grant(s.caller(ravi), ideA)
		time.Sleep(time.Minute)
		her, him := held(t, two, hers, ideA), held(t, two, his, ideA)
		if err := one.Revoke(context.Background(), identity.Revocation{Person: asha.ID, Workspace: wsA}); err != nil {
			t.Fatal(err)
		}
		mustBe(t, "at once where it was revoked", check(one, hers, ideA), identity.ErrNoGrant)
		start := time.Now()
		<-her.Done()
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("the other gateway's stream ended after %v", took)
		}
		mustBe(t, "on the other gateway", check(two, hers, ideA), identity.ErrNoGrant)
		mustBe(t, "his stream", him.Err(), nil)
		mustBe(t, "his grant", check(two, his, ideA), nil)
	})
}

func TestRun_ARevokedSessionAndADisabledPersonEndOnEveryGatewayWithinThePoll(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		one, two := s.gateway(s.store), s.gateway(openStore(t, s.dir))
		asha := s.person("Asha")
		lost, here := s.signIn(asha), s.signIn(asha)
		who := func(cookie *http.Cookie) identity.Caller {
			caller, err := two.Authenticate(request("/", cookie))
			if err != nil {
				t.Fatal(err)
			}
			return caller
		}
		tab, stays := held(t, two, s.grant(who(lost), ideA), ideA), held(t, two, s.grant(who(here), ideA), ideA)
		time.Sleep(time.Minute)
		within := func(what string, stream context.Context) {
			t.Helper()
			start := time.Now()
			<-stream.Done()
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: ended after %v", what, took)
			}
		}
		if err := one.RevokeSession(context.Background(), who(here), who(lost).Session.ID()); err != nil {
			t.Fatal(err)
		}
		within("the revoked session's stream", tab)
		_, err := two.Authenticate(request("/", lost))
		mustBe(t, "the revoked session", err, identity.ErrNoSession)
		mustBe(t, "the other's stream", stays.Err(), nil)
		s.set(asha, func(p *identity.Person) { p.Disabled = true })
		if err := one.RevokePerson(context.Background(), asha.ID); err != nil {
			t.Fatal(err)
		}
		within("the disabled person's stream", stays)
	})
}

func TestRun_FiveMinutesWithoutAStoreEndGrantsUntilItIsBack(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		store := &silentStore{Store: s.store}
		service := s.gateway(store)
		cookie := s.grant(s.caller(s.person("Asha")), ideA)
		time.Sleep(time.Minute)
		stream := held(t, service, cookie, ideA)
		store.silent.Store(true)
		time.Sleep(5*time.Minute - 3*time.Second)
		mustBe(t, "just before", check(service, cookie, ideA), nil)
		mustBe(t, "a stream just before", stream.Err(), nil)
		time.Sleep(6 * time.Second)
		mustBe(t, "after five minutes", check(service, cookie, ideA), workspace.ErrStoreDown)
		if stream.Err() == nil {
			t.Error("a stream goes on though nothing can be revoked any more")
		}
		forged := &http.Cookie{Name: cookie.Name, Value: cookie.Value + "x"}
		mustBe(t, "a forged one meanwhile", check(service, forged, ideA), identity.ErrNoGrant)
		store.silent.Store(false)
		time.Sleep(3 * time.Second)
		mustBe(t, "when the store is back", check(service, cookie, ideA), nil)
		mustBe(t, "a stream then", held(t, service, cookie, ideA).Err(), nil)
	})
}

func TestRun_WhatWasRevokedDuringSilenceCountsAfterwards(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		store := &silentStore{Store: s.store}
		service := s.gateway(store)
		asha := s.person("Asha")
		cookie := s.grant(s.caller(asha), ideA)
		time.Sleep(time.Minute)
		stream := held(t, service, cookie, ideA)
		store.silent.Store(true)
		time.Sleep(time.Minute)
		if err := s.Revoke(context.Background(), identity.Revocation{Person: asha.ID, Workspace: wsA}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		mustBe(t, "while it is silent", check(service, cookie, ideA), nil)
		store.silent.Store(false)
		<-stream.Done()
		mustBe(t, "afterwards", check(service, cookie, ideA), identity.ErrNoGrant)
	})
}

func TestRun_AReadThatHangsIsGivenUpAndTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		store := &silentStore{Store: s.store}
		service := s.gateway(store)
		cookie := s.grant(s.caller(s.person("Asha")), ideA)
		store.hangs.Store(true)
		time.Sleep(time.Minute)
		store.hangs.Store(false)
		time.Sleep(15 * time.Second)
		before := store.reads.Load()
		time.Sleep(20 * time.Second)
		if got := store.reads.Load() - before; got < 9 {
			t.Errorf("%d reads in 20 s after a read hung", got)
		}
		mustBe(t, "the grant", check(service, cookie, ideA), nil)
	})
}

func TestRun_AStreamEndsWhenItsSessionMust(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		service := s.gateway(&silentStore{Store: s.store, idle: true})
		caller := s.caller(s.person("Asha"))
		g, err := service.CheckGrant(request("/", s.grant(caller, ideA)), ideA)
		if err != nil {
			t.Fatal(err)
		}
		g.EndsAt = time.Now().Add(time.Hour) // a sign-in of almost a week ago
		tab, release := service.Hold(context.Background(), g)
		defer release()
		caller.Session.ExpiresAt = time.Now().Add(30 * time.Minute) // one that nobody used for almost a day
		events, release := service.HoldCaller(context.Background(), caller)
		defer release()
		for _, step := range []struct {
			wait          time.Duration
			events, stays bool
		}{{29 * time.Minute, true, true}, {2 * time.Minute, false, true}, {28 * time.Minute, false, true}, {2 * time.Minute, false, false}} {
			time.Sleep(step.wait)
			if got := events.Err() == nil; got != step.events {
				t.Errorf("the console's stream goes on: %v", got)
			}
			if got := tab.Err() == nil; got != step.stays {
				t.Errorf("the workspace's stream goes on: %v", got)
			}
		}
	})
}

func TestRun_PurgesWhatHasEnded(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.gateway(&silentStore{Store: s.store, idle: true})
		session := s.caller(s.person("Asha")).Session
		if err := s.store.TouchSession(context.Background(), session.Hash, time.Now(), time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour + time.Minute)
		if _, err := s.store.Session(context.Background(), session.Hash); err != identity.ErrNotFound {
			t.Errorf("the session that ended: %v", err)
		}
	})
}

func TestHold_EndsWithTheRequestAndCountsWhatIsOpen(t *testing.T) {
	s := newSite(t)
	cookie := s.grant(s.caller(s.person("Asha")), ideA)
	g, err := s.CheckGrant(request("/", cookie), ideA)
	if err != nil {
		t.Fatal(err)
	}
	parent, cancel := context.WithCancel(context.Background())
	defer cancel()
	var releases []func()
	var streams []context.Context
	for range 100 {
		ctx, release := s.Hold(parent, g)
		streams, releases = append(streams, ctx), append(releases, release)
	}
	if s.Open() != 100 {
		t.Errorf("%d open", s.Open())
	}
	releases[0]()
	if streams[0].Err() == nil || streams[1].Err() != nil || s.Open() != 99 {
		t.Error("a release ends another request than its own")
	}
	cancel()
	for i, ctx := range streams {
		if ctx.Err() == nil {
			t.Errorf("stream %d outlives its request", i)
		}
		releases[i]()
		releases[i]() // twice does no harm
	}
	if s.Open() != 0 {
		t.Errorf("%d open at the end", s.Open())
	}
}

// However a revocation and a request meet, the request does not slip through.
func TestHold_NeverMissesARevocation(t *testing.T) {
	s := newSite(t)
	caller := s.caller(s.person("Asha"))
	for range 50 {
		session := identity.Hash(identity.NewSecret())
		g := identity.Grant{Session: session, Person: caller.Person.ID, Label: string(wsA), IssuedAt: s.clock.Now()}
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Revoke(context.Background(), identity.Revocation{Session: session}); err != nil {
				t.Error(err)
			}
		})
		for i := range 8 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 300 * time.Microsecond) // some before, some after
				ctx, release := s.Hold(context.Background(), g)
				defer release()
				<-ctx.Done() // would hang
			})
		}
		wg.Wait()
	}
}

// A held request's context is one of our own making: it keeps the promises of package context.
func TestHold_ItsContextIsOneLikeAnyOther(t *testing.T) {
	s := newSite(t)
	cookie := s.grant(s.caller(s.person("Asha")), ideA)
	g, err := s.CheckGrant(request("/", cookie), ideA)
	if err != nil {
		t.Fatal(err)
	}
	hold := func(t *testing.T) (ctx context.Context, end func()) {
		t.Helper()
		parent, cancel := context.WithCancelCause(context.WithValue(t.Context(), contextKey{}, "value"))
		ctx, release := s.Hold(parent, g)
		t.Cleanup(release)
		return ctx, func() { cancel(errors.New("left")) }
	}
	t.Run("children end with it", func(t *testing.T) {
		ctx, end := hold(t)
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		called := make(chan struct{})
		context.AfterFunc(ctx, func() { close(called) })
		if ctx.Err() != nil || child.Err() != nil || ctx.Value(contextKey{}) != "value" {
			t.Fatal("it ended before its time, or lost a value")
		}
		end()
		<-child.Done()
		<-ctx.Done()
		<-called
		if !errors.Is(ctx.Err(), context.Canceled) || context.Cause(child).Error() != "left" {
			t.Errorf("it ended with %v, the child because of %v", ctx.Err(), context.Cause(child))
		}
	})
	t.Run("a function that is stopped is not called", func(t *testing.T) {
		ctx, end := hold(t)
		var functions [3]func() bool
		ran := make(chan int, 3)
		for i := range functions {
			functions[i] = context.AfterFunc(ctx, func() { ran <- i })
		}
		if !functions[0]() || functions[0]() || !functions[2]() {
			t.Error("stop does not tell whether it stopped it")
		}
		end()
		if i := <-ran; i != 1 {
			t.Errorf("function %d was called", i)
		}
		<-ctx.Done()
		if functions[1]() {
			t.Error("one that has begun was stopped")
		}
		late := make(chan struct{})
		if context.AfterFunc(ctx, func() { close(late) })() {
			t.Error("one that is asked for too late was stopped")
		}
		<-late
	})
	t.Run("an error and an open channel never meet", func(t *testing.T) {
		ctx, end := hold(t)
		end()
		if ctx.Err() == nil {
			t.Fatal("it outlives its request")
		}
		select {
		case <-ctx.Done():
		default:
			t.Error("it has ended, and its channel is open")
		}
	})
}

type contextKey struct{}
