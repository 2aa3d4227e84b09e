package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// serves fails when the site does not serve an ordinary request.
func (s *site) serves(t *testing.T, grant, when string) {
	t.Helper()
	start := time.Now()
	path := "/" + marker()
	if a := s.send(t, "GET", s.at(s.mine)+path, "Cookie: "+grant); a.status != http.StatusOK || a.body != path {
		t.Errorf("%s: %v", when, a)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("%s: an ordinary request takes %s", when, d)
	}
}

// hugeHeaders sends heads of up to 64 MB.
func hugeHeaders(t *testing.T, s *site) {
	b := s.browser(admin)
	grant := b.grant(t, s.mine)
	mark := marker()
	big := strings.Repeat("x", 2<<20)
	many := strings.Repeat("X-Many: x\r\n", 200_000)
	for name, c := range map[string]struct{ host, line, headers string }{
		"one header":             {s.host(s.mine), "GET /" + mark, "X-Big: " + big},
		"one cookie":             {s.host(s.mine), "GET /" + mark, "Cookie: big=" + big},
		"many headers":           {s.host(s.mine), "GET /" + mark, strings.TrimSuffix(many, "\r\n")},
		"a long target":          {s.host(s.mine), "GET /" + mark + big, "X: x"},
		"a long method":          {s.host(s.mine), big + " /" + mark, "X: x"},
		"the console":            {hostOf(s.console), "GET /api/me?" + mark, "X-Big: " + big},
		"the console, hand-off":  {hostOf(s.console), "GET /handoff?host=" + big, "X: x"},
		"64 MB":                  {s.host(s.mine), "GET /" + mark, "X-Big: " + strings.Repeat(big, 32)},
		"without a session":      {s.host(unknown), "GET /" + mark, "X-Big: " + big},
		"a long header's name":   {s.host(s.mine), "GET /" + mark, big + ": x"},
		"a long name of a host ": {s.host(s.mine), "GET /" + mark, "Host: " + big},
	} {
		t.Run(name, func(t *testing.T) {
			for _, a := range s.exchange1(t, c.host, c.line+" HTTP/1.1\r\nHost: "+c.host+"\r\nCookie: "+grant+"\r\n"+c.headers+"\r\n\r\n") {
				if a.status < 400 || a.status >= 500 || a.app() != "" {
					t.Errorf("%v", a)
				}
			}
		})
	}
	s.unreached(t, mark, "a huge head")
	s.serves(t, grant, "after huge heads")
}

func hostOf(address string) string {
	host, _ := split(address)
	return host
}

// slowClients opens connections that never finish what they say.
func slowClients(t *testing.T, s *site) {
	b := s.browser(admin)
	grant := b.grant(t, s.mine)
	mark := marker()
	own := "Origin: " + s.at(s.mine) + "\r\nCookie: " + grant + "\r\n"
	begun := map[string]string{
		"nothing":     "",
		"half a line": "GET /" + mark,
		"a head":      "GET /" + mark + " HTTP/1.1\r\nHost: " + s.host(s.mine) + "\r\n",
		"a body":      "POST /" + mark + " HTTP/1.1\r\nHost: " + s.host(s.mine) + "\r\n" + own + "Content-Length: 1000000\r\n\r\nx",
		"chunks":      "POST /" + mark + " HTTP/1.1\r\nHost: " + s.host(s.mine) + "\r\n" + own + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
		"the login":   "POST /api/login/link HTTP/1.1\r\nHost: " + hostOf(s.console) + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"a reader":    "GET /__app/flood HTTP/1.1\r\nHost: " + s.host(s.mine) + "\r\n" + own + "\r\n",
	}
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for _, text := range begun {
		for range 40 {
			c := s.dial(t, s.host(s.mine))
			conns = append(conns, c)
			if _, err := io.WriteString(c, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 10 {
		s.serves(t, grant, fmt.Sprintf("beside %d slow connections", len(conns)))
	}
	// A head that never ends is not waited for.
	for _, text := range []string{begun["half a line"], begun["a head"]} {
		c := s.dial(t, s.host(s.mine))
		conns = append(conns, c)
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if answer, err := io.ReadAll(c); isTimeout(err) {
			t.Errorf("%q is waited for longer than %s: %q", text, patience, answer)
		}
	}
	// The API does not wait for a body for ever.
	c := s.dial(t, hostOf(s.console))
	conns = append(conns, c)
	if _, err := io.WriteString(c, begun["the login"]); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	if a, err := readAnswer(bufio.NewReader(c), "POST"); err != nil || a.status != http.StatusRequestTimeout {
		t.Errorf("a login that never comes: %v, %v", a, err)
	}
}
