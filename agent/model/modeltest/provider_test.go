package modeltest_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/agent/model/modeltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// post sends a body to a provider and returns the status and what came.
func post(t *testing.T, p *modeltest.Provider, path, body string, header map[string]string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body))
	for name, value := range map[string]string{
		"Content-Type": "application/json", "Authorization": "Bearer " + modeltest.Key, "HTTP-Referer": "https://example.com", "X-OpenRouter-Title": "Test",
	} {
		r.Header.Set(name, value)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

const (
	path  = "/openrouter/api/v1/chat/completions"
	head  = `{"model":"anthropic/claude-played-4.5","stream":true,"stream_options":{"include_usage":true},`
	hello = `{"role":"user","content":"Hello?"}`
	call  = `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"readFile","arguments":"{}"}}]}`
	found = `{"role":"tool","tool_call_id":"call_1","content":"package a"}`
)

func TestProvider_PlaysTheRecordedStream(t *testing.T) {
	p := modeltest.NewProvider()
	defer p.Close()
	p.Play(modeltest.Turn{modeltest.Reasoning("Hm.", "sig"), modeltest.Text("H", "i"), modeltest.Call("call_1", "readFile", `{"a"`, `:1}`)})
	status, text := post(t, p, path, head+`"messages":[`+hello+`]}`, nil)
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, text)
	}
	for _, want := range []string{
		": OPENROUTER PROCESSING\n\n", `"reasoning":"Hm.","reasoning_details":[{"format":"anthropic-claude-v1","index":0,"text":"Hm.","type":"reasoning.text"}]`,
		`"reasoning":null,"reasoning_details":[{"format":"anthropic-claude-v1","index":0,"signature":"sig","type":"reasoning.text"}]`,
		`"content":"H"}`, `"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"readFile","arguments":""}}]`,
		`"function":{"arguments":"{\"a\""}`, `"model":"anthropic/claude-4.5-played-20260101"`,
		`"finish_reason":"tool_calls","native_finish_reason":"tool_calls","logprobs":null}],"usage":{"prompt_tokens":`, "data: [DONE]\n\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %s in\n%s", want, text)
		}
	}
	if got := strings.Count(text, `"finish_reason":"tool_calls"`); got != 2 {
		t.Errorf("the finish reason is there %d times, want 2: the chunk with usage repeats it", got)
	}
}

func TestProvider_RefusesWhatProvidersRefuse(t *testing.T) {
	for name, test := range map[string]struct {
		body, says string
	}{
		"no JSON":                    {`{`, "not JSON"},
		"no stream":                  {`{"model":"x","messages":[` + hello + `]}`, "does not ask for a stream"},
		"no model":                   {`{"stream":true,"messages":[` + hello + `]}`, "no model"},
		"no usage":                   {`{"model":"x","stream":true,"messages":[` + hello + `]}`, "does not ask for usage"},
		"no messages":                {head + `"messages":[]}`, "no message"},
		"four fallbacks":             {head + `"models":["a","b","c","d"],"messages":[` + hello + `]}`, "at most three"},
		"an empty message":           {head + `"messages":[{"role":"user","content":" "}]}`, "empty message"},
		"an unknown role":            {head + `"messages":[{"role":"developer","content":"x"},` + hello + `]}`, "the role"},
		"nothing to answer":          {head + `"messages":[` + hello + `,{"role":"assistant","content":"Hi"}]}`, "nothing to answer"},
		"a call without its answer":  {head + `"messages":[` + hello + `,` + call + `,` + hello + `]}`, "not answered"},
		"an answer without its call": {head + `"messages":[` + hello + `,` + found + `]}`, "which there is not"},
		"an answer twice":            {head + `"messages":[` + hello + `,` + call + `,` + found + `,` + found + `]}`, "which there is not"},
		"an empty answer":            {head + `"messages":[` + hello + `,` + call + `,{"role":"tool","tool_call_id":"call_1","content":""}]}`, "empty answer of a tool"},
		"arguments that are no JSON": {head + `"messages":[` + hello + `,` + strings.Replace(call, `"{}"`, `"{"`, 1) + `,` + found + `]}`, "no JSON object"},
		"a tool without a schema":    {head + `"tools":[{"type":"function","function":{"name":"a"}}],"messages":[` + hello + `]}`, "no schema"},
		"reasoning from nowhere":     {head + `"messages":[` + hello + `,` + strings.Replace(call, `"content"`, `"reasoning_details":[{"type":"x"}],"content"`, 1) + `,` + found + `]}`, "no answer of this provider's"},
		"a mark of another kind":     {head + `"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"forever"}}]}]}`, "cache mark"},
		"a mark that nobody needs":   {strings.Replace(head, "anthropic/claude-played-4.5", "openai/x", 1) + `"messages":[{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]}]}`, "needs none"},
		"something that is no UTF-8": {head + `"messages":[{"role":"user","content":"` + "\xff" + `"}]}`, "UTF-8"},
		"more than there is to play": {head + `"messages":[` + hello + `]}`, "no turn left"},
	} {
		p := modeltest.NewProvider()
		status, text := post(t, p, path, test.body, nil)
		problems := p.Forgive()
		if status != http.StatusBadRequest || len(problems) != 1 || !strings.Contains(problems[0], test.says) {
			t.Errorf("%s: %d %s, %q", name, status, text, problems)
		}
		p.Close()
	}
}

func TestProvider_ReasoningMustComeBackAsItWas(t *testing.T) {
	p := modeltest.NewProvider()
	defer p.Close()
	p.Answer(func(modeltest.Request) modeltest.Turn { return modeltest.Turn{modeltest.Text("Well.")} })
	p.Play(modeltest.Turn{modeltest.Reasoning("Hm.", "sig"), modeltest.Call("call_1", "readFile", `{}`)})
	post(t, p, path, head+`"messages":[`+hello+`]}`, nil)
	with := func(details string) string {
		return head + `"messages":[` + hello + `,` + strings.Replace(call, `"content"`, `"reasoning_details":`+details+`,"content"`, 1) + `,` + found + `]}`
	}
	for name, test := range map[string]struct {
		body string
		ok   bool
	}{
		"as it was":     {with(`[{"type":"reasoning.text","text":"Hm.","signature":"sig","format":"anthropic-claude-v1","index":0}]`), true},
		"none":          {with(`[]`), false},
		"changed":       {with(`[{"type":"reasoning.text","text":"Ho.","signature":"sig","format":"anthropic-claude-v1","index":0}]`), false},
		"no signature":  {with(`[{"type":"reasoning.text","text":"Hm.","format":"anthropic-claude-v1","index":0}]`), false},
		"to another":    {strings.Replace(with(`[{"type":"reasoning.text","text":"Hm.","signature":"sig","format":"anthropic-claude-v1","index":0}]`), "anthropic/claude-played-4.5", "openai/x", 1), false},
		"none to it":    {strings.Replace(with(`[]`), "anthropic/claude-played-4.5", "openai/x", 1), true},
		"not as pieces": {with(`[{"type":"reasoning.text","text":"Hm.","format":"anthropic-claude-v1","index":0},{"type":"reasoning.text","signature":"sig","index":0}]`), false},
	} {
		status, text := post(t, p, path, test.body, nil)
		if ok := status == http.StatusOK; ok != test.ok || len(p.Forgive()) > 0 == test.ok {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

func TestProvider_KnowsItsHeadersAndKeys(t *testing.T) {
	p := modeltest.NewProvider()
	defer p.Close()
	body := head + `"messages":[` + hello + `]}`
	if status, _ := post(t, p, path, body, map[string]string{"Authorization": "Bearer other"}); status != http.StatusUnauthorized || len(p.Forgive()) != 0 {
		t.Errorf("another key: %d", status)
	}
	for _, header := range []string{"HTTP-Referer", "X-OpenRouter-Title", "Content-Type"} {
		if status, _ := post(t, p, path, body, map[string]string{header: ""}); status != http.StatusBadRequest || len(p.Forgive()) != 1 {
			t.Errorf("without %s: %d", header, status)
		}
	}
	if status, text := post(t, p, "/v1/chat/completions", strings.Replace(body, "{", `{"models":["x"],`, 1), nil); status != http.StatusBadRequest || !strings.Contains(text, "models") {
		t.Errorf("a plain server takes what it does not know: %d %s", status, text)
	}
}

func TestProvider_ARuleSeesWhatTheToolsAnswered(t *testing.T) {
	p := modeltest.NewProvider()
	defer p.Close()
	p.Answer(func(r modeltest.Request) modeltest.Turn {
		if r.Steps() == 0 {
			return modeltest.Turn{modeltest.Call("call_1", "readFile", `{}`)}
		}
		return modeltest.Turn{modeltest.Text(r.Said() + " " + r.Results()["call_1"] + " " + r.Result())}
	})
	post(t, p, path, head+`"messages":[`+hello+`]}`, nil)
	_, text := post(t, p, path, head+`"messages":[`+hello+`,`+call+`,`+found+`]}`, nil)
	if !strings.Contains(text, `"content":"Hello? package a package a"`) || len(p.Problems()) > 0 || p.Left() != 0 {
		t.Errorf("%q\n%s", p.Problems(), text)
	}
}
