package gateway_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/orchestrator/runtimetest"
	"github.com/kalpana-dev/kalpana/workspace"
)

func TestCost_ARequestOnARunningWorkspaceTouchesNeitherStoreNorEngine(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	id := w.running()
	_, member := w.signIn("ravi")
	w.share(id, workspace.Share{Port: 4000, Level: workspace.ShareMembers, CORS: true})
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	grants := map[workspace.Host]string{ide(id): w.grant(ide(id)), preview(id, 3000): w.grant(preview(id, 3000)), preview(id, 4000): w.grantAs(member, preview(id, 4000)), preview(id, 5000): ""}
	store, engine, begin := w.store.calls.Load(), int64(w.runtime.AllCalls()), time.Now()
	w.useAll(grants)
	stored, asked, most := w.store.calls.Load()-store, int64(w.runtime.AllCalls())-engine, byItself(begin)
	if stored > most || asked > most {
		t.Errorf("%d calls of the store and %d of the engine, where at most %d go on by themselves", stored, asked, most)
	}
}

// byItself returns how many calls what goes on without requests makes at most, since begin: leases, the use of
// workspaces, and what other gateways wrote are looked after every few seconds.
func byItself(begin time.Time) int64 { return 4 + 2*int64(time.Since(begin)/time.Second) }

// alike is how many requests of each kind useAll makes: many more than byItself.
const alike = 50

// useAll makes requests of each kind on hosts that run, with the grants for them.
func (w *world) useAll(grants map[workspace.Host]string) {
	w.Helper()
	var all sync.WaitGroup
	for host, grant := range grants {
		for range alike {
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
		for range alike {
			ws := w.dial(host, grant)
			w.must(ws.WriteMessage(websocket.TextMessage, []byte("a")))
			_, _, err := ws.ReadMessage()
			w.must(err)
			_ = ws.Close()
		}
	}
	all.Wait()
}

// gather returns a metric's values by those of its labels, which are sorted by name.
func (w *world) gather(name string) map[string]float64 {
	w.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(w.metrics)
	families, err := registry.Gather()
	w.must(err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		values := map[string]float64{}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			values[strings.Join(labels, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
		return values
	}
	w.Fatalf("there is no %s", name)
	return nil
}

func TestMetrics_OpenStreamsAndHeldRequestsAreThoseOfNow(t *testing.T) {
	w := newWorld(t, limited(workspace.SharePublic))
	const streams, held = "kalpana_gateway_open_streams", "kalpana_gateway_held_requests"
	id := w.running()
	w.share(id, workspace.Share{Port: 5000, Level: workspace.SharePublic})
	first, second := w.dial(ide(id), w.grant(ide(id))), w.dial(ide(id), w.grant(ide(id)))
	third := w.dial(preview(id, 5000), "")
	if ide, previews := w.gather(streams)["ide"], w.gather(streams)["preview"]; ide != 2 || previews != 1 || w.metrics.Streams() != 3 {
		t.Errorf("%v and %v are open, %d in all", ide, previews, w.metrics.Streams())
	}
	_ = first.Close()
	w.eventually("one is over", func() bool { return w.gather(streams)["ide"] == 1 })
	_, _ = second.Close(), third.Close()
	w.eventually("all are over", func() bool { return w.metrics.Streams() == 0 })

	up := make(chan struct{})
	w.boots(runtimetest.Boot{Until: up})
	asleep := w.create()
	grant := w.grant(ide(asleep))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() { w.do(w.program("GET", w.hosts.URL(asleep), grant)) })
	}
	w.eventually("three are held", func() bool { return w.gather(held)[""] == 3 && w.metrics.Held() == 3 })
	all.Go(func() { w.do(w.program("GET", w.hosts.URL(asleep)+".kalpana/progress", grant)) })
	w.eventually("one follows", func() bool { return w.gather(streams)["progress"] == 1 })
	close(up)
	all.Wait()
	if n, open := w.gather(held)[""], w.gather(streams)["progress"]; n != 0 || open != 0 {
		t.Errorf("%v are held, %v follow", n, open)
	}
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
	want := map[string]float64{"ide 1xx": 1, "ide 2xx": 1, "ide 3xx": 2, "ide 4xx": 1, "ide 5xx": 1, "unknown 4xx": 1}
	w.eventually("all are counted", func() bool {
		for key, n := range w.gather("kalpana_gateway_requests_total") { // by code and host
			code, host, _ := strings.Cut(key, " ")
			if n != want[host+" "+code] {
				return false
			}
		}
		return true
	})
}
