package agent

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
)

// Metrics are the numbers of all agents. It is a prometheus.Collector, and may be registered with one registry after
// another; totals stay. Names and buckets are those of OpenTelemetry's semantic conventions for generative AI in the
// form that Prometheus gives them, where there is one. Labels have few values: never an id, and the names of models and
// tools are those that the operator and Kalpana know.
type Metrics struct {
	tokens      *prometheus.HistogramVec
	operations  *prometheus.HistogramVec
	firstChunk  *prometheus.HistogramVec
	perChunk    *prometheus.HistogramVec
	runs        *prometheus.HistogramVec
	tools       *prometheus.HistogramVec
	cost        *prometheus.CounterVec
	errors      *prometheus.CounterVec
	compactions *prometheus.CounterVec
	refused     *prometheus.CounterVec
	checkpoints *prometheus.CounterVec
	undos       *prometheus.CounterVec
	decisions   *prometheus.CounterVec
	running     prometheus.Gauge

	mu       sync.Mutex
	provider string
	models   map[string]bool
}

// otherValue stands for every name that a label has no room for.
const otherValue = "other"

// toolNames are the tools that have a name of their own in the metrics. All others are an MCP server's.
var toolNames = []string{
	"readFile", "writeFile", "editFile", "listFiles", "glob", "searchCode", "runCommand", "commandOutput", "stopCommand",
	"git", "todo", "ask", "task",
}

// Errors of the agent's own, beside those of models (model.Kind).
const (
	ErrorWorkspace = "workspace" // it cannot be reached
	ErrorStore     = "store"
	ErrorSteps     = "steps"    // the limit of steps is reached
	ErrorTime      = "time"     // that of time is
	ErrorRepeated  = "repeated" // the same call again and again
	ErrorBudget    = "budget"   // refused by a budget
	ErrorInternal  = "internal" // a fault of Kalpana's
	errorCanceled  = "canceled" // stopped by a person: no fault
	errorTimeout   = "timeout"  // a tool's
	outcomeOK      = "ok"       // of a checkpoint or an undo
	outcomeError   = "error"
	tokenInput     = "input"
	tokenOutput    = "output"
	operationChat  = "chat"
	operationAgent = "invoke_agent"
	operationTool  = "execute_tool"
)

var errorKinds = []string{
	string(model.KindNoCredit), string(model.KindUnauthorized), string(model.KindRateLimited), string(model.KindUnavailable),
	string(model.KindCut), string(model.KindContext), string(model.KindRefused), string(model.KindProvider),
	string(model.KindContentFilter), string(model.KindBadAnswer), string(model.KindUnknownModel), string(model.KindNotConfigured),
	ErrorWorkspace, ErrorStore, ErrorSteps, ErrorTime, ErrorRepeated, ErrorBudget, ErrorInternal,
}

// NewMetrics returns metrics that are registered nowhere.
func NewMetrics() *Metrics {
	durations := prometheus.ExponentialBuckets(.01, 2, 14) // to 81.92 s
	call := []string{"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		tokens: histogram("gen_ai_client_token_usage", "Tokens of each call of a model, by type.",
			prometheus.ExponentialBuckets(1, 4, 14), slices.Concat(call, []string{"gen_ai_token_type"})...), // to 67108864
		operations: histogram("gen_ai_client_operation_duration_seconds", "Time of each call of a model, attempts included.",
			durations, slices.Concat(call, []string{"error_type"})...),
		firstChunk: histogram("gen_ai_client_operation_time_to_first_chunk_seconds", "Time from a call of a model to the first piece of its answer.",
			[]float64{.001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80}, call...),
		perChunk: histogram("gen_ai_client_operation_time_per_output_chunk_seconds", "Time between the pieces of an answer after the first, on its average.",
			[]float64{.001, .0025, .005, .01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}, call...),
		runs: histogram("gen_ai_invoke_agent_duration_seconds", "Time of each run of an agent, from what a person sent to its end or its next question.",
			[]float64{.1, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600}, "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"),
		tools: histogram("gen_ai_execute_tool_duration_seconds", "Time of each call of a tool that was carried out.",
			durations, "gen_ai_operation_name", "gen_ai_tool_name", "error_type"),
		cost:        counter("kalpana_agent_cost_dollars_total", "What models cost in US dollars, as the provider counts, by model and whose key paid.", "model", "key"),
		errors:      counter("kalpana_agent_errors_total", "Errors that ended runs of agents, by kind.", "kind"),
		compactions: counter("kalpana_agent_compactions_total", "Conversations that were compacted since the model's window was nearly full, by outcome.", "outcome"),
		refused:     counter("kalpana_agent_refused_total", "Calls of models that a budget refused, by whose it is, its span and unit.", "budget", "span", "unit"),
		checkpoints: counter("kalpana_agent_checkpoints_total", "Checkpoints that were made before an agent changed something, by outcome.", "outcome"),
		undos:       counter("kalpana_agent_undos_total", "Changes of agents that people took back, by scope and outcome.", "scope", "outcome"),
		decisions:   counter("kalpana_agent_tool_decisions_total", "Calls of tools by what the rules said of them.", "verdict"),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "kalpana_agent_running",
			Help: "Runs of agents that are under way.",
		}),
		provider: otherValue,
	}
	for _, kind := range errorKinds {
		m.errors.WithLabelValues(kind)
	}
	for _, outcome := range []string{outcomeOK, outcomeError} {
		m.compactions.WithLabelValues(outcome)
		m.checkpoints.WithLabelValues(outcome)
	}
	for _, whose := range []string{"person", "workspace"} {
		for _, span := range []string{"day", "month"} {
			for _, unit := range []string{"cost", "tokens"} {
				m.refused.WithLabelValues(whose, span, unit)
			}
		}
	}
	return m
}

// Offer says where models are asked ("openrouter", "openai", or another word of the operator's) and which there are.
// Models that are not among them have no name of their own in the metrics.
func (m *Metrics) Offer(provider string, models []string) {
	offered := make(map[string]bool, len(models))
	for _, name := range models {
		offered[name] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.provider, m.models = provider, offered
}

// names returns the provider's, and those of two models as labels have them.
func (m *Metrics) names(requested, answered string) (provider, request, response string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	bounded := func(name string) string {
		if name == "" || m.models[name] {
			return name
		}
		return otherValue
	}
	return m.provider, bounded(requested), bounded(answered)
}

// ModelCall counts a call of a model that took so long, attempts included. The response may be nil, or be a part of one
// beside an error.
func (m *Metrics) ModelCall(requested string, ownKey bool, res *model.Response, took time.Duration, err error) {
	usage, answered := model.Usage{}, ""
	if res != nil {
		usage, answered = res.Usage, res.Model
	}
	if failed, ok := errors.AsType[*model.Error](err); ok && failed.Usage != nil {
		usage = *failed.Usage
	}
	provider, request, response := m.names(requested, answered)
	m.operations.WithLabelValues(operationChat, provider, request, response, errorType(err)).Observe(max(took, 0).Seconds())
	if usage.Input > 0 || usage.Output > 0 {
		m.tokens.WithLabelValues(operationChat, provider, request, response, tokenInput).Observe(float64(usage.Input))
		m.tokens.WithLabelValues(operationChat, provider, request, response, tokenOutput).Observe(float64(usage.Output))
	}
	if usage.Cost > 0 {
		payer := "installation"
		if ownKey {
			payer = "own"
		}
		m.cost.WithLabelValues(request, payer).Add(float64(usage.Cost) / 1e6)
	}
	if res == nil || res.Chunks == 0 {
		return
	}
	m.firstChunk.WithLabelValues(operationChat, provider, request, response).Observe(max(res.FirstChunk, 0).Seconds())
	if res.Chunks > 1 && err == nil {
		m.perChunk.WithLabelValues(operationChat, provider, request, response).
			Observe(max(took-res.FirstChunk, 0).Seconds() / float64(res.Chunks-1))
	}
}

// ToolCall counts a call of a tool that was carried out, by the tool's name: one that the model made up is none.
func (m *Metrics) ToolCall(name string, took time.Duration, err error) {
	if !slices.Contains(toolNames, name) {
		name = "mcp"
	}
	m.tools.WithLabelValues(operationTool, name, errorType(err)).Observe(max(took, 0).Seconds())
}

// Run counts a run that begins, and one that ended when the function is called that it returns. An error that ended it
// is counted by its kind; errors of tools are the model's to deal with and end none.
func (m *Metrics) Run(requested string) (ended func(err error)) {
	began := time.Now()
	m.running.Inc()
	var once sync.Once
	return func(err error) {
		once.Do(func() {
			m.running.Dec()
			provider, request, _ := m.names(requested, "")
			kind := errorType(err)
			m.runs.WithLabelValues(operationAgent, provider, request, kind).Observe(time.Since(began).Seconds())
			if kind != "" && kind != errorCanceled {
				m.errors.WithLabelValues(kind).Inc()
			}
		})
	}
}

// Compacted counts a conversation that was compacted, or failed to be.
func (m *Metrics) Compacted(err error) { m.compactions.WithLabelValues(outcomeOf(err)).Inc() }

// Refused counts a call of a model that a budget refused.
func (m *Metrics) Refused(spent *budget.Spent) {
	m.refused.WithLabelValues(spent.What, spent.Span, spent.Unit).Inc()
}

// Checkpoint counts one that was made, or failed to be.
func (m *Metrics) Checkpoint(err error) { m.checkpoints.WithLabelValues(outcomeOf(err)).Inc() }

// Undo counts what a person took back: one "file", or a "turn".
func (m *Metrics) Undo(scope string, err error) { m.undos.WithLabelValues(scope, outcomeOf(err)).Inc() }

// Decided counts what the rules said of a call.
func (m *Metrics) Decided(v approval.Verdict) { m.decisions.WithLabelValues(string(v)).Inc() }

func outcomeOf(err error) string {
	if err != nil {
		return outcomeError
	}
	return outcomeOK
}

// Failure is an error that ends a run, by its kind: one of the Error constants.
type Failure struct { //nolint:errname // it is a word of its own
	Kind string
	Err  error
}

func (f *Failure) Error() string { return f.Err.Error() }

func (f *Failure) Unwrap() error { return f.Err }

// errorType is an error's kind, and "" for none.
func errorType(err error) string {
	if err == nil {
		return ""
	}
	if own, ok := errors.AsType[*Failure](err); ok {
		if slices.Contains(errorKinds, own.Kind) {
			return own.Kind
		}
		return otherValue
	}
	if failed, ok := errors.AsType[*model.Error](err); ok {
		if slices.Contains(errorKinds, string(failed.Kind)) {
			return string(failed.Kind)
		}
		return otherValue
	}
	if _, ok := errors.AsType[*budget.Spent](err); ok {
		return ErrorBudget
	}
	switch {
	case errors.Is(err, context.Canceled):
		return errorCanceled
	case errors.Is(err, context.DeadlineExceeded):
		return errorTimeout
	case errors.Is(err, tools.ErrWorkspace):
		return ErrorWorkspace
	default:
		return otherValue
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.tokens, m.operations, m.firstChunk, m.perChunk, m.runs, m.tools, m.cost, m.errors, m.compactions, m.refused,
		m.checkpoints, m.undos, m.decisions, m.running,
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
