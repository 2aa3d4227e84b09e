package orchestrator

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Metrics are the orchestrator's numbers. It is a prometheus.Collector, and may be registered with
// one registry after another; totals stay.
type Metrics struct {
	wakes  *prometheus.HistogramVec
	states *prometheus.GaugeVec
	sleeps *prometheus.CounterVec
	queued prometheus.Gauge

	mu    sync.Mutex
	known map[workspace.ID]workspace.State
}

// NewMetrics returns metrics that are registered nowhere.
func NewMetrics() *Metrics {
	m := &Metrics{
		wakes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kalpana_wake_duration_seconds",
			Help:    "Time of each stage of a wake, and of the whole, by outcome.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, .75, 1, 1.5, 2, 3, 5, 10, 20, 40, 60},
		}, []string{"stage", "outcome"}),
		states: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kalpana_workspaces",
			Help: "Workspaces by state.",
		}, []string{"state"}),
		sleeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kalpana_sleeps_total",
			Help: "Workspaces that were paused or stopped, by why.",
		}, []string{"to", "reason"}),
		queued: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kalpana_starts_queued",
			Help: "Workspaces that wait for others to start.",
		}),
		known: map[workspace.ID]workspace.State{},
	}
	for _, s := range workspace.States {
		m.states.WithLabelValues(string(s))
	}
	return m
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.wakes.Describe(ch)
	m.states.Describe(ch)
	m.sleeps.Describe(ch)
	m.queued.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.wakes.Collect(ch)
	m.states.Collect(ch)
	m.sleeps.Collect(ch)
	m.queued.Collect(ch)
}

// setState counts a workspace under its new state; "" means that it is gone.
func (m *Metrics) setState(id workspace.ID, s workspace.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.known[id]
	if ok && old == s {
		return
	}
	if ok {
		m.states.WithLabelValues(string(old)).Dec()
	}
	if s == "" {
		delete(m.known, id)
		return
	}
	m.known[id] = s
	m.states.WithLabelValues(string(s)).Inc()
}

func (m *Metrics) observe(stage Stage, start time.Time, err error) {
	outcome := "ok"
	if err != nil {
		outcome = "error"
	}
	m.wakes.WithLabelValues(string(stage), outcome).Observe(time.Since(start).Seconds())
}

// Why workspaces are paused or stopped.
const (
	sleptIdle     = "idle"
	sleptSchedule = "schedule"
	sleptAsked    = "asked"
	sleptDisk     = "disk" // its own is full, or the machine's
	sleptRoom     = "room" // another one of its owner's was woken
)

func (m *Metrics) slept(to workspace.State, reason string) {
	m.sleeps.WithLabelValues(string(to), reason).Inc()
}
