package caddymodule

import (
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/agent/approval"
)

// UnmarshalCaddyfile sets up the agent:
//
//	agent on|off {
//		base_url  <address>
//		key       <placeholder>
//		models    <name>...
//		fallbacks on|off
//		own_keys  on|off
//		max_steps <number>
//		max_time  <duration>
//		mode      ask-all|ask-writes|ask-none
//		budget    person|workspace {
//			day   $<amount>|<number> tokens|unlimited
//			month $<amount>|<number> tokens|unlimited
//		}
//		rule      allow|ask|deny <tool> [<command or path>]
//		mcp       <name> <address> {
//			header <name> <value>
//		}
//	}
//
// rule and mcp may appear several times; so may budget, once for each of the two, and day and month, once for money
// and once for tokens. A number of tokens may end with k or M.
func (a *Agent) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if args := d.RemainingArgs(); len(args) > 0 {
		if len(args) > 1 || (args[0] != "on" && args[0] != "off") {
			return d.Err("agent: write on, off, or a block")
		}
		a.Off = args[0] == "off"
	}
	seen := map[string]bool{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] && name != "rule" && name != "mcp" && name != "budget" {
			return d.Errf("%s is given twice", name)
		}
		seen[name] = true
		var err error
		switch name {
		case "base_url":
			err = oneArg(d, &a.BaseURL)
		case "key":
			err = a.parseKey(d)
		case "models":
			a.Models = d.RemainingArgs()
		case "fallbacks":
			err = onOff(d, &a.Fallbacks)
		case "own_keys":
			a.OwnKeys = new(bool)
			err = onOff(d, a.OwnKeys)
		case "max_steps":
			err = positiveArg(d, &a.MaxSteps, strconv.Atoi)
		case "max_time":
			err = positiveArg(d, &a.MaxTime, parseDuration)
		case "mode":
			err = a.parseMode(d)
		case "budget":
			err = a.parseBudget(d)
		case "rule":
			err = a.parseRule(d)
		case "mcp":
			s := new(MCPServer)
			err = s.UnmarshalCaddyfile(d)
			a.MCP = append(a.MCP, s)
		default:
			return d.Errf("unrecognized option of agent: %s", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseKey takes no more than one argument, and none as well: {$NAME} of a variable that is not set. No error says
// what was written, which may be a key.
func (a *Agent) parseKey(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) > 1 {
		return d.Errf("key: give one key, best as a placeholder like {env.OPENROUTER_API_KEY}; there are %d words", len(args))
	}
	a.Key = strings.Join(args, "")
	return nil
}

func (a *Agent) parseMode(d *caddyfile.Dispenser) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if a.Mode = approval.Mode(text); !slices.Contains(agentModes, a.Mode) {
		return d.Errf("mode %s: write %s", text, modesText)
	}
	return nil
}

func (a *Agent) parseBudget(d *caddyfile.Dispenser) error {
	var whose string
	if err := oneArg(d, &whose); err != nil {
		return err
	}
	into, ok := map[string]**AgentBudget{"person": &a.PersonBudget, "workspace": &a.WorkspaceBudget}[whose]
	if !ok {
		return d.Errf("budget %s: write person or workspace", whose)
	}
	if *into != nil {
		return d.Errf("budget %s is given twice", whose)
	}
	*into = new(AgentBudget)
	return (*into).UnmarshalCaddyfile(d)
}

// UnmarshalCaddyfile sets up a budget; see [Agent.UnmarshalCaddyfile].
func (b *AgentBudget) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		span := d.Val()
		var err error
		switch span {
		case "day":
			err = parseAmount(d, &b.DayCost, &b.DayTokens)
		case "month":
			err = parseAmount(d, &b.MonthCost, &b.MonthTokens)
		default:
			return d.Errf("unrecognized option of budget: %s", span)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseAmount reads "$5", "2M tokens" or "unlimited".
func parseAmount(d *caddyfile.Dispenser, cost *float64, tokens *int64) error {
	span, args := d.Val(), d.RemainingArgs()
	if len(args) == 1 && args[0] == "unlimited" {
		return nil
	}
	amount, err := 0.0, errors.New("no amount")
	switch {
	case len(args) == 1 && strings.HasPrefix(args[0], "$"):
		if *cost != 0 {
			return d.Errf("%s in money is given twice", span)
		}
		amount, err = strconv.ParseFloat(args[0][1:], 64)
		*cost = amount
	case len(args) == 2 && args[1] == "tokens":
		if *tokens != 0 {
			return d.Errf("%s in tokens is given twice", span)
		}
		number, unit := args[0], 1.0
		switch {
		case strings.HasSuffix(number, "k"):
			number, unit = strings.TrimSuffix(number, "k"), 1e3
		case strings.HasSuffix(number, "M"):
			number, unit = strings.TrimSuffix(number, "M"), 1e6
		}
		amount, err = strconv.ParseFloat(number, 64)
		amount = math.Round(amount * unit)
		if amount < 1e15 {
			*tokens = int64(amount)
		}
	}
	if err != nil || !(amount > 0 && amount < 1e15) { // nor NaN
		return d.Errf("%s %s: write an amount of money like $5, or of tokens like 2M tokens", span, strings.Join(args, " "))
	}
	return nil
}

func (a *Agent) parseRule(d *caddyfile.Dispenser) error {
	r, err := approval.ParseRule(d.RemainingArgs())
	if err != nil {
		return d.Errf("rule: %v", err)
	}
	a.Rules = append(a.Rules, r)
	return nil
}

// UnmarshalCaddyfile sets up the server; see [Agent.UnmarshalCaddyfile].
func (s *MCPServer) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&s.Name, &s.URL) {
		return d.Err("mcp: give a name and an address")
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() != "header" {
			return d.Errf("unrecognized option of mcp: %s", d.Val())
		}
		args := d.RemainingArgs()
		if len(args) != 2 {
			return d.Errf("header: give a name and a value, in quotes where it has a space; there are %d words", len(args))
		}
		if s.Headers == nil {
			s.Headers = map[string]string{}
		}
		if _, twice := s.Headers[args[0]]; twice {
			return d.Errf("header %s is given twice", args[0])
		}
		s.Headers[args[0]] = args[1]
	}
	return nil
}

// onOff takes on or off.
func onOff(d *caddyfile.Dispenser, into *bool) error {
	name := d.Val()
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if text != "on" && text != "off" {
		return d.Errf("%s %s: write on or off", name, text)
	}
	*into = text == "on"
	return nil
}

// positiveArg takes one positive number.
func positiveArg[T int | caddy.Duration](d *caddyfile.Dispenser, into *T, parse func(string) (T, error)) error {
	name := d.Val()
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	v, err := parse(text)
	if err != nil || v <= 0 {
		return d.Errf("%s %s: give a positive value", name, text)
	}
	*into = v
	return nil
}

var (
	_ caddyfile.Unmarshaler = (*Agent)(nil)
	_ caddyfile.Unmarshaler = (*AgentBudget)(nil)
	_ caddyfile.Unmarshaler = (*MCPServer)(nil)
)
