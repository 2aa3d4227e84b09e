package caddymodule

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/caddyserver/caddy/v2"

	"github.com/kalpana-dev/kalpana/agent/approval"
	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
)

// openRouterModels are those that are offered at OpenRouter by default, the one that a chat begins with first.
var openRouterModels = []string{"anthropic/claude-sonnet-4.5", "openai/gpt-5", "google/gemini-2.5-pro"}

const (
	defaultAgentSteps = 100
	defaultAgentTime  = time.Hour
)

// Agent is the engineer that people have in their workspaces: which models it asks, with whose key, what it may
// spend, and what it asks people for.
type Agent struct {
	// No agent at all.
	Off bool `json:"off,omitempty"`
	// Where models are: OpenRouter, or another server with OpenAI's chat completions. https, or http on a network
	// that nobody else listens to. Default: https://openrouter.ai/api/v1.
	BaseURL string `json:"base_url,omitempty"`
	// The installation's key there, best as a placeholder such as {env.OPENROUTER_API_KEY} or
	// {file./run/secrets/openrouter}. Where it is empty, those with a key of their own have an agent.
	Key string `json:"key,omitempty"`
	// The models that people may choose from, as the provider names them; a chat begins with the first. Default: some
	// good ones of OpenRouter; all of any other server.
	Models []string `json:"models,omitempty"`
	// Let the provider answer with the next of the models where the one that was chosen does not answer. The one that
	// answers is paid. Default: false.
	Fallbacks bool `json:"fallbacks,omitempty"`
	// Whether people may bring keys of their own, which the installation does not pay. Default: true.
	OwnKeys *bool `json:"own_keys,omitempty"`
	// How many times one run may ask the model. Default: 100.
	MaxSteps int `json:"max_steps,omitempty"`
	// How long one run may take. Default: 1h.
	MaxTime caddy.Duration `json:"max_time,omitempty"`
	// What a chat asks its person for, until they choose otherwise: ask-all (before every tool), ask-writes (before
	// what changes something) or ask-none. Default: ask-writes.
	Mode approval.Mode `json:"mode,omitempty"`
	// What the agents of one person, and of one workspace, may spend. Default: no limits.
	PersonBudget    *AgentBudget `json:"person_budget,omitempty"`
	WorkspaceBudget *AgentBudget `json:"workspace_budget,omitempty"`
	// Rules about calls of tools, for everybody; of several that match, the strictest counts.
	Rules []approval.Rule `json:"rules,omitempty"`
	// Further tools, of servers of the Model Context Protocol.
	MCP []*MCPServer `json:"mcp,omitempty"`
}

// AgentBudget is what may be spent in a day and in a month, UTC. What is left out, or 0, has no limit.
type AgentBudget struct {
	DayCost     float64 `json:"day_cost,omitempty"`   // US dollars
	MonthCost   float64 `json:"month_cost,omitempty"` // US dollars
	DayTokens   int64   `json:"day_tokens,omitempty"` // of requests and answers together
	MonthTokens int64   `json:"month_tokens,omitempty"`
}

// MCPServer is a server of the Model Context Protocol (streamable HTTP), whose tools every agent gets.
type MCPServer struct {
	// Comes before the names of its tools: lower-case letters, digits and dashes.
	Name string `json:"name,omitempty"`
	URL  string `json:"url,omitempty"`
	// What is sent along. Placeholders are replaced, e.g. Authorization: Bearer {env.TOKEN}.
	Headers map[string]string `json:"headers,omitempty"`
}

// agentConfig is what an [Agent] comes to: defaults are set, and placeholders replaced.
type agentConfig struct {
	Off             bool
	BaseURL         string // without a slash at its end
	Key             string // "" where there is none
	Models          []string
	DefaultModel    string // the first of Models; "" is the provider's first
	Fallbacks       bool
	OwnKeys         bool
	MaxSteps        int
	MaxTime         time.Duration
	Mode            approval.Mode
	PersonBudget    budget.Limits
	WorkspaceBudget budget.Limits
	Rules           []approval.Rule
	MCP             []MCPServer
	Warnings        []string // for the operator to read
}

// origin is that of the provider.
func (c agentConfig) origin() string {
	u, err := url.Parse(c.BaseURL)
	if err != nil {
		return c.BaseURL
	}
	return u.Scheme + "://" + u.Host
}

// resolve checks the configuration; nil means the defaults.
func (a *Agent) resolve() (agentConfig, error) {
	if a == nil {
		a = new(Agent)
	}
	repl := caddy.NewReplacer()
	c := agentConfig{
		Off: a.Off, Key: strings.TrimSpace(repl.ReplaceAll(a.Key, "")), Fallbacks: a.Fallbacks, OwnKeys: !a.Off && (a.OwnKeys == nil || *a.OwnKeys),
		MaxSteps: cmp.Or(a.MaxSteps, defaultAgentSteps), MaxTime: cmp.Or(time.Duration(a.MaxTime), defaultAgentTime),
		Mode: cmp.Or(a.Mode, approval.AskWrites), Rules: a.Rules,
		PersonBudget: a.PersonBudget.limits(), WorkspaceBudget: a.WorkspaceBudget.limits(),
	}
	var err error
	if c.BaseURL, err = c.address("base_url", cmp.Or(strings.TrimSpace(repl.ReplaceAll(a.BaseURL, "")), model.OpenRouter)); err != nil {
		return c, err
	}
	if c.Key == "" && strings.HasPrefix(a.Key, "{file.") { // an environment variable may be unset, but who names a file has one
		return c, fmt.Errorf("key %s is empty", a.Key)
	}
	if !goodHeader(c.Key) || strings.Contains(c.Key, " ") {
		return c, errors.New("key: it has a space or a line break in it, which no key has")
	}
	for _, name := range a.Models {
		name = strings.TrimSpace(repl.ReplaceAll(name, ""))
		switch {
		case name == "":
		case len(name) > maxModelName || !goodHeader(name):
			return c, fmt.Errorf("models: %.40q is no name of a model", name)
		case slices.Contains(c.Models, name):
			return c, fmt.Errorf("models: %s is given twice", name)
		default:
			c.Models = append(c.Models, name)
		}
	}
	if len(c.Models) == 0 && c.BaseURL == model.OpenRouter {
		c.Models = slices.Clone(openRouterModels)
	}
	if len(c.Models) > 0 {
		c.DefaultModel = c.Models[0]
	}
	if c.MaxSteps < 1 || c.MaxTime <= 0 {
		return c, errors.New("max_steps and max_time: give positive values")
	}
	if !slices.Contains(agentModes, c.Mode) {
		return c, fmt.Errorf("mode %s: write %s", c.Mode, modesText)
	}
	for _, b := range []*AgentBudget{a.PersonBudget, a.WorkspaceBudget} {
		if b != nil && (b.DayCost < 0 || b.MonthCost < 0 || b.DayTokens < 0 || b.MonthTokens < 0) {
			return c, errors.New("budget: give positive values")
		}
	}
	for _, r := range c.Rules {
		if err := r.Check(); err != nil {
			return c, fmt.Errorf("rule: %w", err)
		}
	}
	for _, s := range a.MCP {
		server, err := c.mcpServer(s, repl)
		if err != nil {
			return c, fmt.Errorf("mcp %s: %w", s.Name, err)
		}
		c.MCP = append(c.MCP, server)
	}
	return c, nil
}

const maxModelName = 128

var agentModes = []approval.Mode{approval.AskAll, approval.AskWrites, approval.AskNone}

const modesText = "ask-all, ask-writes or ask-none"

// limits returns a budget as it is kept; nil is none.
func (b *AgentBudget) limits() budget.Limits {
	if b == nil {
		return budget.Limits{}
	}
	return budget.Limits{
		DayCost: microDollars(b.DayCost), MonthCost: microDollars(b.MonthCost), DayTokens: b.DayTokens, MonthTokens: b.MonthTokens,
	}
}

// microDollars returns an amount of US dollars in millionths. What is not nothing stays so.
func microDollars(dollars float64) int64 {
	if dollars <= 0 {
		return 0
	}
	return max(1, int64(dollars*1e6+0.5))
}

// address checks the address of a server that is sent a key.
func (c *agentConfig) address(option, text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", fmt.Errorf("%s: write an address like https://models.example.com/v1, without user, query or fragment", option)
	}
	if u.Scheme == "http" && !private(u.Hostname()) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s %s is not https: whoever is on the way reads keys and files; use https", option, u.Host))
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// private reports whether a host is this machine, or an address of a private network.
func private(host string) bool {
	if isLocalhost(host) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsPrivate())
}

// goodHeader reports whether a text can be the value of a header.
func goodHeader(text string) bool {
	return len(text) <= 4096 && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar })
}

var (
	mcpName    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
)

func (c *agentConfig) mcpServer(s *MCPServer, repl *caddy.Replacer) (MCPServer, error) {
	out := MCPServer{Name: s.Name, Headers: make(map[string]string, len(s.Headers))}
	if !mcpName.MatchString(s.Name) {
		return out, errors.New("a name is made of lower-case letters, digits and dashes, and begins with a letter")
	}
	if slices.ContainsFunc(c.MCP, func(other MCPServer) bool { return other.Name == s.Name }) {
		return out, errors.New("it is given twice")
	}
	var err error
	if out.URL, err = c.address("mcp "+s.Name, repl.ReplaceAll(s.URL, "")); err != nil {
		return out, err
	}
	for name, value := range s.Headers {
		value, err := resolve("header "+name, value)
		if err != nil {
			return out, err
		}
		if !headerName.MatchString(name) || !goodHeader(value) {
			return out, fmt.Errorf("header %.64q: its name or its value cannot be sent", name)
		}
		out.Headers[name] = value
	}
	return out, nil
}

// warn tells the operator what is not as it should be.
func (c *agentConfig) warn(log *slog.Logger) {
	for _, text := range c.Warnings {
		log.Warn("agent: " + text)
	}
}
