package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
)

const ownKey = "sk-or-v1-0123456789abcdef"

func TestAgentKey_IsCheckedSealedAndNeverTold(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	var asked []string
	s.checkKey = func(_ context.Context, key string) error { asked = append(asked, key); return nil }
	if got := decode[api.AgentKey](t, asha.must(200, "GET", "/api/agent/key", nil)); got.Set || got.Last != "" {
		t.Errorf("%+v", got)
	}
	set := asha.must(200, "PUT", "/api/agent/key", api.NewAgentKey{Key: " " + ownKey + "\n"})
	got := asha.must(200, "GET", "/api/agent/key", nil)
	for _, w := range []string{set.Body.String(), got.Body.String()} {
		if strings.Contains(w, ownKey[:8]) {
			t.Errorf("it is told: %s", w)
		}
	}
	if k := decode[api.AgentKey](t, got); !k.Set || k.Last != "cdef" || k.Note != "" || k.UpdatedAt == nil || time.Since(*k.UpdatedAt) > time.Minute {
		t.Errorf("%+v", k)
	}
	if len(asked) != 1 || asked[0] != ownKey {
		t.Errorf("the provider was asked about %q", asked)
	}
	if key, err := s.identity.ModelKey(t.Context(), asha.caller().Person.ID); err != nil || key != ownKey {
		t.Errorf("%q, %v", key, err)
	}
	if got := decode[api.AgentKey](t, s.signIn("Ravi").must(200, "GET", "/api/agent/key", nil)); got.Set {
		t.Errorf("somebody else has it: %+v", got)
	}
	if !decode[api.Models](t, asha.must(200, "GET", "/api/agent/models", nil)).OwnKey {
		t.Error("the list of models does not tell of it")
	}
	asha.must(204, "DELETE", "/api/agent/key", nil)
	asha.must(204, "DELETE", "/api/agent/key", nil)
	if got := decode[api.AgentKey](t, asha.must(200, "GET", "/api/agent/key", nil)); got.Set {
		t.Errorf("%+v", got)
	}
	var events []string
	for _, e := range s.admin().audit("?action=" + identity.ActionModelKey) {
		events = append(events, e.Detail)
		if strings.Contains(e.Detail, "cdef") {
			t.Errorf("the audit log tells of the key: %s", e.Detail)
		}
	}
	if strings.Join(events, " ") != "set removed" {
		t.Errorf("%v", events)
	}
}

func TestAgentKey_WhatTheProviderDoesNotTakeIsRefused(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	s.checkKey = func(context.Context, string) error {
		return &model.Error{Kind: model.KindUnauthorized, Status: http.StatusUnauthorized, Message: "no"}
	}
	p := problemOf(t, asha.must(422, "PUT", "/api/agent/key", api.NewAgentKey{Key: ownKey}))
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.key" || !strings.HasPrefix(p.Detail, "The provider does not take this key.") {
		t.Errorf("%+v", p)
	}
	s.checkKey = func(context.Context, string) error { t.Error("it was asked"); return nil }
	p = problemOf(t, asha.must(422, "PUT", "/api/agent/key", api.NewAgentKey{Key: "my key"}))
	if len(p.Errors) != 1 || p.Errors[0].Location != "body.key" || !strings.HasPrefix(p.Detail, "This is no key") {
		t.Errorf("%+v", p)
	}
	if got := decode[api.AgentKey](t, asha.must(200, "GET", "/api/agent/key", nil)); got.Set {
		t.Errorf("%+v", got)
	}
}

// A provider that does not answer keeps nobody from saving a key.
func TestAgentKey_IsTakenWithANoteWhileTheProviderDoesNotAnswer(t *testing.T) {
	s := newSite(t)
	asha := s.signIn("Asha")
	for kind, want := range map[model.Kind]string{
		model.KindUnavailable: "could not be asked", model.KindRefused: "could not be asked", model.KindNoCredit: "no credit left",
	} {
		s.checkKey = func(context.Context, string) error { return &model.Error{Kind: kind, Message: "no"} }
		if got := decode[api.AgentKey](t, asha.must(200, "PUT", "/api/agent/key", api.NewAgentKey{Key: ownKey})); !got.Set || !strings.Contains(got.Note, want) {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

func TestAgentKey_OneThatCannotBeOpenedSaysSo(t *testing.T) {
	s := newSite(t)
	asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
	asha.must(200, "PUT", "/api/agent/key", api.NewAgentKey{Key: ownKey})
	moved, err := s.store.ModelKey(t.Context(), asha.caller().Person.ID)
	if err != nil {
		t.Fatal(err)
	}
	moved.Person = ravi.caller().Person.ID
	if err := s.store.PutModelKey(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	if p := problemOf(t, ravi.must(409, "GET", "/api/agent/models", nil)); !strings.Contains(p.Detail, "enter it again in the settings") {
		t.Errorf("%+v", p)
	}
	ravi.must(200, "PUT", "/api/agent/key", api.NewAgentKey{Key: ownKey})
	ravi.must(200, "GET", "/api/agent/models", nil)
}
