package modeltest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Key is the key that is accepted unless others are set.
const Key = "sk-or-v1-0f3a9c61d2b84e75"

// Info is a model of the list. Prices are in US dollars a token, as OpenRouter writes them.
type Info struct {
	ID, Name                string
	Slug                    string // the name by which answers call it, where that is another
	Context, MaxOutput      int
	InputPrice, OutputPrice string
	Parameters              []string // supported_parameters
}

// Some models that are there unless others are set. The first has its prompt cache marked, and is called by another name in
// its answers.
var defaultModels = []Info{
	{
		ID: "anthropic/claude-played-4.5", Name: "Anthropic: Claude Played 4.5", Slug: "anthropic/claude-4.5-played-20260101",
		Context: 200_000, MaxOutput: 64_000, InputPrice: "0.000003", OutputPrice: "0.000015",
		Parameters: []string{"tools", "tool_choice", "reasoning", "max_tokens"},
	},
	{
		ID: "openai/gpt-played", Name: "OpenAI: GPT Played", Context: 400_000, MaxOutput: 128_000,
		InputPrice: "0.00000125", OutputPrice: "0.00001", Parameters: []string{"tools", "reasoning"},
	},
	{
		ID: "mistralai/played-small", Name: "Mistral: Played Small", Context: 32_000,
		InputPrice: "0", OutputPrice: "0", Parameters: []string{"tools"},
	},
	{ID: "played/no-tools", Name: "Played without tools", Context: 8_000, InputPrice: "0.0000001", OutputPrice: "0.0000002"},
}

// Provider plays OpenRouter under every path that has "openrouter" in it, e.g. /openrouter/api/v1, and a plain server
// with OpenAI's API elsewhere, e.g. under /v1. It is for use by several goroutines.
type Provider struct {
	mu       sync.Mutex
	queue    []Turn
	rule     func(Request) Turn
	keys     []string
	models   []Info
	modelsBy func(http.ResponseWriter, *http.Request)
	requests []Request
	problems []string
	written  map[string][]writtenAnswer // by fingerprint
	lists    int

	closing   chan struct{}
	closeOnce sync.Once
}

type writtenAnswer struct {
	model   string
	details []map[string]any
}

// NewProvider returns a provider that has nothing to say yet.
func NewProvider() *Provider {
	return &Provider{keys: []string{Key}, models: defaultModels, written: map[string][]writtenAnswer{}, closing: make(chan struct{})}
}

// Play has these turns said, after those that are still to be said.
func (p *Provider) Play(turns ...Turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, turns...)
}

// Answer has a rule answer whatever no turn is left for. It is called by several goroutines.
func (p *Provider) Answer(rule func(Request) Turn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = rule
}

// Keys sets which keys are accepted.
func (p *Provider) Keys(keys ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// Models sets which models there are.
func (p *Provider) Models(models ...Info) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.models = models
}

// AnswerModels has the list of models answered by a function; nil has it answered as usual.
func (p *Provider) AnswerModels(answer func(http.ResponseWriter, *http.Request)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.modelsBy = answer
}

// Requests are the requests for an answer that were well formed.
func (p *Provider) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Lists is how often the list of models was asked for.
func (p *Provider) Lists() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lists
}

// Left is how many turns are still to be said.
func (p *Provider) Left() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue)
}

// Problems are what was wrong with requests, each answered with status 400 as a provider would.
func (p *Provider) Problems() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.problems)
}

// Forgive returns the problems and forgets them, for a test that is about one.
func (p *Provider) Forgive() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	problems := p.problems
	p.problems = nil
	return problems
}

// Close ends answers that stall.
func (p *Provider) Close() { p.closeOnce.Do(func() { close(p.closing) }) }

// Server is a provider on a port of this machine.
type Server struct {
	*Provider
	URL   string // of the played OpenRouter: a base URL for clients
	Plain string // of the plain server
}

// New returns a provider on a port. At the test's end it is closed, and what was wrong with requests fails the test.
func New(t testing.TB) *Server {
	provider := NewProvider()
	server := httptest.NewServer(provider)
	t.Cleanup(func() {
		provider.Close()
		server.CloseClientConnections()
		server.Close()
		for _, problem := range provider.Problems() {
			t.Errorf("the provider refused a request: %s", problem)
		}
	})
	return &Server{Provider: provider, URL: server.URL + "/openrouter/api/v1", Plain: server.URL + "/v1"}
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	plain := !strings.Contains(r.URL.Path, "openrouter")
	key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	accepted := slices.Contains(p.keys, key)
	p.mu.Unlock()
	switch {
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/models"):
		if plain && !accepted {
			refuse(w, http.StatusUnauthorized, "Incorrect API key provided: "+key+".")
			return
		}
		p.serveModels(w, r, plain)
	case !accepted && key == "":
		refuse(w, http.StatusUnauthorized, "No cookie auth credentials found")
	case !accepted:
		refuse(w, http.StatusUnauthorized, "User not found.")
	case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/key") && !plain:
		reply(w, map[string]any{"data": map[string]any{
			"label": "sk-or-v1-pla...est", "usage": 1.5, "limit": 10, "limit_remaining": 8.5, "is_free_tier": false,
		}})
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/chat/completions"):
		p.serveAnswer(w, r, plain, key)
	default:
		refuse(w, http.StatusNotFound, "Not Found")
	}
}

func (p *Provider) serveModels(w http.ResponseWriter, r *http.Request, plain bool) {
	p.mu.Lock()
	p.lists++
	models, answer := p.models, p.modelsBy
	p.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	list := make([]map[string]any, 0, len(models))
	for _, m := range models {
		if plain {
			list = append(list, map[string]any{"id": m.ID, "object": "model", "created": 1700000000, "owned_by": "played"})
			continue
		}
		slug := m.Slug
		if slug == "" {
			slug = m.ID
		}
		list = append(list, map[string]any{
			"id": m.ID, "canonical_slug": slug, "name": m.Name, "created": 1700000000, "context_length": m.Context,
			"top_provider":         map[string]any{"context_length": m.Context, "max_completion_tokens": orNull(m.MaxOutput), "is_moderated": false},
			"pricing":              map[string]any{"prompt": m.InputPrice, "completion": m.OutputPrice, "request": "0", "image": "0"},
			"supported_parameters": m.Parameters, "per_request_limits": nil,
		})
	}
	reply(w, map[string]any{"object": "list", "data": list})
}

func orNull(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func (p *Provider) serveAnswer(w http.ResponseWriter, r *http.Request, plain bool, key string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
	if err != nil {
		p.problem(w, "the body cannot be read: "+err.Error())
		return
	}
	sent, request, err := parse(body, plain)
	if err != nil {
		p.problem(w, err.Error())
		return
	}
	switch {
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "application/json"):
		p.problem(w, "its content type is "+r.Header.Get("Content-Type"))
		return
	case !plain && r.Header.Get("HTTP-Referer") == "":
		p.problem(w, "it has no HTTP-Referer")
		return
	case !plain && r.Header.Get("X-OpenRouter-Title") == "":
		p.problem(w, "it has no X-OpenRouter-Title")
		return
	}
	request.Key, request.Header = key, r.Header.Clone()
	if problem := p.checkReasoning(request, plain); problem != "" {
		p.problem(w, problem)
		return
	}

	p.mu.Lock()
	var turn Turn
	rule := p.rule
	queued := len(p.queue) > 0
	if queued {
		turn, p.queue = p.queue[0], p.queue[1:]
	}
	p.requests = append(p.requests, request)
	request.Number = len(p.requests)
	p.requests[request.Number-1].Number = request.Number
	p.mu.Unlock()
	if !queued {
		if rule == nil {
			p.problem(w, fmt.Sprintf("request %d: there is no turn left to play", request.Number))
			return
		}
		turn = rule(request)
	}

	gone := make(chan struct{})
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-r.Context().Done():
		case <-p.closing:
		case <-done:
		}
		close(gone)
	}()
	player := &player{
		w: w, flush: http.NewResponseController(w).Flush, gone: gone, plain: plain,
		id: fmt.Sprintf("gen-%d-played", request.Number), model: p.called(request.Model, plain), created: time.Now().Unix(),
		input: tokens(len(body)), wantsUsage: sent.StreamOptions != nil && sent.StreamOptions.IncludeUsage,
	}
	player.wrote = sync.OnceFunc(func() { p.wrote(&player.answer, player.model) })
	defer player.wrote() // one that breaks off was shown as well
	player.play(turn)
}

// called is the name by which answers call a model.
func (p *Provider) called(model string, plain bool) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.models {
		if m.ID == model && m.Slug != "" && !plain {
			return m.Slug
		}
	}
	return model
}

// wrote remembers the reasoning of an answer.
func (p *Provider) wrote(a *answered, model string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	print := fingerprint(a.Text(), a.Calls)
	p.written[print] = append(p.written[print], writtenAnswer{model: model, details: a.details})
}

func fingerprint(text string, calls []RequestCall) string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(text))
	for _, call := range calls {
		b.WriteString("\x00" + call.ID + "\x00" + call.Name)
	}
	return b.String()
}

// checkReasoning checks that the reasoning of answers comes back to the model that wrote it, as it was, and to no other.
func (p *Provider) checkReasoning(r Request, plain bool) string {
	if plain {
		return ""
	}
	model := p.called(r.Model, plain)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, m := range r.Messages {
		if m.Role != "assistant" {
			continue
		}
		written := p.written[fingerprint(m.Text, m.Calls)]
		if len(written) == 0 {
			if len(m.Reasoning) > 0 {
				return fmt.Sprintf("message %d: it has reasoning, but is no answer of this provider's", i)
			}
			continue
		}
		ok := slices.ContainsFunc(written, func(a writtenAnswer) bool {
			if a.model != model {
				return len(m.Reasoning) == 0
			}
			return sameDetails(m.Reasoning, a.details)
		})
		if !ok {
			encoded, _ := json.Marshal(m.Reasoning)
			wanted, _ := json.Marshal(written[len(written)-1].details)
			return fmt.Sprintf("message %d: the reasoning of %s comes to %s as %s, written was %s", i, written[len(written)-1].model, model, encoded, wanted)
		}
	}
	return ""
}

// problem refuses a request that a client should not have sent.
func (p *Provider) problem(w http.ResponseWriter, text string) {
	p.mu.Lock()
	p.problems = append(p.problems, text)
	p.mu.Unlock()
	refuse(w, http.StatusBadRequest, text)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, errorBody(status, message, nil))
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
