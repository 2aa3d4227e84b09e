package orchestrator

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Metrics are the orchestrator's numbers. It is a prometheus.Collector, and may be registered with
// one registry after another; totals stay. Labels have few values, and never an id.
type Metrics struct {
	wakes       *prometheus.HistogramVec
	states      *prometheus.GaugeVec
	sleeps      *prometheus.CounterVec
	corrections *prometheus.CounterVec
	reconciles  *prometheus.HistogramVec
	engine      *prometheus.CounterVec
	queued      prometheus.Gauge
	draining    prometheus.Gauge

	mu    sync.Mutex
	known map[workspace.ID]workspace.State
}

// correction is what a reconcile put right.
type correction string

const (
	correctedOrphan    correction = "orphan"    // a container that no record knows was removed
	correctedAdopted   correction = "adopted"   // a record follows its container, which runs
	correctedStopped   correction = "stopped"   // a record follows its container, which does not
	correctedContainer correction = "container" // a container follows its record, which is not awake
	correctedDelete    correction = "delete"    // a delete that was cut short is finished
	correctedStart     correction = "start"     // a start that was cut short is done again
)

var corrections = []correction{
	correctedOrphan, correctedAdopted, correctedStopped, correctedContainer, correctedDelete, correctedStart,
}

// NewMetrics returns metrics that are registered nowhere.
func NewMetrics() *Metrics {
	m := &Metrics{
		wakes: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kalpana_wake_duration_seconds",
			Help:    "Time of each stage of a wake, and of the whole, by the state it began in and outcome.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, .75, 1, 1.5, 2, 3, 5, 10, 20, 40, 60},
		}, []string{"from", "stage", "outcome"}),
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
		corrections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kalpana_reconcile_corrections_total",
			Help: "What reconciling records and containers put right, by kind.",
		}, []string{"kind"}),
		reconciles: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "kalpana_reconcile_duration_seconds",
			Help:    "Time of reconciling records and containers, by outcome.",
			Buckets: []float64{.01, .05, .1, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"outcome"}),
		engine: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kalpana_engine_errors_total",
			Help: "Faults of the container engine, by what was asked of it and kind.",
		}, []string{"verb", "kind"}),
		draining: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kalpana_draining",
			Help: "1 while this gateway starts no workspace since it is about to be stopped.",
		}),
		known: map[workspace.ID]workspace.State{},
	}
	for _, s := range workspace.States {
		m.states.WithLabelValues(string(s))
	}
	for _, c := range corrections {
		m.corrections.WithLabelValues(string(c))
	}
	for _, outcome := range []string{outcomeOK, outcomeError} {
		m.reconciles.WithLabelValues(outcome)
	}
	return m
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.wakes, m.states, m.sleeps, m.corrections, m.reconciles, m.engine, m.queued, m.draining}
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

// The outcomes. What was cut short, by a stop or the end of this process, is no fault; nor is what was
// refused by a rule of the operator's.
const (
	outcomeOK       = "ok"
	outcomeError    = "error"
	outcomeCanceled = "canceled"
	outcomeRefused  = "refused"
)

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, workspace.ErrDraining), errors.Is(err, workspace.ErrRunningLimit), errors.Is(err, workspace.ErrHostFull):
		return outcomeRefused
	case errors.Is(err, context.Canceled), errors.Is(err, workspace.ErrBusy), errors.Is(err, workspace.ErrShuttingDown),
		errors.Is(err, workspace.ErrConflict), errors.Is(err, workspace.ErrNotFound):
		return outcomeCanceled
	default:
		return outcomeError
	}
}

// observe counts a stage of a wake that began in the state from.
func (m *Metrics) observe(from workspace.State, stage Stage, took time.Duration, err error) {
	m.wakes.WithLabelValues(string(from), string(stage), outcomeOf(err)).Observe(max(took, 0).Seconds()) // a clock may be set back
}

// woken counts a wake, from when it was asked for, and how much of that it waited for its turn. began is
// when its turn came. One that had nothing to do, since the workspace ran, is none.
func (m *Metrics) woken(op *Operation, began time.Time, err error) {
	asked, waited, stages, restart := op.stages()
	if stages <= 1 && err == nil {
		return
	}
	from := op.startedFrom()
	if restart {
		asked = began
	} else if stages > 1 {
		m.observe(from, StageQueued, waited, nil)
	}
	m.observe(from, StageTotal, time.Since(asked), err)
}

func (m *Metrics) corrected(c correction) { m.corrections.WithLabelValues(string(c)).Inc() }

func (m *Metrics) reconciled(start time.Time, err error) {
	outcome := outcomeOf(err)
	if outcome == outcomeCanceled {
		return
	}
	m.reconciles.WithLabelValues(outcome).Observe(time.Since(start).Seconds())
}

// Why workspaces are paused or stopped.
const (
	sleptIdle     = "idle"
	sleptSchedule = "schedule"
	sleptAsked    = "asked"
	sleptDisk     = "disk"  // its own is full, or the machine's
	sleptRoom     = "room"  // another one of its owner's was woken
	sleptEnded    = "ended" // its container did so by itself
	sleptMemory   = "out_of_memory"
)

// slept counts a workspace that was paused or stopped, or failed for want of memory.
func (m *Metrics) slept(to workspace.State, reason string) {
	m.sleeps.WithLabelValues(string(to), reason).Inc()
}
