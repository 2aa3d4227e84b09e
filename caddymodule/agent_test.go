package caddymodule

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
)

func resolved(t *testing.T, a *Agent) agentConfig {
	t.Helper()
	c, err := a.resolve()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAgent_IsThereForThoseWithAKeyByDefault(t *testing.T) {
	want := agentConfig{
		BaseURL: "https://openrouter.ai/api/v1", Models: openRouterModels, DefaultModel: openRouterModels[0], OwnKeys: true,
		MaxSteps: 100, MaxTime: time.Hour, Mode: approval.AskWrites,
	}
	if diff := cmp.Diff(want, resolved(t, nil)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, resolved(t, &Agent{Key: "{env.KALPANA_NO_SUCH_KEY}"})); diff != "" {
		t.Errorf("a variable that is not set (-want +got):\n%s", diff)
	}
}

func TestAgent_PlaceholdersAreReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("sk-of-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KALPANA_TEST_URL", "https://models.example.com/v1/")
	t.Setenv("KALPANA_TEST_TOKEN", "t0ken")
	off := false
	got := resolved(t, &Agent{
		BaseURL: "{env.KALPANA_TEST_URL}", Key: "{file." + file + "}", OwnKeys: &off, Fallbacks: true, MaxSteps: 7, Mode: approval.AskNone,
		PersonBudget: &AgentBudget{DayCost: 5, MonthCost: 0.000001, MonthTokens: 9}, Models: []string{"a/b"},
		MCP: []*MCPServer{{Name: "docs", URL: "https://docs.example.com/mcp", Headers: map[string]string{"Authorization": "Bearer {env.KALPANA_TEST_TOKEN}"}}},
	})
	want := agentConfig{
		BaseURL: "https://models.example.com/v1", Key: "sk-of-a-file", Models: []string{"a/b"}, DefaultModel: "a/b", Fallbacks: true,
		MaxSteps: 7, MaxTime: time.Hour, Mode: approval.AskNone, PersonBudget: budget.Limits{DayCost: 5_000_000, MonthCost: 1, MonthTokens: 9},
		MCP: []MCPServer{{Name: "docs", URL: "https://docs.example.com/mcp", Headers: map[string]string{"Authorization": "Bearer t0ken"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAgent_WhereItIsOffNobodyEntersAKey(t *testing.T) {
	if c := resolved(t, &Agent{Off: true}); c.OwnKeys {
		t.Error("people may bring keys of their own")
	}
}

// Another server than OpenRouter has other models: what it has is offered, unless the operator names some.
func TestAgent_OtherServersOfferWhatTheyHave(t *testing.T) {
	if got := resolved(t, &Agent{BaseURL: "http://127.0.0.1:11434/v1"}); got.origin() != "http://127.0.0.1:11434" || got.Models != nil || got.DefaultModel != "" {
		t.Errorf("%+v", got)
	}
}

func TestAgent_PlainHTTPIsWarnedOfUnlessItIsPrivate(t *testing.T) {
	for address, warned := range map[string]bool{
		"https://models.example.com": false, "http://models.example.com": true, "http://8.8.8.8/v1": true, "http://localhost:1": false,
		"http://127.0.0.1:1": false, "http://[::1]:1": false, "http://10.1.2.3/": false, "http://192.168.7.1/v1": false,
	} {
		c := resolved(t, &Agent{BaseURL: address})
		var log bytes.Buffer
		c.warn(slog.New(slog.NewTextHandler(&log, nil)))
		if got := strings.Contains(log.String(), "use https"); got != warned {
			t.Errorf("%s: %s", address, log.String())
		}
	}
}

func TestAgent_NoErrorShowsAKey(t *testing.T) {
	const secret = "sk-or-v1-0123456789"
	for _, a := range []*Agent{
		{Key: secret + " x"},
		{Key: secret + "\nX: y"},
		{Key: secret, BaseURL: "ftp://x"},
		{Key: secret, MaxSteps: -1},
		{BaseURL: "https://" + secret + "@models.example.com"},
		{MCP: []*MCPServer{{Name: "docs", URL: "https://x.example", Headers: map[string]string{"Authorization": secret + "\x00"}}}},
	} {
		if _, err := a.resolve(); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

func TestAgent_AKeyInTheCaddyfileMayBeLeftEmpty(t *testing.T) {
	t.Setenv("KALPANA_TEST_KEY", "")
	if err := validate(t, site("agent {\nkey {$KALPANA_TEST_KEY}\nmodels {$KALPANA_TEST_MODELS}\n}\ndata_dir "+t.TempDir())); err != nil {
		t.Error(err)
	}
}

// What the root's Caddyfile makes of the environment.
func TestRootCaddyfile_TheAgentIsSetUpByTheEnvironment(t *testing.T) {
	text, err := os.ReadFile("../Caddyfile")
	if err != nil {
		t.Fatal(err)
	}
	agent := func() agentConfig {
		t.Helper()
		body, err := adapt(t, "Caddyfile", text)
		if err != nil {
			t.Fatal(err)
		}
		var config struct{ Apps struct{ Kalpana App } }
		if err := json.Unmarshal(body, &config); err != nil {
			t.Fatal(err)
		}
		return resolved(t, config.Apps.Kalpana.Agent)
	}
	t.Setenv("OPENROUTER_API_KEY", "")
	if got := agent(); got.Key != "" || got.BaseURL != model.OpenRouter || len(got.Models) == 0 || got.PersonBudget.DayCost != 20_000_000 {
		t.Errorf("%+v", got)
	}
	t.Setenv("OPENROUTER_API_KEY", "sk-1")
	t.Setenv("KALPANA_AGENT_BASE_URL", "http://127.0.0.1:9999/v1")
	t.Setenv("KALPANA_AGENT_MODELS", "played/one played/two")
	t.Setenv("KALPANA_AGENT_BUDGET", "unlimited")
	got := agent()
	if got.Key != "sk-1" || got.BaseURL != "http://127.0.0.1:9999/v1" || got.DefaultModel != "played/one" || len(got.Models) != 2 || got.PersonBudget.DayCost != 0 {
		t.Errorf("%+v", got)
	}
}
