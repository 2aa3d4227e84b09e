package docker

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// The firewall is two chains of our own in the filter table, which are hooked in before everything
// else and see only what comes from workspace networks (bridges kal0, kal1 …):
//
//   - KALPANA-INPUT, from INPUT: what containers send to the host itself.
//   - KALPANA-FORWARD, from DOCKER-USER (which the engine keeps in front of its own rules and never
//     changes): what containers send to others. Where an engine has no DOCKER-USER, or where
//     something stands before it, from FORWARD too.
//
// Both let replies pass, by connection tracking's direction and not by its state: a container that
// opened a connection while the rules were missing does not keep it. Other people's rules are never
// changed. Ours differ between instances only in exceptions and ranges, and are only ever added to,
// so two instances on one engine do not fight.

// comment marks our rules.
const comment = "kalpana"

// alwaysBlocked are ranges that no container has business with, whatever AllowPrivate says:
// link-local, where clouds serve metadata and credentials, and the same service's addresses at Oracle
// and Azure.
var alwaysBlocked = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("168.63.129.16/32"),
}

// privateRanges are blocked unless AllowPrivate (RFC 1918, RFC 6598).
var privateRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
}

// rule is one rule of our own chains.
type rule struct {
	chain string
	match []string
	drop  bool // else it returns to the calling chain
}

// args are the words of the rule after -A, -I, -C or -D.
func (r rule) args() []string {
	target := "RETURN"
	if r.drop {
		target = "DROP"
	}
	return slices.Concat([]string{r.chain}, r.match, []string{"-m", "comment", "--comment", comment, "-j", target})
}

// add is the command that adds the rule. Returns go to the top of the chain and drops to its end, so
// that every return stands before every drop, in whatever order they were added.
func (r rule) add() []string {
	if r.drop {
		return slices.Concat([]string{"-A"}, r.args())
	}
	return slices.Concat([]string{"-I"}, r.args())
}

// hook is a jump from a chain of others into one of ours.
type hook struct {
	from, to string
	bridge   string
}

func (h hook) args() []string {
	return []string{
		h.from, "-i", h.bridge + "+", "-m", "comment", "--comment", comment, "-j", h.to,
	}
}

// ruleset is the firewall as it should be.
type ruleset struct {
	chains []string
	rules  []rule
	// input and user must be the first in their chains. forward must be where DOCKER-USER is not
	// the first of FORWARD.
	input, user, forward hook
}

// rules returns the firewall for this configuration.
func (r *Runtime) ruleset() ruleset {
	bridge := r.cfg.scope.bridge
	in, fwd := r.cfg.scope.chain+"-INPUT", r.cfg.scope.chain+"-FORWARD"
	set := ruleset{
		chains:  []string{in, fwd},
		input:   hook{from: "INPUT", to: in, bridge: bridge},
		user:    hook{from: "DOCKER-USER", to: fwd, bridge: bridge},
		forward: hook{from: "FORWARD", to: fwd, bridge: bridge},
	}
	add := func(chain string, drop bool, match ...string) {
		set.rules = append(set.rules, rule{chain: chain, match: match, drop: drop})
	}
	for _, chain := range set.chains {
		add(chain, false, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "--ctdir", "REPLY")
		for _, resolver := range r.resolvers() {
			for _, protocol := range []string{"udp", "tcp"} {
				add(chain, false, "-d", resolver.String()+"/32", "-p", protocol, "-m", protocol, "--dport", "53")
			}
		}
	}
	add(in, true)
	add(fwd, true, "-m", "conntrack", "--ctstate", "INVALID")
	add(fwd, true, "-o", bridge+"+") // other workspaces, on this bridge and on others
	blocked := slices.Clone(alwaysBlocked)
	if !r.cfg.AllowPrivate {
		blocked = append(blocked, privateRanges...)
	}
	for _, block := range append(blocked, r.cfg.BlockRanges...) {
		add(fwd, true, "-d", block.Masked().String())
	}
	return set
}

// Rules returns the firewall as shell commands that an operator can run as root on the engine's host.
// Running them again changes nothing.
func (r *Runtime) Rules() []string {
	set := r.ruleset()
	var lines []string
	for _, chain := range set.chains {
		lines = append(lines, "iptables -w -N "+chain+" 2>/dev/null || true")
	}
	line := func(check, add []string) {
		lines = append(lines, fmt.Sprintf("iptables -w -C %s 2>/dev/null || iptables -w %s",
			strings.Join(check, " "), strings.Join(add, " ")))
	}
	for _, rule := range set.rules {
		line(rule.args(), rule.add())
	}
	for _, h := range []hook{set.input, set.user} {
		line(h.args(), slices.Concat([]string{"-I"}, h.args()))
	}
	return lines
}

// ensureRules brings the firewall into the form of set and reports what was missing.
func ensureRules(ctx context.Context, tool iptables, set ruleset) (repaired []string, err error) {
	repair, err := missingRules(ctx, tool, set)
	if err != nil || len(repair) == 0 {
		return nil, err
	}
	done, err := tool.run(ctx, repair)
	if err != nil {
		return nil, err
	}
	for i, command := range repair {
		text := "iptables " + strings.Join(command, " ")
		// -N and -D may lose against another gateway that does the same just now.
		if !done[i].ok && command[0] != "-N" && command[0] != "-D" {
			return nil, fmt.Errorf("%s: %s", text, done[i].out)
		}
		repaired = append(repaired, text)
	}
	return repaired, nil
}

// missingRules returns the commands that bring the firewall into the form of set.
func missingRules(ctx context.Context, tool iptables, set ruleset) (repair [][]string, err error) {
	user, forward := set.user.from, set.forward.from
	look := [][]string{{"-S", set.input.from}, {"-S", user}, {"-S", forward}}
	for _, chain := range set.chains {
		look = append(look, []string{"-S", chain})
	}
	for _, rule := range set.rules {
		look = append(look, slices.Concat([]string{"-C"}, rule.args()))
	}
	seen, err := tool.run(ctx, look)
	if err != nil {
		return nil, err
	}
	if !seen[0].ok {
		return nil, fmt.Errorf("iptables does not show the chain INPUT: %s", seen[0].out)
	}

	inputs, users, forwards := listed(seen[0]), listed(seen[1]), listed(seen[2])
	seen = seen[3:]
	for i, chain := range set.chains {
		if !seen[i].ok {
			repair = append(repair, []string{"-N", chain})
		}
	}
	seen = seen[len(set.chains):]
	for i, rule := range set.rules {
		if !seen[i].ok {
			repair = append(repair, rule.add())
		}
	}
	// The hooks come last: our chains are complete before anything enters them.
	rehook := func(h hook, rules []string) {
		if first(h, rules) {
			return
		}
		if slices.ContainsFunc(rules, h.is) {
			repair = append(repair, slices.Concat([]string{"-D"}, h.args()))
		}
		repair = append(repair, slices.Concat([]string{"-I"}, h.args()))
	}
	rehook(set.input, inputs)
	if users != nil {
		rehook(set.user, users)
	}
	if users == nil || !entersFirst(user, forwards) {
		rehook(set.forward, forwards)
	}
	return repair, nil
}

// listed returns the rules in the output of iptables -S, nil if there is no such chain.
func listed(r result) []string {
	if !r.ok {
		return nil
	}
	rules := []string{}
	for line := range strings.Lines(r.out) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "-A ") {
			rules = append(rules, strings.ReplaceAll(line, `"`, "")) // old versions quote comments
		}
	}
	return rules
}

// is reports whether a listed rule is the hook.
func (h hook) is(listed string) bool {
	return listed == "-A "+strings.Join(h.args(), " ")
}

// ours reports whether a listed rule carries our comment: another scope's hook.
func ours(listed string) bool { return strings.Contains(listed, "--comment "+comment+" ") }

// first reports whether the hook stands before every rule that is not ours.
func first(h hook, rules []string) bool {
	for _, rule := range rules {
		if h.is(rule) {
			return true
		}
		if !ours(rule) {
			return false
		}
	}
	return false
}

// entersFirst reports whether the jump to chain stands before every rule that is not ours.
func entersFirst(chain string, rules []string) bool {
	for _, rule := range rules {
		if strings.HasSuffix(rule, " -j "+chain) {
			return rule == "-A FORWARD -j "+chain
		}
		if !ours(rule) {
			return false
		}
	}
	return false
}
