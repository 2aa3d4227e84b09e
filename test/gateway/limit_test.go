package gateway

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kalpana-dev/kalpana/identity"
)

// guesser sends guesses at sign-in links from addresses in turn, and counts what they get.
type guesser struct {
	s         *site
	addresses []net.IP
	statuses  [600]atomic.Int64
}

func (g *guesser) run(t *testing.T, attempts int) {
	t.Helper()
	var next atomic.Int64
	var guessers sync.WaitGroup
	for range 8 {
		guessers.Go(func() {
			clients := map[string]*http.Client{}
			for {
				n := int(next.Add(1)) - 1
				if n >= attempts {
					break
				}
				from := g.addresses[n%len(g.addresses)]
				client := clients[from.String()]
				if client == nil {
					client = &http.Client{Timeout: patience, Transport: &http.Transport{
						MaxIdleConnsPerHost: 1, DialContext: func(context.Context, string, string) (net.Conn, error) { return g.s.connect(from, hostOf(g.s.console)) },
					}}
					clients[from.String()] = client
				}
				resp, err := client.Post(g.s.console+"/api/login/link", "application/json", strings.NewReader(fmt.Sprintf(`{"token":%q}`, identity.NewSecret())))
				if err != nil {
					t.Error(err)
					return
				}
				if len(resp.Cookies()) > 0 || (resp.StatusCode == http.StatusTooManyRequests) != (resp.Header.Get("Retry-After") != "") {
					t.Errorf("a guess gets %s %v", resp.Status, resp.Header)
				}
				_ = resp.Body.Close()
				g.statuses[resp.StatusCode].Add(1)
			}
			for _, c := range clients {
				c.CloseIdleConnections()
			}
		})
	}
	guessers.Wait()
}

func (g *guesser) count(status int) int { return int(g.statuses[status].Load()) }

// signInAttempts guesses links ten thousand times, from one address and then from a network of them.
func signInAttempts(t *testing.T, s *site) {
	if s.own == nil {
		t.Skip("needs addresses of its own")
	}
	const attempts = 10_000
	before := s.storeSize(t)
	one := &guesser{s: s, addresses: []net.IP{net.IPv4(127, 252, 0, 1)}}
	one.run(t, attempts)
	if tried := one.count(http.StatusUnauthorized); tried < 1 || tried > 100 || tried+one.count(http.StatusTooManyRequests) != attempts {
		t.Errorf("of %d guesses from one address %d were looked at, and %d refused unseen", attempts, tried, one.count(http.StatusTooManyRequests))
	}
	s.signIn(t, member) // from another address

	many := &guesser{s: s}
	for i := range 200 {
		many.addresses = append(many.addresses, net.IPv4(127, 253, 0, byte(1+i)))
	}
	many.run(t, attempts)
	if tried := many.count(http.StatusUnauthorized); tried < 1 || tried > 1000 || tried+many.count(http.StatusTooManyRequests) != attempts {
		t.Errorf("of %d guesses from 200 addresses %d were looked at, and %d refused unseen", attempts, tried, many.count(http.StatusTooManyRequests))
	}
	if grown := s.storeSize(t) - before; grown > 8<<20 {
		t.Errorf("the store grew by %d bytes", grown)
	}
	// Who is signed in already goes on.
	if code, body := s.browser(member).api(t, "GET", "/api/me", nil, nil); code != http.StatusOK {
		t.Errorf("somebody who is signed in: %d %s", code, body)
	}
}

// storeSize is the size of the store's files in bytes.
func (s *site) storeSize(t *testing.T) int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.own.Dir, "kalpana.db*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no store in %s: %v", s.own.Dir, err)
	}
	var size int64
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			size += info.Size()
		}
	}
	return size
}

// handoffAttempts opens workspaces without end, and without a grant.
func handoffAttempts(t *testing.T, s *site) {
	limited := 0
	for range 300 {
		a := s.send(t, "GET", s.at(unknown)+"/", navigation...)
		switch a.status {
		case http.StatusSeeOther:
		case http.StatusTooManyRequests:
			limited++
			if a.header.Get("Retry-After") == "" || a.location() != "" || len(a.header["Set-Cookie"]) > 0 {
				t.Fatalf("one too many: %v", a)
			}
		default:
			t.Fatalf("%v", a)
		}
	}
	if limited < 100 {
		t.Errorf("%d of 300 hand-offs from one address were refused", limited)
	}
	t.Run("SomebodyElseIsHandedOver", func(t *testing.T) { // from another address
		if a := s.send(t, "GET", s.at(unknown)+"/", navigation...); a.status != http.StatusSeeOther {
			t.Errorf("%v", a)
		}
	})
}

// apiRequests asks the API without end, with sessions that somebody made up.
func apiRequests(t *testing.T, s *site) {
	statuses := map[int]int{}
	for i := range 1000 {
		a := s.send(t, "GET", s.console+"/api/me", fmt.Sprintf("Cookie: %s=%s", identity.SessionCookie, fmt.Sprintf("%043d", i)))
		statuses[a.status]++
	}
	if statuses[http.StatusUnauthorized]+statuses[http.StatusTooManyRequests] != 1000 || statuses[http.StatusTooManyRequests] < 100 {
		t.Errorf("1,000 sessions that were made up get %v", statuses)
	}
	t.Run("SomebodyElseIsAnswered", func(t *testing.T) {
		if code, body := s.browser(member).api(t, "GET", "/api/me", nil, nil); code != http.StatusOK {
			t.Errorf("%d %s", code, body)
		}
	})
}
