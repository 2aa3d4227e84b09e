package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
)

func TestDoctor_AsksTheProviderOfModels(t *testing.T) {
	provider := modeltest.New(t)
	provider.Models(
		modeltest.Info{ID: "anthropic/claude-played-4.5", Parameters: []string{"tools"}},
		modeltest.Info{ID: "openai/gpt-played", Parameters: []string{"tools"}},
		modeltest.Info{ID: "played/no-tools", Parameters: []string{"max_tokens"}},
	)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer page.Close()
	const models = "models anthropic/claude-played-4.5 openai/gpt-played"
	for _, c := range []struct {
		name, options string
		status        checkStatus
		found         string
	}{
		{"off", "agent off", checkOK, "off"},
		{"no key", "agent {\nkey {env.KALPANA_NO_SUCH_KEY}\n}", checkOK, "only people with a key of their own have an agent"},
		{"nobody has one", "agent {\nown_keys off\n}", checkWarning, "nobody has an agent"},
		{"all well", "agent {\nbase_url " + provider.URL + "\nkey " + modeltest.Key + "\n" + models + "\n}", checkOK, "takes the key; models: 2"},
		{"another key", "agent {\nbase_url " + provider.URL + "\nkey sk-or-v1-of-somebody-else\n" + models + "\n}", checkWarning, "does not take the key"},
		{"no such model", "agent {\nbase_url " + provider.URL + "\nkey " + modeltest.Key + "\n" + models + " acme/none\n}", checkWarning, "has no model acme/none"},
		{"a model without tools", "agent {\nbase_url " + provider.URL + "\nkey " + modeltest.Key + "\nmodels played/no-tools\n}", checkWarning, "an agent cannot work with played/no-tools"},
		{"another server", "agent {\nbase_url " + provider.Plain + "\nkey " + modeltest.Key + "\n}", checkOK, "has 3 models"},
		{"another page", "agent {\nbase_url " + page.URL + "\nkey " + modeltest.Key + "\n}", checkWarning, "does not answer as OpenAI's API does"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newExamined(t, strings.ReplaceAll(c.options, "\n", "\n\t\t")).finds("agent", c.status, c.found)
			if strings.Contains(r.Found+r.Do, "sk-or") {
				t.Errorf("it shows the key: %+v", r)
			}
			if r.Status == checkWarning && r.Do == "" {
				t.Error("it says nothing of what to do")
			}
		})
	}
	provider.Forgive()
}

func TestDoctor_AProviderThatIsGoneIsAWarning(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	newExamined(t, "agent {\n\t\tbase_url "+gone.URL+"\n\t\tkey "+modeltest.Key+"\n\t}").finds("agent", checkWarning, "does not answer")
}
