package identity_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// asCookie returns a request with the cookie's bytes as they are.
func asCookie(name, value string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Cookie"] = []string{name + "=" + value}
	return r
}

func FuzzGrantCookie(f *testing.F) {
	s := newSite(f)
	caller := s.caller(s.person("Asha"))
	issued := map[string]workspace.Host{}
	for _, host := range []workspace.Host{ideA, ideB, previewA} {
		value := s.grant(caller, host).Value
		issued[value] = host
		f.Add(value)
		f.Add(value[1:])
		f.Add("2" + value[1:])
		f.Add(strings.ReplaceAll(value, ".", ".."))
	}
	f.Add("")
	f.Add("......")
	f.Fuzz(func(t *testing.T, value string) {
		for _, host := range []workspace.Host{ideA, ideB, previewA, {Kind: workspace.HostConsole}, {}} {
			g, err := s.CheckGrant(asCookie(identity.GrantCookie, value), host)
			if err != nil {
				if err != identity.ErrNoGrant || g != (identity.Grant{}) {
					t.Fatalf("%q: %+v, %v", value, g, err)
				}
				continue
			}
			first, _, _ := strings.Cut(value, ";") // the rest is other cookies
			if of, ok := issued[strings.Trim(first, " \t")]; !ok || of != host || g.Label != host.Label() {
				t.Fatalf("%q was never issued for %s, and is taken as %+v", value, host.Label(), g)
			}
		}
	})
}

func FuzzHandoffCookie(f *testing.F) {
	s := newSite(f)
	caller := s.caller(s.person("Asha"))
	nonce, challenge := begin(f, s.Service, ideA, "/path")
	_, code, _ := strings.Cut(s.approve(caller, ideA, challenge), "?code=")
	_, elsewhere := begin(f, s.Service, ideB, "/")
	_, other, _ := strings.Cut(s.approve(caller, ideB, elsewhere), "?code=")
	f.Add(nonce.Value, other)
	f.Add(nonce.Value, "")
	f.Add(nonce.Value[1:], code)
	f.Add(nonce.Value+".", code)
	f.Add("", code)
	f.Add("...", strings.Repeat("x", 43))
	f.Fuzz(func(t *testing.T, value, given string) {
		r := asCookie(identity.NonceCookie, value)
		r.URL.RawQuery = "code=" + given
		grant, clear, path, err := s.CompleteHandoff(r, ideA)
		if err == nil {
			first, _, _ := strings.Cut(value, ";")
			if strings.Trim(first, " \t") != nonce.Value || path != "/path" || r.URL.Query().Get("code") != code {
				t.Fatalf("cookie %q with code %q: grant %v, path %q", value, given, grant, path)
			}
			return
		}
		if err != identity.ErrHandoff || grant != nil || clear != nil || path != "" {
			t.Fatalf("%v, %v, %q, %v", grant, clear, path, err)
		}
	})
}
