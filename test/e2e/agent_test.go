package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
)

// agentSteps are what chromium/agent.mjs must report.
var agentSteps = []string{
	"VS Code, and the agent beside it",
	"it asks before it writes",
	"VS Code shows what it wrote",
	"what it wrote is undone",
	"a page that is reloaded reads on",
	"it is stopped",
	"console logs no error",
	"console is accessible",
	"console fits a phone",
}

// TestChromium_Agent talks to the agent in the console, whose model is played.
func TestChromium_Agent(t *testing.T) {
	t.Parallel()
	provider := modeltest.New(t)
	provider.Answer(func(r modeltest.Request) modeltest.Turn {
		switch {
		case strings.Contains(r.Said(), "Count"):
			numbers := 20
			if strings.Contains(r.Said(), "until I say stop") {
				numbers = 400 // a minute
			}
			count := modeltest.Paced(numbers, 150*time.Millisecond, func(i int) string { return fmt.Sprintf("number %d\n\n", i) })
			return modeltest.Turn{count, modeltest.Text("That was all.")}
		case r.Steps() == 0:
			return modeltest.Turn{
				modeltest.Reasoning("A file with a greeting.", "signature"), modeltest.Words("I write it."),
				modeltest.Call("call_1", "writeFile", `{"path":"hello.txt",`, `"content":"hello from the agent\n"}`),
			}
		default:
			return modeltest.Turn{modeltest.Words("The greeting is written.")}
		}
	})
	i := install(t, options+unfenced, "OPENROUTER_API_KEY="+modeltest.Key, "KALPANA_AGENT_BASE_URL="+provider.URL, "KALPANA_AGENT_MODELS=anthropic/claude-played-4.5 openai/gpt-played")
	i.browse("agent.mjs", "agent", agentSteps, journeyLimit)
}
