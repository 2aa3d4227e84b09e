package identity_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

func TestGitIdentity_IsWhatThePersonSaidElseWhatIsKnown(t *testing.T) {
	s := newSite(t)
	asha := s.caller(s.person("Asha"))
	for _, try := range []struct {
		name, email         string
		wantName, wantEmail string
		err                 error
	}{
		{"", "", "Asha", "", nil},
		{"", " Asha.Rao@Example.com ", "Asha", "Asha.Rao@Example.com", nil}, // as she writes it
		{"Asha Rao", "1234+asha@users.noreply.github.com", "Asha Rao", "1234+asha@users.noreply.github.com", nil},
		{"two\nlines", "", "Asha Rao", "1234+asha@users.noreply.github.com", identity.ErrGitName},
		{strings.Repeat("a", 65), "", "Asha Rao", "1234+asha@users.noreply.github.com", identity.ErrGitName},
		{"", "asha@", "Asha Rao", "1234+asha@users.noreply.github.com", identity.ErrGitEmail},
		{"", "a <b@c.d>", "Asha Rao", "1234+asha@users.noreply.github.com", identity.ErrGitEmail},
		{"", "", "Asha", "", nil}, // taken back
	} {
		if err := s.SetGitIdentity(t.Context(), asha, try.name, try.email); !errors.Is(err, try.err) {
			t.Errorf("%q <%s>: %v", try.name, try.email, err)
		}
		p, err := s.Person(t.Context(), asha.Person.ID)
		if err != nil {
			t.Fatal(err)
		}
		if name, email := p.Committer(); name != try.wantName || email != try.wantEmail {
			t.Errorf("after %q <%s> it is %q <%s>", try.name, try.email, name, email)
		}
	}
	p := identity.Person{Name: "Asha", Email: "asha@example.com", GitEmail: "other@example.com"}
	if name, email := p.Committer(); name != "Asha" || email != "other@example.com" {
		t.Errorf("%q <%s>", name, email)
	}
}
