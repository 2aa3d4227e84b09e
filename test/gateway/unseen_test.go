package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
)

// unseen compares what exists with what does not, as whoever may not know sees it.
func unseen(t *testing.T, s *site) {
	nonceAndGuess := identity.NonceCookie + "=x." + strings.Repeat("A", 43)
	probes := map[string]func(label string) *answer{}
	ask := func(what, method, target string, headers ...string) {
		probes[what] = func(label string) *answer {
			all := make([]string, len(headers))
			for i, h := range headers {
				all[i] = strings.ReplaceAll(h, "{origin}", s.at(label))
			}
			return s.send(t, method, s.at(label)+target, all...)
		}
	}
	ask("a navigation", "GET", "/", navigation...)
	ask("a navigation to a path", "GET", "/a/b?c=d", navigation...)
	ask("HEAD", "HEAD", "/", navigation...)
	ask("a program", "GET", "/", program...)
	ask("a subresource", "GET", "/x.js", subresource...)
	ask("POST", "POST", "/", "Origin: {origin}")
	ask("POST from a sibling", "POST", "/", "Sec-Fetch-Site: same-site")
	ask("OPTIONS", "OPTIONS", "/", "Origin: http://evil.com", "Access-Control-Request-Method: POST")
	ask("a WebSocket", "GET", "/", with(socketHead, "Origin: {origin}")...)
	ask("a WebSocket from a sibling", "GET", "/", with(socketHead, "Origin: "+s.at(s.sibling))...)
	ask("a wake", "POST", "/.kalpana/wake", "Origin: {origin}")
	ask("a wake from the console", "POST", "/.kalpana/wake", "Origin: "+s.console)
	ask("progress", "GET", "/.kalpana/progress", subresource...)
	ask("an own path", "GET", "/.kalpana/x", program...)
	ask("a guessed code", "GET", identity.CallbackPath+"?code="+strings.Repeat("A", 43), with(navigation, "Cookie: "+nonceAndGuess)...)
	ask("a code without a nonce", "GET", identity.CallbackPath+"?code="+strings.Repeat("A", 43), navigation...)
	ask("another's grant", "GET", "/", "Cookie: "+s.browser(member).grant(t, s.theirs))
	probes["the console's end, without a session"] = func(label string) *answer {
		return s.send(t, "GET", s.console+identity.HandoffPath+"?host="+label+"&challenge="+strings.Repeat("0", 64), navigation...)
	}
	probes["the console's end, without access"] = func(label string) *answer {
		return s.send(t, "GET", s.console+identity.HandoffPath+"?host="+label+"&challenge="+strings.Repeat("0", 64), with(navigation, "Cookie: "+s.sessions[member])...)
	}
	for what, call := range map[string]string{
		"the API: get": "GET ", "the API: delete": "DELETE ", "the API: rename": "PATCH ", "the API: start": "POST /start", "the API: stop": "POST /stop",
	} {
		method, path, _ := strings.Cut(call, " ")
		probes[what+", without access"] = func(label string) *answer {
			id := label[strings.Index(label, "-")+1:]
			return s.sendBody(t, method, s.console+"/api/workspaces/"+id+path, `{"name":"x"}`, "Content-Type: application/json", "Cookie: "+s.sessions[member], "Sec-Fetch-Site: same-origin")
		}
	}
	for _, pair := range [][2]string{{s.mine, unknown}, {preview(3000, s.mine), preview(3000, unknown)}, {preview(65535, s.mine), preview(65535, unknown)}} {
		for what, probe := range probes {
			there, none := shape(probe(pair[0]), pair[0]), shape(probe(pair[1]), pair[1])
			if there != none {
				t.Errorf("%s tells %s from an unknown id:\n%s\n\n%s", what, pair[0], there, none)
			}
		}
	}

	// The time it takes does not tell either, to an order of magnitude.
	for _, what := range []string{"a navigation", "a program", "the console's end, without access", "the API: get, without access"} {
		var ratio float64
		if !slices.ContainsFunc(make([]struct{}, 5), func(struct{}) bool { // one of five rounds must look the same: the machine is busy
			there, none := medians(func() { probes[what](s.mine) }, func() { probes[what](unknown) })
			ratio = float64(there) / float64(none)
			return ratio < 3 && ratio > 1./3
		}) {
			t.Errorf("%s: an answer about a workspace that exists takes %.1f times as long", what, ratio)
		}
	}
}

var (
	// What differs by chance.
	challenge = regexp.MustCompile(`[0-9a-f]{64}`)
	signed    = regexp.MustCompile(identity.NonceCookie + `=[^;\s]+`)
	dated     = regexp.MustCompile(`(?m)^Date: .*$`)
)

// shape writes an answer down without what differs by chance, and without the label that was asked for.
func shape(a *answer, label string) string {
	var lines []string
	for name, values := range a.header {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	slices.Sort(lines)
	text := fmt.Sprintf("%d\n%s\n\n%s", a.status, strings.Join(lines, "\n"), a.body)
	text = dated.ReplaceAllString(signed.ReplaceAllString(challenge.ReplaceAllString(text, "<challenge>"), "<nonce>"), "Date: <now>")
	id := label[strings.Index(label, "-")+1:]
	return strings.ReplaceAll(text, id, "<id>")
}

// medians runs two functions in turn and returns the median time of each.
func medians(a, b func()) (time.Duration, time.Duration) {
	var times [2][]time.Duration
	for range 31 {
		for i, f := range []func(){a, b} {
			start := time.Now()
			f()
			times[i] = append(times[i], time.Since(start))
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	return times[0][15], times[1][15]
}

// reservedPorts asks for previews of ports that have none.
func reservedPorts(t *testing.T, s *site) {
	b := s.browser(admin)
	grant := "Cookie: " + b.grant(t, s.mine)
	mark := marker()
	for _, port := range []string{"8080", "3001", "0", "1", "22", "80", "443", "1023", "65536", "99999", "100000", "-1", "00080", "08080", "03001", "8080.", "8080 ", "4294975376", "18446744073709559696"} {
		host := port + "-" + s.host(s.mine)
		for _, headers := range [][]string{navigation, program} {
			for _, a := range s.exchange(t, s.host(s.mine), head("GET", "/"+mark, host, "", with(headers, grant, "Connection: close")...)) {
				s.refusesHost(t, a)
			}
		}
		a := s.send(t, "GET", s.console+identity.HandoffPath+"?host="+strings.TrimSpace(port)+"-"+s.mine+"&challenge="+strings.Repeat("0", 64), with(navigation, "Cookie: "+s.sessions[admin])...)
		if a.status != http.StatusNotFound || a.location() != "" {
			t.Errorf("a hand-off for port %s: %v", port, a)
		}
	}
	s.unreached(t, mark, "a reserved port")
	for _, port := range []int{1024, 3000, 8081, 8079, 3002, 65535} {
		label := preview(port, s.mine)
		mark := marker()
		if a := s.send(t, "GET", s.at(label)+"/"+mark, "Cookie: "+b.grant(t, label)); a.status != http.StatusOK {
			t.Errorf("port %d: %v", port, a)
			continue
		}
		got := s.reached(t, s.mine, mark)
		if len(got) != 1 || got[0].Port != 3001 || got[0].header(t).Get("X-Kalpana-Port") != fmt.Sprint(port) {
			t.Errorf("port %d arrives as %v", port, got)
		}
	}
	// VS Code's host is never a preview, whatever the request says of a port.
	label := marker()
	s.send(t, "GET", s.at(s.mine)+"/"+label, grant, "X-Kalpana-Port: 22")
	if got := s.reached(t, s.mine, label); len(got) != 1 || got[0].Port != 8080 {
		t.Errorf("VS Code with a port header arrives as %v", got)
	}
}
