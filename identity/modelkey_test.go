package identity_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

const ownKey = "sk-or-v1-0123456789abcdef"

// keyRing is an installation that can seal, and a person.
func keyRing(t *testing.T) (*site, *identity.Service, identity.Caller) {
	t.Helper()
	s := newSite(t)
	cfg := s.config()
	cfg.Sealer = identity.NewSealer()
	return s, s.service(cfg), s.caller(s.person("Asha"))
}

func wantModelKey(t *testing.T, s *identity.Service, person, want string) {
	t.Helper()
	got, err := s.ModelKey(t.Context(), person)
	if err != nil || got != want {
		t.Errorf("the key is %q, %v; want %q", got, err, want)
	}
}

func TestModelKey_IsSealedAndTellsOnlyItsEnd(t *testing.T) {
	s, service, asha := keyRing(t)
	wantModelKey(t, service, asha.Person.ID, "")
	set, err := service.SetModelKey(t.Context(), asha, "  "+ownKey+"\n")
	mustBe(t, "set", err, nil)
	if set.Last != "cdef" || set.Person != asha.Person.ID {
		t.Errorf("%+v", set)
	}
	kept, has, err := service.OwnModelKey(t.Context(), asha.Person.ID)
	if err != nil || !has || kept.Last != "cdef" || bytes.Contains(kept.Sealed, []byte(ownKey)) {
		t.Errorf("%+v, %v, %v", kept, has, err)
	}
	wantModelKey(t, service, asha.Person.ID, ownKey)

	_, err = service.SetModelKey(t.Context(), asha, "another-key-of-hers-1234")
	mustBe(t, "set again", err, nil)
	wantModelKey(t, service, asha.Person.ID, "another-key-of-hers-1234")

	mustBe(t, "delete", service.DeleteModelKey(t.Context(), asha), nil)
	mustBe(t, "delete again", service.DeleteModelKey(t.Context(), asha), nil)
	wantModelKey(t, service, asha.Person.ID, "")
	if _, has, err := service.OwnModelKey(t.Context(), asha.Person.ID); err != nil || has {
		t.Errorf("%v, %v", has, err)
	}

	events, err := service.AuditEvents(t.Context(), identity.AuditQuery{Action: identity.ActionModelKey})
	mustBe(t, "audit", err, nil)
	var details []string
	for _, e := range events {
		details = append(details, e.Detail)
	}
	if got := strings.Join(details, " "); got != "removed set set" {
		t.Errorf("audit: %q", got)
	}
	_ = s
}

func TestModelKey_WhatCannotBeOneIsRefused(t *testing.T) {
	_, service, asha := keyRing(t)
	for _, key := range []string{"", "short", "sk-or-v1 0123456789abcdef", "sk-or-v1-\n0123456789abcdef", "sk-or-v1-é0123456789abcdef", strings.Repeat("x", 513)} {
		_, err := service.SetModelKey(t.Context(), asha, key)
		mustBe(t, key, err, identity.ErrModelKey)
	}
	wantModelKey(t, service, asha.Person.ID, "")
}

// A disabled person's key stays, and nobody uses it; it works again with them.
func TestModelKey_OfSomebodyDisabledIsNotUsed(t *testing.T) {
	s, service, asha := keyRing(t)
	_, err := service.SetModelKey(t.Context(), asha, ownKey)
	mustBe(t, "set", err, nil)
	for _, disabled := range []bool{true, false} {
		p, err := s.store.Person(t.Context(), asha.Person.ID)
		mustBe(t, "read", err, nil)
		s.set(p, func(p *identity.Person) { p.Disabled = disabled })
		want := ownKey
		if disabled {
			want = ""
		}
		wantModelKey(t, service, asha.Person.ID, want)
	}
}

// Where the operator goes to another provider, the keys of the one before stay away from it.
func TestModelKey_IsForItsProviderAlone(t *testing.T) {
	s := newSite(t)
	cfg := s.config()
	cfg.Sealer, cfg.ModelsAt = identity.NewSealer(), "https://one.example"
	asha := s.caller(s.person("Asha"))
	_, err := s.service(cfg).SetModelKey(t.Context(), asha, ownKey)
	mustBe(t, "set", err, nil)
	other := cfg
	other.ModelsAt = "https://two.example"
	key, err := s.service(other).ModelKey(t.Context(), asha.Person.ID)
	mustBe(t, "at another provider", err, identity.ErrModelKeyElsewhere)
	if key != "" {
		t.Errorf("it is given %q", key)
	}
	wantModelKey(t, s.service(cfg), asha.Person.ID, ownKey)
}

func TestModelKey_OpensForItsOwnerAlone(t *testing.T) {
	s, service, asha := keyRing(t)
	ravi := s.person("Ravi")
	_, err := service.SetModelKey(t.Context(), asha, ownKey)
	mustBe(t, "set", err, nil)
	kept, err := s.store.ModelKey(t.Context(), asha.Person.ID)
	mustBe(t, "read", err, nil)
	kept.Person = ravi.ID
	mustBe(t, "move", s.store.PutModelKey(t.Context(), kept), nil)
	_, err = service.ModelKey(t.Context(), ravi.ID)
	mustBe(t, "open", err, identity.ErrModelKeyLost)
}

func TestModelKey_IsSealedAnewWithARotatedKeyset(t *testing.T) {
	inVault(t, func(t *testing.T, v *vault) {
		ctx := context.Background()
		service := v.start(v.store)
		asha, ravi := v.caller(v.person("Asha")), v.caller(v.person("Ravi"))
		for _, caller := range []identity.Caller{asha, ravi} {
			_, err := service.SetModelKey(ctx, caller, ownKey)
			mustBe(t, "set", err, nil)
		}
		before, err := v.store.ModelKey(ctx, asha.Person.ID)
		mustBe(t, "read", err, nil)

		if done := v.rotate(service); done.Resealed != 5 || len(done.Lost) != 0 {
			t.Errorf("%+v", done)
		}
		after, err := v.store.ModelKey(ctx, asha.Person.ID)
		mustBe(t, "read", err, nil)
		if bytes.Equal(before.Sealed, after.Sealed) || v.keys() != 1 {
			t.Errorf("it is sealed as before; %d keys", v.keys())
		}
		next := v.start(v.store)
		for _, caller := range []identity.Caller{asha, ravi} {
			key, err := next.ModelKey(ctx, caller.Person.ID)
			if err != nil || key != ownKey {
				t.Errorf("%q, %v", key, err)
			}
		}
	})
}
