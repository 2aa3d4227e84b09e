package api_test

import (
	"slices"
	"testing"

	"github.com/kalpana-dev/kalpana/api"
)

func TestGitIdentity_IsSetShownAndToldToWorkspaces(t *testing.T) {
	s := newSite(t)
	var told []string
	s.committer = func(person string) { told = append(told, person) }
	asha := s.signIn("Asha")
	shown := func() api.GitIdentityView {
		return decode[api.GitIdentityView](t, asha.must(200, "GET", "/api/git-identity", nil))
	}
	if got := shown(); got != (api.GitIdentityView{DefaultName: "Asha"}) {
		t.Errorf("%+v", got)
	}
	mine := api.GitIdentity{Name: "Asha Rao", Email: "asha@example.com"}
	asha.must(204, "PUT", "/api/git-identity", mine)
	if got := shown(); got.GitIdentity != mine || got.DefaultName != "Asha" {
		t.Errorf("%+v", got)
	}
	asha.must(422, "PUT", "/api/git-identity", api.GitIdentity{Email: "nobody"})
	if got := shown(); got.GitIdentity != mine {
		t.Errorf("what was refused is kept: %+v", got)
	}
	if got := decode[api.GitIdentityView](t, s.signIn("Ravi").must(200, "GET", "/api/git-identity", nil)); got.Email != "" {
		t.Errorf("somebody else has it: %+v", got)
	}
	if !slices.Equal(told, []string{asha.caller().Person.ID}) {
		t.Errorf("told %v", told)
	}
}
