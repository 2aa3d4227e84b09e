package identity_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

// A request as VS Code sends it: the grant among a few cookies of the editor's.
func benchRequest(b *testing.B, s *site) *http.Request {
	b.Helper()
	grant := s.grant(s.caller(s.person("Asha")), ideA)
	r := request("/stable/static/out/vs/code/browser/workbench/workbench.js")
	r.Header.Set("Cookie", "vscode-tkn=abc; vscode-secret-key-path=%2F_vscode-cli%2Fmint-key; "+grant.Name+"="+grant.Value)
	return r
}

func BenchmarkCheckGrant(b *testing.B) {
	for name, revoked := range map[string]int{"no revocations": 0, "1,000 of each kind": 1000} {
		b.Run(name, func(b *testing.B) {
			s := newSite(b)
			r := benchRequest(b, s)
			list := make([]identity.Revocation, 0, 4*revoked)
			for range revoked {
				session, person := identity.Hash(identity.NewSecret()), identity.NewSecret()[:26]
				list = append(list, identity.Revocation{Session: session}, identity.Revocation{Person: person},
					identity.Revocation{Workspace: wsB}, identity.Revocation{Person: person, Workspace: wsA})
			}
			s.Apply(list)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.CheckGrant(r, ideA); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheckGrant_Forged(b *testing.B) {
	s := newSite(b)
	r := benchRequest(b, s)
	r.Header.Set("Cookie", strings.Replace(r.Header.Get("Cookie"), "grant=1.", "grant=2.", 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.CheckGrant(r, ideA); err == nil {
			b.Fatal("taken")
		}
	}
}

func BenchmarkHold(b *testing.B) {
	s := newSite(b)
	g, err := s.CheckGrant(benchRequest(b, s), ideA)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, release := s.Hold(context.Background(), g)
			release()
		}
	})
}

func BenchmarkStripCookies(b *testing.B) {
	s := newSite(b)
	header := benchRequest(b, s).Header["Cookie"]
	b.ReportAllocs()
	for b.Loop() {
		identity.StripCookies(http.Header{"Cookie": header})
	}
}
