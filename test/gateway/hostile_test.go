package gateway

import (
	"encoding/base64"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/gorilla/websocket"
)

// hostileReadiness starts workspaces whose bridge lies about its readiness: each ends in an error that
// says what happened, and none does anything else.
func hostileReadiness(t *testing.T, s *site) {
	// Where a bridge would like to send us.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var followed atomic.Bool
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			followed.Store(true)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		if followed.Load() {
			t.Error("the gateway went where a container sent it")
		}
	})
	for act, says := range map[string]string{
		"not-ready-with-200": "", "not-json": "", "endless": "", "redirect": "", "huge-reason": "", "not-http": "", "silent": "", "endless-header": "",
	} {
		t.Run(act, func(t *testing.T) {
			t.Parallel()
			b := s.browser(admin)
			port := ":" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
			id := b.create(t, act, port+"/"+act)
			grant := "Cookie: " + b.grant(t, id) // opening it wakes it
			w := b.await(t, id, "error")
			bad := func(r rune) bool { return r != '\n' && r != '\t' && !unicode.IsPrint(r) }
			if w.Reason == "" || !strings.Contains(w.Reason, says) || len(w.Reason) > 20<<10 || strings.ContainsFunc(w.Reason, bad) {
				t.Errorf("its reason is %d bytes: %.1000q", len(w.Reason), w.Reason)
			}
			if strings.Contains(w.Reason, "__Host-") || strings.Contains(w.Reason, "X-Kalpana-Token") {
				t.Errorf("its reason tells secrets: %q", w.Reason)
			}
			a := s.send(t, "GET", s.at(id)+"/.kalpana/progress", with(subresource, grant)...)
			if a.status != http.StatusOK || strings.Contains(a.body, "<script") || strings.ContainsAny(a.body, "\x1b\x07") {
				t.Errorf("what the page gets to show: %v", a)
			}
			b.delete(t, id)
		})
	}
}

// hostileAnswers lets an app answer with what is no answer.
func hostileAnswers(t *testing.T, s *site) {
	b := s.browser(admin)
	const long = "{long}" // the app makes 300 KiB of it
	grants := map[string]string{}
	for _, label := range []string{s.mine, preview(3000, s.mine)} {
		grants[label] = "Cookie: " + b.grant(t, label)
	}
	for name, c := range map[string]struct {
		raw    string
		status int // 0 is whatever is not a fault of ours
	}{
		"nothing":                    {"", 502},
		"not HTTP":                   {"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", 502},
		"a status of letters":        {"HTTP/1.1 abc OK\r\n\r\n", 502},
		"a status too small":         {"HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", 502},
		"a status too large":         {"HTTP/1.1 9999 OK\r\nContent-Length: 0\r\n\r\n", 502},
		"a status of 999":            {"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n", 0},
		"a negative status":          {"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n", 502},
		"a long head":                {"HTTP/1.1 200 OK\r\nX-Long: " + long + "\r\n\r\n", 502},
		"a long status":              {"HTTP/1.1 200 " + long + "\r\n\r\n", 502},
		"many early hints":           {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 2000) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
		"only early hints":           {strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 3), 502},
		"continue for ever":          {strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 50) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0},
		"an upgrade unasked":         {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET / HTTP/1.1\r\n\r\n", 502},
		"two lengths":                {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 502},
		"a negative length":          {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", 502},
		"a length and chunks":        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0},
		"a header with NUL":          {"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n", 0},
		"a header without a colon":   {"HTTP/1.1 200 OK\r\nX\r\nContent-Length: 0\r\n\r\n", 502},
		"a split answer":             {"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: x=y\r\nContent-Length: 0\r\n\r\n", 0},
		"a second answer":            {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nX-Second: 1\r\nContent-Length: 6\r\n\r\nsecond", 0},
		"trailers of ours":           {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\r\n0\r\nSet-Cookie: __Host-kalpana_grant=evil\r\n\r\n", 0},
		"a body that is cut":         {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", 0},
		"chunks that are cut":        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nshort", 0},
		"a hand-off of its own":      {"HTTP/1.1 303 See Other\r\nLocation: " + s.console + "/handoff?host=" + s.sibling + "&challenge=" + strings.Repeat("0", 64) + "\r\nContent-Length: 0\r\n\r\n", 303},
		"HTTP/2 without being asked": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", 502},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for label, grant := range grants {
				target := "/__app/answer?bytes=" + base64.RawURLEncoding.EncodeToString([]byte(c.raw))
				answers := s.exchange(t, s.host(label), head("GET", target, s.host(label), "", grant)+head("GET", "/"+marker(), s.host(label), "", grant, "Connection: close"))
				if c.status != 0 && (len(answers) == 0 || answers[0].status != c.status) {
					t.Errorf("%s: %v", label, answers)
				}
				for _, a := range answers {
					for _, cookie := range append(a.header["Set-Cookie"], a.early["Set-Cookie"]...) {
						if strings.Contains(cookie, "__Host-kalpana_") {
							t.Errorf("%s: it sets %q", label, cookie)
						}
					}
					if a.header.Get("X-Second") != "" || len(answers) > 2 {
						t.Errorf("%s: an answer that nobody asked for: %v", label, answers)
					}
				}
			}
		})
	}
}

// hostileStreams has an app flood, and never read.
func hostileStreams(t *testing.T, s *site) {
	b := s.browser(admin)
	grant := b.grant(t, s.mine)
	// A flood to a client that does not read is held back, not kept.
	flood := s.dial(t, s.host(s.mine))
	defer flood.Close()
	if _, err := flood.Write([]byte(head("GET", "/__app/flood", s.host(s.mine), "", "Cookie: "+grant))); err != nil {
		t.Fatal(err)
	}
	// A WebSocket that is not read at the other end blocks its writer, and nobody else.
	deaf, err := b.socket(t, s.at(s.mine)+"/__app/deaf", s.at(s.mine))
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	_ = deaf.SetWriteDeadline(time.Now().Add(3 * time.Second))
	var sent int
	for message := make([]byte, 1<<20); sent < 256<<20; sent += len(message) {
		if deaf.WriteMessage(websocket.BinaryMessage, message) != nil {
			break
		}
	}
	if sent >= 256<<20 {
		t.Error("256 MiB went into a WebSocket that nobody reads")
	}
	for range 10 {
		s.serves(t, grant, "beside a flood and a deaf WebSocket")
	}
}
