package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// smuggling hides a request in another. It must reach no app: it has no grant of its own.
func smuggling(t *testing.T, s *site) {
	for kind, label := range map[string]string{"IDE": s.mine, "Preview": preview(3000, s.mine)} {
		host := s.host(label)
		grant := s.browser(admin).grant(t, label)
		begin := "POST /begin HTTP/1.1\r\nHost: " + host + "\r\nOrigin: " + s.at(label) + "\r\nCookie: " + grant + "\r\n"
		for name, form := range smuggled {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				mark := marker()
				// Complete, so that a server that takes it for a request need not wait for more.
				hidden := "GET /hidden" + mark + " HTTP/1.1\r\nHost: " + host + "\r\nX-Hidden: " + mark + "\r\n\r\n"
				s.exchange(t, host, begin+form(hidden))
				for id := range s.watchers {
					for _, r := range s.reached(t, id, mark) {
						if strings.Contains(r.line(), "/hidden") {
							t.Errorf("it reached an app:\n%q", r.Raw)
						}
					}
				}
			})
		}
	}
	t.Run("ARequestThatMayFollowDoes", func(t *testing.T) { // so that the others would be seen
		t.Parallel()
		mark := marker()
		host := s.host(s.mine)
		cookie := "Cookie: " + s.browser(admin).grant(t, s.mine)
		s.exchange(t, host, head("GET", "/begin", host, "", cookie)+head("GET", "/hidden"+mark, host, "", cookie))
		if got := s.reached(t, s.mine, mark); len(got) != 1 || !strings.Contains(got[0].line(), "/hidden") {
			t.Errorf("the second of two requests arrives as %v", got)
		}
	})
	// Whatever was sent, everybody still gets the answer to their own request.
	t.Run("EverybodyGetsTheirOwnAnswer", func(t *testing.T) {
		t.Parallel()
		label := s.mine
		grant := "Cookie: " + s.browser(admin).grant(t, label)
		var askers sync.WaitGroup
		for range 4 {
			askers.Go(func() {
				for range 50 {
					path := "/" + marker()
					if a := s.send(t, "GET", s.at(label)+path, grant); a.body != path {
						t.Errorf("the answer to %s is %v", path, a)
					}
				}
			})
		}
		askers.Wait()
	})
}

// smuggled are what follows the first lines of a POST, around a hidden request. RFC 9112 sections 6.1,
// 6.3 and 11.2 tell what is wrong with each.
var smuggled = map[string]func(hidden string) string{
	"CL.TE": func(h string) string {
		return fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n%s", 5+len(h), h)
	},
	"TE.CL": func(h string) string {
		return fmt.Sprintf("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(h), h)
	},
	"TE, CL 0":          func(h string) string { return "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + h },
	"TE in other words": func(h string) string { return "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\n" + h },
	"TE identity":       func(h string) string { return "Transfer-Encoding: identity\r\n\r\n" + h },
	"TE with identity":  func(h string) string { return "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + h },
	"TE of gzip":        func(h string) string { return "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + h },
	"TE twice": func(h string) string {
		return "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n" + h
	},
	"TE twice, swapped": func(h string) string {
		return "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + h
	},
	"TE after a space": func(h string) string { return "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n" + h },
	"TE after a tab":   func(h string) string { return "Transfer-Encoding:\tchunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + h },
	"TE with \\v": func(h string) string {
		return "Transfer-Encoding: \x0bchunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + h
	},
	"TE quoted": func(h string) string { return "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n" + h },
	"TE folded": func(h string) string { return "Transfer-Encoding:\r\n chunked\r\nContent-Length: 0\r\n\r\n" + h },
	"TE after bare LF": func(h string) string {
		return "X: x\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + h
	},
	"TE after bare CR": func(h string) string {
		return "X: x\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + h
	},
	"TE underscored": func(h string) string { return "Transfer_Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + h },
	"CL underscored": func(h string) string { return fmt.Sprintf("Content_Length: %d\r\n\r\n%s", len(h), h) },
	"CL twice": func(h string) string {
		return fmt.Sprintf("Content-Length: 0\r\nContent-Length: %d\r\n\r\n%s", len(h), h)
	},
	"CL in a list":    func(h string) string { return fmt.Sprintf("Content-Length: 0, %d\r\n\r\n%s", len(h), h) },
	"CL with a sign":  func(h string) string { return "Content-Length: +0\r\n\r\n" + h },
	"CL negative":     func(h string) string { return "Content-Length: -1\r\n\r\n" + h },
	"CL hexadecimal":  func(h string) string { return fmt.Sprintf("Content-Length: 0x%x\r\n\r\n%s", len(h), h) },
	"CL empty":        func(h string) string { return "Content-Length:\r\n\r\n" + h },
	"CL with a space": func(h string) string { return "Content-Length: 0 0\r\n\r\n" + h },
	"CL too large":    func(h string) string { return "Content-Length: 18446744073709551616\r\n\r\n" + h },
	"CL folded":       func(h string) string { return fmt.Sprintf("Content-Length: 0\r\n %d\r\n\r\n%s", len(h), h) },
	"CL short":        func(h string) string { return "Content-Length: 0\r\n\r\n" + h },
	"chunk, LF only":  func(h string) string { return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n1\nA\n0\n\n%s", h) },
	"chunk, extension": func(h string) string {
		return fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n1;x=\"\r\nA\r\n0\r\n\r\n%s\"\r\nA\r\n0\r\n\r\n", h)
	},
	"chunk, extension with LF": func(h string) string { return "Transfer-Encoding: chunked\r\n\r\n1;\nA\r\n0\r\n\r\n" + h },
	"chunk, size overflows":    func(h string) string { return "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + h },
	"chunk, negative size":     func(h string) string { return "Transfer-Encoding: chunked\r\n\r\n-1\r\n" + h },
	"chunk, size in 0x":        func(h string) string { return "Transfer-Encoding: chunked\r\n\r\n0x1\r\nA\r\n0\r\n\r\n" + h },
	"chunk, missing CRLF":      func(h string) string { return "Transfer-Encoding: chunked\r\n\r\n1\r\nAX0\r\n\r\n" + h },
	"chunk, too long a line": func(h string) string {
		return "Transfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 20_000) + "\r\nA\r\n0\r\n\r\n" + h
	},
	"trailer with a request": func(h string) string {
		return "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.TrimSuffix(h, "\r\n") + "\r\n"
	},
	"end of head by LF":    func(h string) string { return "X: x\n\n" + h },
	"end of head by CR":    func(h string) string { return "X: x\r\r" + h },
	"header with LF":       func(h string) string { return "X: x\n" + h },
	"header with NUL":      func(h string) string { return "X: \x00\r\n\r\n" + h },
	"header without colon": func(h string) string { return "X\r\n\r\n" + h },
	"upgrade to nothing":   func(h string) string { return "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + h },
	"upgrade, wrong key":   func(h string) string { return strings.Join(socketHead[:3], "\r\n") + "\r\n\r\n" + h },
	"upgrade to h2c": func(h string) string {
		return "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + h
	},
	"expectation": func(h string) string {
		return fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n%s", len(h), h)
	},
	"expectation, no body": func(h string) string { return "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n" + h },
	"expectation unknown":  func(h string) string { return "Expect: cow\r\nContent-Length: 0\r\n\r\n" + h },
	"connection of CL": func(h string) string {
		return fmt.Sprintf("Connection: Content-Length\r\nContent-Length: %d\r\n\r\n%s", len(h), h)
	},
	"connection of TE": func(h string) string {
		return "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + h
	},
	"an answer's body": func(h string) string {
		return "Content-Length: 0\r\nConnection: keep-alive\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + h
	},
	"pipelined":             func(h string) string { return "Content-Length: 0\r\n\r\n" + h + h + h },
	"a body never finished": func(h string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(h)+1000, h) },
}

// oddTargets sends request lines that no browser makes.
func oddTargets(t *testing.T, s *site) {
	b := s.browser(admin)
	mine, other := s.host(s.mine), s.host(s.sibling)
	grant := "Cookie: " + b.grant(t, s.mine)
	for name, line := range map[string]string{
		"another host's absolute URI":  "GET " + s.scheme + "://" + other + "/{} HTTP/1.1",
		"somebody else's absolute URI": "GET " + s.scheme + "://" + s.host(s.theirs) + "/{} HTTP/1.1",
		"the console's absolute URI":   "GET " + s.console + "/api/{} HTTP/1.1",
		"evil's absolute URI":          "GET http://evil.com/{} HTTP/1.1",
		"a user's absolute URI":        "GET " + s.scheme + "://" + mine + "@" + other + "/{} HTTP/1.1",
		"a user before the host":       "GET " + s.scheme + "://" + other + "@evil.com/{} HTTP/1.1",
		"file":                         "GET file:///{} HTTP/1.1",
		"authority":                    "CONNECT " + other + "{} HTTP/1.1",
		"CONNECT":                      "CONNECT 127.0.0.1:22 HTTP/1.1\r\nX-Mark: {}",
		"asterisk":                     "OPTIONS * HTTP/1.1\r\nX-Mark: {}",
		"GET asterisk":                 "GET * HTTP/1.1\r\nX-Mark: {}",
		"no slash":                     "GET {} HTTP/1.1",
		"empty":                        "GET  HTTP/1.1\r\nX-Mark: {}",
		"a space":                      "GET /a {} HTTP/1.1",
		"a tab":                        "GET\t/{}\tHTTP/1.1",
		"NUL":                          "GET /\x00{} HTTP/1.1",
		"bare CR":                      "GET /\r{} HTTP/1.1",
		"bare LF":                      "GET /{}\n HTTP/1.1",
		"HTTP/0.9":                     "GET /{}",
		"HTTP/1.2":                     "GET /{} HTTP/1.2",
		"HTTP/2.0":                     "GET /{} HTTP/2.0",
		"HTTP/9.9":                     "GET /{} HTTP/9.9",
		"a method with a colon":        "GET: /{} HTTP/1.1",
		"a fragment":                   "GET /a#/../{} HTTP/1.1",
		"a percent":                    "GET /%{} HTTP/1.1",
		"a bad escape":                 "GET /%zz{} HTTP/1.1",
		"raw bytes":                    "GET /\xff\xfe{} HTTP/1.1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mark := marker()
			raw := strings.ReplaceAll(line, "{}", mark) + "\r\nHost: " + mine + "\r\n" + grant + "\r\nConnection: close\r\n\r\n"
			for _, a := range s.exchange(t, mine, raw) {
				if a.app() != "" && a.app() != s.mine || a.status >= 500 && a.status != http.StatusHTTPVersionNotSupported {
					t.Errorf("%v", a)
				}
			}
			for id := range s.watchers {
				got := s.reached(t, id, mark)
				if id != s.mine && len(got) > 0 || len(got) > 1 {
					t.Errorf("it reached %s: %s", s.who(id), got)
				}
			}
		})
	}
	// Addresses of the gateway's own, and of the bridge's, in other words: none of them has an effect, and
	// none gets more than VS Code's own paths do.
	for _, target := range []string{
		"/.kalpana/ready", "/%2ekalpana/ready", "/.kalpana%2fready", "/.kalpana/%72eady", "/.KALPANA/ready", "//.kalpana/ready", "/./.kalpana/ready", "/x/../.kalpana/ready",
		"/x/..%2f.kalpana/ready", "/.kalpana;x/ready", "/.kalpana/ready;x", "/.kalpana//ready", "/.kalpana/./ready", "/.kalpana/ready/", "/.kalpana/ready%00", "/.kalpana/ready?x", `/.kalpana\ready`,
		"/%2e%6b%61%6c%70%61%6e%61/%72%65%61%64%79",
	} {
		a := s.send(t, "GET", s.at(s.mine)+target, with(grant, program)...)
		if strings.Contains(a.body, `"ready"`) {
			t.Errorf("%s is answered by the bridge: %v", target, a)
		}
	}
}
