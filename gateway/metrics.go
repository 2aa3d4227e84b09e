package gateway

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Metrics counts the gateway's requests. It is a prometheus.Collector, and may be registered with
// one registry after another; totals stay.
type Metrics struct {
	requests *prometheus.CounterVec
	// The counters by kind and class of status, looked up once.
	cells [4][6]prometheus.Counter
}

// NewMetrics returns metrics that are registered nowhere.
func NewMetrics() *Metrics {
	m := &Metrics{requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kalpana_gateway_requests_total",
		Help: "Requests on workspace hosts, by what the host serves and class of status.",
	}, []string{"host", "code"})}
	names := [...]string{0: "unknown", workspace.HostConsole: "console", workspace.HostIDE: "ide", workspace.HostPreview: "preview"}
	for kind, name := range names {
		for class := range m.cells[kind] {
			if class > 0 && kind != int(workspace.HostConsole) {
				m.cells[kind][class] = m.requests.WithLabelValues(name, strconv.Itoa(class)+"xx")
			}
		}
	}
	return m
}

func (m *Metrics) count(kind workspace.HostKind, status int) {
	if class := status / 100; class > 0 && class < 6 && m.cells[kind][class] != nil {
		m.cells[kind][class].Inc()
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) { m.requests.Describe(ch) }

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) { m.requests.Collect(ch) }
