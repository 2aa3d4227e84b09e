package gateway_test

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/workspace"
)

func TestCost_ARequestOnARunningWorkspaceTouchesNeitherStoreNorEngine(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	_, member := w.signIn("ravi")
	w.share(id, workspace.Share{Port: 4000, Level: workspace.ShareMembers, CORS: true})
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	grants := map[workspace.Host]string{ide(id): w.grant(ide(id)), preview(id, 3000): w.grant(preview(id, 3000)), preview(id, 4000): w.grantAs(member, preview(id, 4000)), preview(id, 5000): ""}
	store, engine := int64(-1), -1
	for store != w.store.calls.Load() || engine != w.runtime.AllCalls() { // until the first reconcile is over
		store, engine = w.store.calls.Load(), w.runtime.AllCalls()
		time.Sleep(200 * time.Millisecond)
	}
	// What goes on by itself every few seconds may fall into a round, but hardly into every one.
	for round := 1; ; round++ {
		store, engine = w.store.calls.Load(), w.runtime.AllCalls()
		w.useAll(grants)
		stored, asked := w.store.calls.Load()-store, w.runtime.AllCalls()-engine
		if stored == 0 && asked == 0 {
			return
		}
		if round == 4 {
			t.Fatalf("%d calls of the store and %d of the engine", stored, asked)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// useAll makes requests of each kind on hosts that run, with the grants for them.
func (w *world) useAll(grants map[workspace.Host]string) {
	w.Helper()
	var all sync.WaitGroup
	for host, grant := range grants {
		for range 50 {
			all.Go(func() {
				for _, r := range []*http.Request{
					w.navigation(w.hosts.Origin(host)+"/", grant), w.subresource(w.hosts.Origin(host)+"/a.png", grant),
					w.program("POST", w.hosts.Origin(host)+"/body", grant, "Sec-Fetch-Site", "same-origin"),
				} {
					resp, err := w.client.Do(r)
					if err != nil {
						w.Error(err)
						return
					}
					_ = resp.Body.Close()
				}
			})
		}
		ws := w.dial(host, grant)
		w.must(ws.WriteMessage(websocket.TextMessage, []byte("a")))
		_, _, err := ws.ReadMessage()
		w.must(err)
	}
	all.Wait()
}

func TestMetrics_CountRequestsByHostAndClassOfStatus(t *testing.T) {
	w := newWorld(t)
	id := w.running()
	grant := w.grant(ide(id)) // two redirects
	w.do(w.program("GET", w.hosts.URL(id), grant))
	w.do(w.program("GET", w.hosts.URL(id), ""))
	w.do(w.program("GET", w.hosts.URL(id)+"reset", grant))
	ws := w.dial(ide(id), grant)
	_ = ws.Close()
	w.eventually("no request is held", func() bool { return w.identity.Open() == 0 })
	r := w.program("GET", w.hosts.URL(id), "")
	r.Host = "example.com"
	w.do(r)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(w.metrics)
	want := map[string]float64{"ide 1xx": 1, "ide 2xx": 1, "ide 3xx": 2, "ide 4xx": 1, "ide 5xx": 1, "unknown 4xx": 1}
	w.eventually("all are counted", func() bool {
		families, err := registry.Gather()
		w.must(err)
		for _, m := range families[0].GetMetric() {
			key := m.GetLabel()[1].GetValue() + " " + m.GetLabel()[0].GetValue()
			if m.GetCounter().GetValue() != want[key] {
				return false
			}
		}
		return true
	})
}
