package identity_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/identity"
)

func TestStripCookies_KeepsTheAppsByteForByte(t *testing.T) {
	const grant, nonce, session = "__Host-kalpana_grant=1.a.b", "__Host-kalpana_handoff=x", "__Host-kalpana_session=y"
	odd := "a=\"x y\"; b={\"k\":1,\"v\":[2]}; c=; =d; e; f=\xff\xfe; g=a=b=c; h= x ; i=\u00a0"
	for _, test := range []struct {
		name        string
		given, want []string
	}{
		{"none", nil, nil},
		{"the app's alone", []string{"a=b"}, []string{"a=b"}},
		{"the app's alone, odd ones", []string{odd, ";; ", "a=1;a=2"}, []string{odd, ";; ", "a=1;a=2"}},
		{"ours alone", []string{grant}, nil},
		{"all of ours", []string{grant + "; " + nonce + "; " + session}, nil},
		{"ours first", []string{grant + "; " + odd}, []string{odd}},
		{"ours last", []string{odd + "; " + grant}, []string{odd}},
		{"ours between", []string{"a=1; " + grant + "; b=2"}, []string{"a=1; b=2"}},
		{"without spaces", []string{"a=1;" + grant + ";b=2"}, []string{"a=1;b=2"}},
		{"ours twice", []string{grant + "; a=1; " + grant}, []string{"a=1"}},
		{"several headers", []string{"a=1", grant, odd + "; " + grant, nonce + ";b=2"}, []string{"a=1", odd, "b=2"}},
		{"ours without a value", []string{"__Host-kalpana_grant; a=1"}, []string{"a=1"}},
		{"a later one of ours", []string{"__Host-kalpana_new=1; a=1"}, []string{"a=1"}},
		{"strange space before ours", []string{"a=1;\t\u00a0" + grant}, []string{"a=1"}},
		{"the app's with names like ours", []string{"kalpana_grant=1; x__Host-kalpana_grant=2; __Host-kalpan=3"}, []string{"kalpana_grant=1; x__Host-kalpana_grant=2; __Host-kalpan=3"}},
		{"our name in the app's value", []string{"a=__Host-kalpana_grant=1; b=2"}, []string{"a=__Host-kalpana_grant=1; b=2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			given := append([]string(nil), test.given...)
			h := http.Header{"Accept": {"*/*"}}
			if given != nil {
				h["Cookie"] = given
			}
			identity.StripCookies(h)
			if diff := cmp.Diff(test.want, h["Cookie"]); diff != "" {
				t.Error(diff)
			}
			if _, ok := h["Cookie"]; ok != (test.want != nil) || h.Get("Accept") != "*/*" {
				t.Errorf("%v", h)
			}
			if diff := cmp.Diff(test.given, given); diff != "" {
				t.Errorf("the slice of the incoming request was changed: %s", diff)
			}
		})
	}
}

// Whatever a browser sends: if CheckGrant would find a cookie, the container must not.
func FuzzStripCookies(f *testing.F) {
	for _, seed := range []string{"a=b; __Host-kalpana_grant=x; c=d", ";;__Host-kalpana_grant", "\t__Host-kalpana_session=1", "a=\"; __Host-kalpana_grant=x\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cookies string) {
		h := http.Header{"Cookie": {cookies}}
		identity.StripCookies(h)
		var kept []string
		for _, header := range h["Cookie"] {
			kept = append(kept, strings.Split(header, ";")...)
		}
		for _, part := range kept {
			if strings.HasPrefix(strings.TrimSpace(part), "__Host-kalpana_") {
				t.Fatalf("%q becomes %q", cookies, h["Cookie"])
			}
		}
		if !strings.Contains(cookies, "__Host-kalpana_") && cookies != "" && h.Get("Cookie") != cookies {
			t.Fatalf("%q becomes %q", cookies, h["Cookie"])
		}
	})
}
