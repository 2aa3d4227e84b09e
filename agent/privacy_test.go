package agent

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
)

// What people write, what files hold and what models answer is nobody's who reads logs and metrics.
func TestRun_LogsAndMetricsHaveNothingOfWhatIsSaid(t *testing.T) {
	const said = "QUOKKA"
	var mu sync.Mutex
	var log bytes.Buffer
	metrics := NewMetrics()
	s := newStage(t, func(c *Config) {
		c.Metrics = metrics
		c.Log = slog.New(slog.NewJSONHandler(writerFunc(func(p []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return log.Write(p)
		}), &slog.HandlerOptions{Level: slog.LevelDebug}))
		broken := toolThat("runCommand", func() (*tools.Result, error) { return nil, errors.New("exit 1: " + said) })
		panics := toolThat("glob", func() (*tools.Result, error) { panic(said) })
		c.Tools = append(c.Tools[:3:3], broken, panics)
	})
	s.model.plays(
		answers(said+" first", aCall("a", "readFile", `{"path":"`+said+`"}`), aCall("b", said, `{}`), aCall("c", "readFile", said),
			aCall("d", "runCommand", `{"command":"`+said+`"}`), aCall("e", "glob", `{}`)),
		func(context.Context, *model.Request, func(model.Delta)) (*model.Response, error) {
			return nil, &model.Error{Kind: model.KindProvider, Status: 502, Message: "It answers: " + said}
		},
	)
	s.send(Send{Text: said + " is what I ask", Model: "maker/one", Mode: approval.AskNone})

	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, family := range families {
		text := family.String()
		told += len(text)
		if strings.Contains(text, said) {
			t.Errorf("a metric has it: %s", text)
		}
	}
	if told == 0 || s.did.all() == nil {
		t.Error("nothing happened that there could be metrics of")
	}
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(log.String(), "panicked") {
		t.Errorf("the log does not tell of the tool that broke: %s", &log)
	}
	if strings.Contains(log.String(), said) {
		t.Errorf("the log has it: %s", &log)
	}
}

func toolThat(name string, run func() (*tools.Result, error)) tools.Tool {
	return tools.Tool{
		Name: name, Description: "Does something.", Parameters: []byte(`{"type":"object"}`),
		Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) { return run() },
	}
}
