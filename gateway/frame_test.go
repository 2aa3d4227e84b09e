package gateway_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	oneSite  = "ws.kalpana.localhost" // with the console
	ownSite  = "ws.spaces.localhost"
	asFrame  = "iframe"
	asWindow = "document"
)

// open navigates to address in a window or a frame.
func (w *world) open(dest, address, cookie string) *answer {
	w.Helper()
	return w.do(w.program(http.MethodGet, address, cookie, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", dest, "Sec-Fetch-Site", "cross-site"))
}

// wantCookie checks how a cookie that an answer sets is kept.
func (w *world) wantCookie(a *answer, name string, partitioned bool) {
	w.Helper()
	for _, c := range a.Cookies() {
		if c.Name != name {
			continue
		}
		site := http.SameSiteLaxMode
		if partitioned {
			site = http.SameSiteNoneMode
		}
		if c.Partitioned != partitioned || c.SameSite != site || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" {
			w.Errorf("%s; want partitioned %v", c, partitioned)
		}
		return
	}
	w.Errorf("no cookie %s; status %d", name, a.StatusCode)
}

func challengeOf(t testing.TB, a *answer) (target *url.URL, challenge string) {
	t.Helper()
	target, err := url.Parse(a.Header.Get("Location"))
	if err != nil || a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d to %q", a.StatusCode, a.Header.Get("Location"))
	}
	return target, target.Query().Get("challenge")
}

func TestFrame_CookiesArePartitionedWhereTheConsoleIsAnotherSite(t *testing.T) {
	w := newWorld(t, options{domain: ownSite})
	other := newLoneWorld(t, options{domain: oneSite})
	for _, c := range []struct {
		w    *world
		dest string
		want bool
	}{{w, asFrame, true}, {w, "frame", true}, {w, asWindow, false}, {other, asFrame, false}, {other, asWindow, false}} {
		w := c.w
		host := ide(w.running())
		begun := w.open(c.dest, w.hosts.Origin(host)+"/a?b", "")
		target, challenge := challengeOf(w, begun)
		if target.Host != w.hosts.ConsoleHost() || target.Path != identity.HandoffPath {
			t.Errorf("sent to %s", target)
		}
		w.wantCookie(begun, identity.NonceCookie, c.want)
		code, err := w.identity.ApproveHandoff(t.Context(), w.caller, host, challenge)
		w.must(err)
		done := w.open(c.dest, code, cookieOf(begun, identity.NonceCookie))
		if done.StatusCode != http.StatusSeeOther || done.Header.Get("Location") != "/a?b" {
			t.Errorf("%d to %q", done.StatusCode, done.Header.Get("Location"))
		}
		w.wantCookie(done, identity.GrantCookie, c.want)
		w.wantCookie(done, identity.NonceCookie, c.want)
		grant := cookieOf(done, identity.GrantCookie)
		if a := w.open(c.dest, w.hosts.URL(host.ID), grant); a.StatusCode != http.StatusOK || a.text != "hello" {
			t.Errorf("%d %s", a.StatusCode, a.text)
		}
		ws := w.dial(host, grant)
		_ = ws.Close()

		w.later(2 * time.Hour)
		w.must(w.identity.Load(t.Context()))
		w.wantCookie(w.do(w.subresource(w.hosts.URL(host.ID), grant)), identity.GrantCookie, c.want)
	}
}

// vouched goes to host in a frame of VS Code's, and returns the answer of VS Code's host, which has the
// given cookie.
func (w *world) vouched(host workspace.Host, cookie string) (nonce string, a *answer) {
	w.Helper()
	begun := w.open(asFrame, w.hosts.Origin(host)+"/app", "")
	target, _ := challengeOf(w, begun)
	if target.Scheme+"://"+target.Host != w.hosts.Origin(ide(host.ID)) {
		w.Fatalf("sent to %s", target)
	}
	w.wantCookie(begun, identity.NonceCookie, true)
	return cookieOf(begun, identity.NonceCookie), w.open(asFrame, target.String(), cookie)
}

func TestFrame_VSCodeVouchesForThePreviewsOfItsWorkspace(t *testing.T) {
	w := newWorld(t, options{domain: ownSite})
	id := w.running()
	editor := w.grant(ide(id))
	host := preview(id, 3000)
	w.must(w.identity.Revoke(t.Context(), identity.Revocation{Label: host.Label()})) // its share was narrowed: older grants end
	w.later(identity.OvertakenPause + time.Second)
	nonce, a := w.vouched(host, editor)
	done := w.open(asFrame, a.Header.Get("Location"), nonce)
	w.wantCookie(done, identity.GrantCookie, true)
	if done.Header.Get("Location") != "/app" {
		t.Errorf("%d to %q", done.StatusCode, done.Header.Get("Location"))
	}
	grant := cookieOf(done, identity.GrantCookie)
	if a := w.open(asFrame, w.hosts.Origin(host)+"/", grant); a.StatusCode != http.StatusOK {
		t.Errorf("%d %s", a.StatusCode, a.text)
	}
	if again := w.open(asFrame, a.Header.Get("Location"), nonce); again.StatusCode != http.StatusBadRequest {
		t.Errorf("the code works twice: %d", again.StatusCode)
	}
	w.must(w.identity.Revoke(t.Context(), identity.Revocation{Session: w.caller.Session.Hash}))
	if a := w.do(w.program("GET", w.hosts.Origin(host)+"/", grant)); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("after sign-out: %d", a.StatusCode)
	}
}

func TestFrame_WithoutAGrantOnVSCodeThePreviewGoesToTheConsole(t *testing.T) {
	w := newWorld(t, options{domain: ownSite})
	id, other := w.running(), w.running()
	host := preview(id, 3000)
	for name, cookie := range map[string]string{"none": "", "of another workspace": w.grant(ide(other)), "of the preview": w.grant(host)} {
		_, a := w.vouched(host, cookie)
		target, challenge := challengeOf(t, a)
		if target.Scheme+"://"+target.Host != console || target.Path != identity.HandoffPath || target.Query().Get("host") != host.Label() || len(challenge) != identity.ChallengeLength {
			t.Errorf("%s: sent to %s", name, target)
		}
	}
}

func TestFrame_VouchingIsForItsOwnPreviewsInFramesOnly(t *testing.T) {
	w := newWorld(t, options{domain: ownSite})
	id, other := w.running(), w.running()
	grant := w.grant(ide(id))
	path := func(label, challenge string) string {
		return "/.kalpana/vouch?" + url.Values{"host": {label}, "challenge": {challenge}}.Encode()
	}
	good := path(preview(id, 3000).Label(), identity.Hash("x"))
	if a := w.open(asFrame, w.hosts.Origin(ide(id))+good, grant); a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d", a.StatusCode)
	}
	for name, r := range map[string]*http.Request{
		"a window":              w.program("GET", w.hosts.Origin(ide(id))+good, grant, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"),
		"a program":             w.program("GET", w.hosts.Origin(ide(id))+good, grant),
		"a fetch":               w.program("GET", w.hosts.Origin(ide(id))+good, grant, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"),
		"a posted form":         w.program("POST", w.hosts.Origin(ide(id))+good, grant, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"),
		"another workspace":     w.program("GET", w.hosts.Origin(ide(id))+path(preview(other, 3000).Label(), identity.Hash("x")), grant, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"),
		"a site":                w.program("GET", w.hosts.Origin(ide(id))+path("@grafana_localhost", identity.Hash("x")), grant, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"),
		"a malformed challenge": w.program("GET", w.hosts.Origin(ide(id))+path(preview(id, 3000).Label(), "x"), grant, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"),
		"a preview's host":      w.program("GET", w.hosts.Origin(preview(id, 3000))+good, w.grant(preview(id, 3000)), "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"),
	} {
		if a := w.do(r); a.StatusCode != http.StatusNotFound || a.Header.Get("Location") != "" {
			t.Errorf("%s: %d to %q", name, a.StatusCode, a.Header.Get("Location"))
		}
	}
	if n := len(w.runtime.Requests()); n != 0 {
		t.Errorf("%d requests reached the container", n)
	}
	together := newLoneWorld(t, options{domain: oneSite})
	a := together.open(asFrame, together.hosts.URL(id)+strings.TrimPrefix(good, "/"), "")
	if a.StatusCode != http.StatusNotFound {
		t.Errorf("where the console is the same site: %d", a.StatusCode)
	}
}

func TestFrame_ABrowserThatKeepsNoCookiesThereIsToldToOpenATab(t *testing.T) {
	w := newWorld(t, options{domain: ownSite})
	host := ide(w.running())
	begun := w.open(asFrame, w.hosts.URL(host.ID), "")
	_, challenge := challengeOf(t, begun)
	code, err := w.identity.ApproveHandoff(t.Context(), w.caller, host, challenge)
	w.must(err)
	a := w.open(asFrame, code, "")
	w.wantPage(a, http.StatusBadRequest, "Open it in a tab of its own")
	if !strings.Contains(a.text, `href="`+w.hosts.URL(host.ID)+`" target="_blank"`) {
		t.Error("it leads nowhere")
	}
	w.wantPage(w.open(asWindow, code, ""), http.StatusBadRequest, "That link is used up")
}
