package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
)

// figures are a series': the value of a counter or gauge, the sum and count of a histogram.
type figures struct {
	value float64
	count uint64
}

// gathered are the series of a metric by their labels, as "name=value" joined by commas.
func gathered(t *testing.T, m *Metrics, name string) map[string]figures {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]figures{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			series[strings.Join(labels, ",")] = figures{
				value: metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + metric.GetHistogram().GetSampleSum(),
				count: metric.GetHistogram().GetSampleCount(),
			}
		}
	}
	return series
}

func offering(models ...string) *Metrics {
	m := NewMetrics()
	m.Offer("openrouter", models)
	return m
}

func TestMetrics_ACallOfAModelIsCountedWithItsTokensTimesAndCost(t *testing.T) {
	m := offering("a/one")
	m.ModelCall("a/one", true, &model.Response{
		Model: "a/one", FirstChunk: 500 * time.Millisecond, Chunks: 11,
		Usage: model.Usage{Input: 1000, Output: 50, Cost: 2_500_000, Priced: true},
	}, 1500*time.Millisecond, nil)

	const call = "gen_ai_operation_name=chat,gen_ai_provider_name=openrouter,gen_ai_request_model=a/one,gen_ai_response_model=a/one"
	for name, want := range map[string]map[string]float64{
		"gen_ai_client_token_usage":                             {call + ",gen_ai_token_type=input": 1000, call + ",gen_ai_token_type=output": 50},
		"gen_ai_client_operation_duration_seconds":              {"error_type=," + call: 1.5},
		"gen_ai_client_operation_time_to_first_chunk_seconds":   {call: .5},
		"gen_ai_client_operation_time_per_output_chunk_seconds": {call: .1},
	} {
		series := gathered(t, m, name)
		if len(series) != len(want) {
			t.Errorf("%s has %d series, want %d: %v", name, len(series), len(want), series)
		}
		for labels, sum := range want {
			if got := series[labels].value; got != sum {
				t.Errorf("%s{%s} is %v, want %v", name, labels, got, sum)
			}
		}
	}
	if got := gathered(t, m, "kalpana_agent_cost_dollars_total")["key=own,model=a/one"].value; got != 2.5 {
		t.Errorf("the cost is $%v, want $2.50", got)
	}
}

func TestMetrics_ABrokenCallCountsWhatItUsed(t *testing.T) {
	m := offering("a/one")
	failed := &model.Error{Kind: model.KindCut, Usage: &model.Usage{Input: 10, Output: 3, Cost: 4}}
	m.ModelCall("a/one", false, nil, time.Second, fmt.Errorf("step 3: %w", failed))
	for labels, series := range gathered(t, m, "gen_ai_client_operation_duration_seconds") {
		if !strings.HasPrefix(labels, "error_type=cut,") || series.count != 1 {
			t.Errorf("it is counted as %s", labels)
		}
	}
	if series := gathered(t, m, "gen_ai_client_token_usage"); len(series) != 2 {
		t.Errorf("its tokens are counted as %v", series)
	}
	if series := gathered(t, m, "kalpana_agent_cost_dollars_total"); len(series) != 1 {
		t.Errorf("its cost is counted as %v", series)
	}
}

func TestMetrics_NamesThatNobodyOfferedMakeNoSeries(t *testing.T) {
	m := offering("a/one")
	for n := range 50 {
		made := fmt.Sprintf("made/up-%d", n)
		m.ModelCall(made, false, &model.Response{Model: made, Chunks: 1, Usage: model.Usage{Input: 1, Cost: 1}}, time.Second, errors.New(made))
		m.ToolCall(made, time.Second, errors.New(made))
		m.Run(made)(&Failure{Kind: made, Err: errors.New(made)})
	}
	for _, name := range []string{
		"gen_ai_client_operation_duration_seconds", "gen_ai_execute_tool_duration_seconds",
		"gen_ai_invoke_agent_duration_seconds", "kalpana_agent_cost_dollars_total",
	} {
		if series := gathered(t, m, name); len(series) != 1 {
			t.Errorf("%s has %d series", name, len(series))
		}
	}
	for labels := range gathered(t, m, "kalpana_agent_errors_total") {
		if strings.Contains(labels, "made") {
			t.Errorf("there is a series %s", labels)
		}
	}
}

func TestMetrics_ARunIsCountedWhileItIsUnderWayAndOnceWhenItEnds(t *testing.T) {
	m := offering("a/one")
	running := func() float64 { return gathered(t, m, "kalpana_agent_running")[""].value }
	stopped, broken := m.Run("a/one"), m.Run("a/one")
	if got := running(); got != 2 {
		t.Fatalf("%v runs are under way, want 2", got)
	}
	stopped(context.Canceled)
	broken(&model.Error{Kind: model.KindNoCredit})
	broken(nil)
	if got := running(); got != 0 {
		t.Errorf("%v runs are under way, want none", got)
	}
	for labels, metric := range gathered(t, m, "kalpana_agent_errors_total") {
		want := 0.0
		if labels == "kind=no_credit" {
			want = 1
		}
		if got := metric.value; got != want {
			t.Errorf("%s is %v, want %v: a stop is no error", labels, got, want)
		}
	}
	if series := gathered(t, m, "gen_ai_invoke_agent_duration_seconds"); len(series) != 2 {
		t.Errorf("runs are counted as %v", series)
	}
}

func TestMetrics_WhatABudgetRefusedIsCountedByTheBudget(t *testing.T) {
	m := NewMetrics()
	m.Refused(&budget.Spent{What: "workspace", Span: "month", Unit: "tokens"})
	if got := gathered(t, m, "kalpana_agent_refused_total")["budget=workspace,span=month,unit=tokens"].value; got != 1 {
		t.Errorf("it is %v, want 1", got)
	}
}
