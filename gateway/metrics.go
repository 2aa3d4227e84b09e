package gateway

import (
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Metrics counts the gateway's requests. It is a prometheus.Collector, and may be registered with
// one registry after another; totals stay.
type Metrics struct {
	requests *prometheus.CounterVec
	// The counters by kind and class of status, looked up once.
	cells   [4][6]prometheus.Counter
	waiting prometheus.GaugeFunc
	streams [len(streamKinds)]prometheus.GaugeFunc

	held atomic.Int64
	open [len(streamKinds)]atomic.Int64
}

// streamKind is what a stream that is counted while it is open belongs to.
type streamKind int

const (
	editorStream   streamKind = iota // a WebSocket of VS Code
	previewStream                    // a WebSocket of a program in the container
	progressStream                   // our own events on the page that waits for a wake
)

var streamKinds = [...]string{editorStream: "ide", previewStream: "preview", progressStream: "progress"}

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
	m.waiting = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kalpana_gateway_held_requests",
		Help: "Requests that are held until their workspace is awake.",
	}, func() float64 { return float64(m.held.Load()) })
	for kind, name := range streamKinds {
		m.streams[kind] = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "kalpana_gateway_open_streams",
			Help:        "WebSockets and event streams that are open, by what they belong to.",
			ConstLabels: prometheus.Labels{"kind": name},
		}, func() float64 { return float64(m.open[kind].Load()) })
	}
	return m
}

func (m *Metrics) streamsOf(kind workspace.HostKind) *atomic.Int64 {
	if kind == workspace.HostPreview {
		return &m.open[previewStream]
	}
	return &m.open[editorStream]
}

// Held returns how many requests wait for a wake.
func (m *Metrics) Held() int { return int(m.held.Load()) }

// Streams returns how many WebSockets and event streams are open.
func (m *Metrics) Streams() (n int) {
	for i := range m.open {
		n += int(m.open[i].Load())
	}
	return n
}

func (m *Metrics) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.requests, m.waiting}
	for _, s := range m.streams {
		all = append(all, s)
	}
	return all
}

func (m *Metrics) count(kind workspace.HostKind, status int) {
	if class := status / 100; class > 0 && class < 6 && m.cells[kind][class] != nil {
		m.cells[kind][class].Inc()
	}
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}
}
