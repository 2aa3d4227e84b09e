package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

// reached returns the one request that reached a container.
func (w *world) reached() runtimetest.Request {
	w.Helper()
	all := w.runtime.Requests()
	if len(all) != 1 {
		w.Fatalf("%d requests reached a container, want 1", len(all))
	}
	return all[0]
}

// evil are identity headers as a client may spell them.
var evil = []string{
	"X-Kalpana-Token", "stolen", "X-Kalpana-Token", "twice", "x-kalpana-token", "lower", "X_Kalpana_Token", "under", "X.Kalpana.Token", "dots",
	"x.kalpana-token", "mixed", "X~Kalpana~Token", "tilde", "X-Kalpana-User", "admin", "X_KALPANA_PORT", "22", "X-Kalpana-Port", "22",
	"X-Kalpanauser", "admin", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-Host", "evil.com", "X-Forwarded-Proto", "https", "X_Forwarded_For", "1.2.3.4",
	"X-Forwarded-Prefix", "/evil", "X-Forwarded-User", "admin", "X.Forwarded.Host", "evil.com", "Forwarded", "host=evil.com", "X-Real-Ip", "1.2.3.4",
	"X_Real_IP", "1.2.3.4",
}

func TestRequest_NoIdentityHeaderGetsThroughAndOursAreSetOnce(t *testing.T) {
	for name, of := range map[string]func(workspace.ID) workspace.Host{
		"ide": ide, "preview": func(id workspace.ID) workspace.Host { return preview(id, 3000) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.running()
			host := of(id)
			headers := append(slices.Clone(evil), "Connection", "X-Kalpana-Token, X-Forwarded-Host")
			a := w.do(w.program("GET", w.hosts.Origin(host)+"/", w.grant(host), headers...))
			if a.StatusCode != http.StatusOK {
				t.Fatalf("%d %s", a.StatusCode, a.text)
			}
			got := w.reached()
			record, err := w.store.Workspace(t.Context(), id)
			w.must(err)
			want := http.Header{
				"Accept":            {"*/*"},
				"User-Agent":        {"Go-http-client/1.1"},
				bridge.TokenHeader:  {tokenOf(w.runtime.Spec(record.Container).Env)},
				"X-Forwarded-For":   {"127.0.0.1"},
				"X-Forwarded-Host":  {strings.TrimPrefix(w.hosts.Origin(host), "http://")},
				"X-Forwarded-Proto": {"http"},
			}
			port := bridge.IDEPort
			if host.Kind == workspace.HostPreview {
				want[bridge.PortHeader] = []string{"3000"}
				port = bridge.BridgePort
			}
			if diff := cmp.Diff(want, got.Header); diff != "" {
				t.Error(diff)
			}
			if got.Port != port || got.Host != want["X-Forwarded-Host"][0] || got.Workspace != id {
				t.Errorf("it reached port %d of %s as %s", got.Port, got.Workspace, got.Host)
			}
		})
	}
}

func tokenOf(env []string) string {
	for _, v := range env {
		if token, ok := strings.CutPrefix(v, bridge.EnvToken+"="); ok {
			return token
		}
	}
	return ""
}

// The parts that a client library would not send: folded lines, trailers, odd spellings.
func TestRequest_NoIdentityHeaderGetsThroughRaw(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := ide(id)
	grant := w.grant(host)
	name := strings.TrimPrefix(w.hosts.Origin(host), "http://")
	for what, lines := range map[string]string{
		"a trailer":        "Transfer-Encoding: chunked\r\nTrailer: X-Kalpana-User, X-Kalpana-Token\r\n\r\n1\r\na\r\n0\r\nX-Kalpana-User: admin\r\nX-Kalpana-Token: stolen\r\n\r\n",
		"no space":         "X-Kalpana-User:admin\r\nx-KALPANA-toKEN:stolen\r\n\r\n",
		"a folded line":    "X-Other: a\r\n X-Kalpana-User: admin\r\n\r\n",
		"empty":            "X-Kalpana-User:\r\nX_Kalpana_User:\r\n\r\n",
		"a space before :": "X-Kalpana-User : admin\r\n\r\n",
		"digits":           "X-Kalpana-User2: admin\r\n\r\n",
	} {
		before := len(w.runtime.Requests())
		conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
		w.must(err)
		_, err = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nCookie: %s\r\n%s", name, name, grant, lines)
		w.must(err)
		_ = conn.SetReadDeadline(time.Now().Add(patient))
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		w.must(err)
		_ = resp.Body.Close()
		_ = conn.Close()
		for _, got := range w.runtime.Requests()[before:] {
			for header, values := range got.Header {
				folded := strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(header))
				if strings.HasPrefix(folded, "x-kalpana") && (header != bridge.TokenHeader || len(values) != 1 || len(values[0]) != 64) {
					t.Errorf("%s: %s %q", what, header, values)
				}
			}
		}
	}
}

// Behind a proxy that the operator trusts, an app is told of the client, and not of the proxy.
func TestRequest_AnAppIsToldTheAddressThatATrustedProxyVouchesFor(t *testing.T) {
	said := "203.0.113.7"
	w := newWorld(t, options{client: func(*http.Request) string { return said }})
	id := w.running()
	for _, address := range []string{"203.0.113.7", "2001:db8::1", "", "@"} {
		said = address
		want := []string{address}
		switch address {
		case "":
			want = []string{"127.0.0.1"}
		case "@": // a Unix socket
			want = nil
		}
		for what, r := range map[string]*http.Request{
			"a request": w.program("GET", w.hosts.URL(id), w.grant(ide(id)), "X-Forwarded-For", "192.0.2.1"),
			"a body":    w.program("POST", w.hosts.URL(id), w.grant(ide(id)), "X-Forwarded-For", "192.0.2.1", "Origin", w.hosts.Origin(ide(id))),
		} {
			if r.Method == http.MethodPost {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader("x")), 1
			}
			w.do(r)
			got := w.runtime.Requests()
			if diff := cmp.Diff(want, got[len(got)-1].Header["X-Forwarded-For"]); diff != "" {
				t.Errorf("%s from %q: %s", what, address, diff)
			}
		}
	}
}

func TestRequest_OurCookiesStayAndTheAppsPassUntouched(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	host := preview(id, 3000)
	grant := w.grant(host)
	for given, want := range map[string][]string{
		grant:                              nil,
		"a=1; " + grant + "; b=\"x y\"; c": {"a=1; b=\"x y\"; c"},
		grant + "; " + identity.NonceCookie + "=n; " + identity.SessionCookie + "=s; __Host-kalpana_new=x; a=1": {"a=1"},
		"__host-kalpana_grant=app; xkalpana=1; " + grant:                                                        {"__host-kalpana_grant=app; xkalpana=1"},
	} {
		before := len(w.runtime.Requests())
		r := w.program("GET", w.hosts.Origin(host)+"/", given, "Authorization", "Bearer of the app", "X-Api-Key", "k", "Te", "trailers")
		if a := w.do(r); a.StatusCode != http.StatusOK {
			t.Fatalf("%d %s", a.StatusCode, a.text)
		}
		got := w.runtime.Requests()[before]
		if diff := cmp.Diff(want, got.Header["Cookie"]); diff != "" {
			t.Errorf("%q: %s", given, diff)
		}
		if got.Header.Get("Authorization") != "Bearer of the app" || got.Header.Get("X-Api-Key") != "k" {
			t.Errorf("headers %v", got.Header)
		}
	}
}

// A sibling may set a cookie for the parent domain, which a browser sends after ours or before.
func TestRequest_ATossedCookieDoesNothing(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	grant := w.grant(host)
	tossed := "kalpana_grant=evil; __Secure-kalpana_grant=evil"
	for _, cookie := range []string{tossed + "; " + grant, grant + "; " + tossed} {
		if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", cookie)); a.StatusCode != http.StatusOK {
			t.Errorf("%d", a.StatusCode)
		}
	}
}

func TestRequest_TheAddressPassesAsItCame(t *testing.T) {
	w := newWorld(t)
	host := preview(w.running(), 3000)
	grant := w.grant(host)
	for _, path := range []string{
		"/a%2fb/..%2fc", "/%41", "/a;b=c?d;e=f&g=%ZZ&h", "/?", "/a//b/./c/../d", "//double", "/%2e%2e/x", "/%C3%BC", "/?q=a+b%20c;d",
	} {
		before := len(w.runtime.Requests())
		r := w.program("GET", w.hosts.Origin(host)+"/", grant)
		u, err := url.ParseRequestURI(path)
		w.must(err)
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery, r.URL.ForceQuery = u.Path, u.RawPath, u.RawQuery, u.ForceQuery
		if a := w.do(r); a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", path, a.StatusCode, a.text)
		}
		if got := w.runtime.Requests()[before]; got.URI != path {
			t.Errorf("%s arrives as %s", path, got.URI)
		}
	}
}

func TestResponse_AWorkspaceCannotSetOurCookies(t *testing.T) {
	w := newWorld(t)
	host := preview(w.running(), 3000)
	set := url.Values{"Set-Cookie": {
		"__Host-kalpana_grant=evil; Path=/; Secure", "app=1; Path=/", "  __Host-kalpana_session=evil", "=__Host-kalpana_grant=evil; Secure",
		"\t=\t__Host-kalpana_handoff=evil", "__Host-app=2; Path=/; Secure",
	}}
	a := w.do(w.program("GET", w.hosts.Origin(host)+"/headers?"+set.Encode(), w.grant(host)))
	if diff := cmp.Diff([]string{"app=1; Path=/", "__Host-app=2; Path=/; Secure"}, a.Header["Set-Cookie"]); diff != "" {
		t.Error(diff)
	}
}

func TestResponse_AWorkspaceCannotClearCookies(t *testing.T) {
	w := newWorld(t)
	host := preview(w.running(), 3000)
	for given, want := range map[string]string{`"cookies"`: "", `"*"`: "", `"cache", "cookies"`: "", `"cache", "storage"`: `"cache", "storage"`} {
		set := url.Values{"Clear-Site-Data": {given}}
		a := w.do(w.program("GET", w.hosts.Origin(host)+"/headers?"+set.Encode(), w.grant(host)))
		if got := a.Header.Get("Clear-Site-Data"); got != want {
			t.Errorf("%s passes as %q", given, got)
		}
	}
}

func TestResponse_AnEarlyHintSetsNoCookie(t *testing.T) {
	w := newWorld(t)
	host := ide(w.running())
	name := strings.TrimPrefix(w.hosts.Origin(host), "http://")
	conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
	w.must(err)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patient))
	_, err = fmt.Fprintf(conn, "GET /early HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: close\r\n\r\n", name, w.grant(host))
	w.must(err)
	in := textproto.NewReader(bufio.NewReader(conn))
	status, err := in.ReadLine()
	w.must(err)
	headers, err := in.ReadMIMEHeader()
	w.must(err)
	if status != "HTTP/1.1 103 Early Hints" || headers.Get("Link") == "" || headers.Get("Set-Cookie") != "" {
		t.Errorf("%s %v", status, headers)
	}
}

func TestResponse_IsFramedByItselfTheConsoleAndItsVSCodeOnly(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	given := url.Values{
		"X-Frame-Options":         {"DENY"},
		"Content-Security-Policy": {"default-src 'self'; frame-ancestors *"},
		"X-App":                   {"stays"},
	}
	a := w.do(w.program("GET", w.hosts.Origin(ide(id))+"/headers?"+given.Encode(), w.grant(ide(id))))
	want := []string{"default-src 'self'; frame-ancestors *", "frame-ancestors 'self' " + console}
	if diff := cmp.Diff(want, a.Header["Content-Security-Policy"]); diff != "" {
		t.Error(diff)
	}
	if a.Header.Get("X-Frame-Options") != "" || a.Header.Get("X-App") != "stays" {
		t.Errorf("headers %v", a.Header)
	}
	host := preview(id, 3000)
	a = w.do(w.program("GET", w.hosts.Origin(host)+"/headers?"+given.Encode(), w.grant(host)))
	want[1] = "frame-ancestors 'self' " + w.hosts.Origin(ide(id)) + " " + console
	if diff := cmp.Diff(want, a.Header["Content-Security-Policy"]); diff != "" || a.Header.Get("X-Frame-Options") != "DENY" {
		t.Errorf("a preview's own policy was taken away, or lets siblings frame it: %v", a.Header)
	}
}

func TestResponse_AStatusThatIsNoneIsABadGateway(t *testing.T) {
	w := newWorld(t)
	w.runtime.App = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		if err == nil {
			_, _ = conn.Write([]byte("HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n"))
			_ = conn.Close()
		}
	})
	host := ide(w.running())
	w.wantProblem(w.do(w.program("GET", w.hosts.Origin(host)+"/", w.grant(host))), http.StatusBadGateway)
}

func TestResponse_EndlessHeadersAreCutOff(t *testing.T) {
	w := newWorld(t)
	w.runtime.App = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		for i := range 1000 {
			rw.Header().Set(fmt.Sprintf("X-Long-%d", i), strings.Repeat("x", 1000))
		}
	})
	host := ide(w.running())
	w.wantProblem(w.do(w.program("GET", w.hosts.Origin(host)+"/", w.grant(host))), http.StatusBadGateway)
}
