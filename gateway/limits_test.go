package gateway_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/ratelimit"
	"github.com/kalpana-dev/kalpana/workspace"
)

// limitedWorld allows six hand-offs an address; an hour passes before one more.
func limitedWorld(t *testing.T) *world {
	return newWorld(t, options{gateway: func(c *gateway.Config) { c.Handoffs = ratelimit.New(1, time.Hour, 6) }})
}

func TestLimits_StrangersBeginAFewHandoffs(t *testing.T) {
	w := limitedWorld(t)
	id := w.running()
	cookie := w.grant(ide(id))
	before := int64(-1)
	for before != w.store.calls.Load() { // until the first reconcile is over
		before = w.store.calls.Load()
		time.Sleep(200 * time.Millisecond)
	}
	statuses := map[int]int{}
	for i := range 20 {
		host := ide(workspace.ID([]string{"abcdefghij", "bcdefghijk"}[i%2])) // whether they exist or not
		if i%3 == 0 {
			host = ide(id)
		}
		a := w.do(w.navigation(w.hosts.Origin(host)+"/", ""))
		statuses[a.StatusCode]++
		if a.StatusCode == http.StatusTooManyRequests {
			seconds, err := strconv.Atoi(a.Header.Get("Retry-After"))
			if err != nil || seconds < 1 || seconds > 3600 || !strings.Contains(a.text, "Wait a moment") || a.Header.Get("Set-Cookie") != "" {
				t.Errorf("%v %s", a.Header, a.text)
			}
		}
	}
	if statuses[303] != 5 || statuses[429] != 15 { // the grant took one
		t.Errorf("%v", statuses)
	}
	if n := w.store.calls.Load() - before; n != 0 {
		t.Errorf("strangers cost %d calls of the store", n)
	}
	for range 50 { // who has a grant is not limited
		if a := w.do(w.navigation(w.hosts.Origin(ide(id))+"/", cookie)); a.StatusCode != http.StatusOK {
			t.Fatalf("%d", a.StatusCode)
		}
	}
}

func TestLimits_ForgedCodesAreFew(t *testing.T) {
	w := limitedWorld(t)
	id := w.running()
	host := ide(id)
	statuses := map[int]int{}
	nonce, _ := w.identity.BeginHandoff(host, "/")
	for range 20 {
		r := w.navigation(w.hosts.Origin(host)+identity.CallbackPath+"?code="+identity.NewSecret(), nonce.Name+"="+nonce.Value)
		statuses[w.do(r).StatusCode]++
	}
	if statuses[400] != 6 || statuses[429] != 14 {
		t.Errorf("%v", statuses)
	}
}
