package approval

import (
	"bytes"
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// strictness orders the verdicts.
var strictness = map[Verdict]int{"": 0, Allow: 1, Ask: 2, Deny: 3}

// free are the tools that concern nobody but the person who is asked, and that no mode asks for.
var free = []string{"todo", "ask"}

// Decide says what is to be done with a call. Rules are the operator's and the chat's together: the strictest of
// those that match counts, so that neither loosens the other. Where none matches, the mode decides. Two things ask
// whatever rules and mode say: a push to another repository than the workspace's own, and a change of git's own
// files, which say where a push goes and what git runs.
func Decide(call Call, mode Mode, rules ...Rule) Decision {
	rules = slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return !r.concerns(call.Tool) })
	if twice(call.Input) {
		return Decision{Verdict: Ask, Reason: "It names the same thing twice, so that what it does cannot be told."}
	}
	switch call.Tool {
	case toolCommand:
		return decideCommand(call, mode, rules)
	case toolGit:
		return decideGit(call, mode, rules)
	}
	return decideTool(call, mode, rules)
}

// twice reports whether an object has a name more than once, in whatever case: readers differ in which they take.
func twice(input json.RawMessage) bool {
	d := json.NewDecoder(bytes.NewReader(input))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return false
		}
		if name = strings.ToLower(name); seen[name] {
			return true
		}
		seen[name] = true
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return false
		}
	}
	return false
}

// byMode is what a mode says where no rule does.
func byMode(call Call, mode Mode) Verdict {
	switch {
	case slices.Contains(free, call.Tool), mode == AskNone:
		return Allow
	case mode == AskWrites && (call.Reads || call.Tool == "task" || call.Tool == "stopCommand"):
		return Allow // what a sub-task calls is judged itself; what is stopped was started by the agent
	}
	return Ask
}

// decideTool judges calls of tools that are no commands.
func decideTool(call Call, mode Mode, rules []Rule) Decision {
	name, named := pathOf(call.Input)
	var verdict Verdict
	var by Rule
	for _, r := range rules {
		switch {
		case r.Command != "":
			continue
		case r.Path != "" && !named:
			if r.Verdict == Allow || call.Tool == "todo" || call.Tool == "ask" {
				continue
			}
			if !call.Reads { // a tool that is not known may work on any path
				r.Verdict = Ask
			} else {
				continue
			}
		case r.Path != "" && !pathMatches(r, name):
			continue
		case r.Path == "" && r.Verdict == Allow && !call.Reads && steers(name):
			continue
		}
		if strictness[r.Verdict] > strictness[verdict] {
			verdict, by = r.Verdict, r
		}
	}
	switch {
	case verdict == Deny:
		return Decision{Verdict: Deny, Reason: "A rule forbids it: " + shown(by.String())}
	case !call.Reads && named && inGit(name):
		return Decision{Verdict: Ask, Reason: "It changes git's own files, which say where a push goes and what git runs."}
	case verdict == Ask:
		return Decision{Verdict: Ask, Reason: "A rule asks for it: " + shown(by.String())}
	case verdict == Allow || byMode(call, mode) == Allow:
		return Decision{Verdict: Allow}
	}
	d := Decision{Verdict: Ask, Reason: "It changes something."}
	if call.Reads {
		d.Reason = "This chat asks before every tool."
	}
	suggested := Rule{Tool: call.Tool, Verdict: Allow}
	if !call.Reads && steers(name) {
		d.Reason = "It changes a file that decides what other programs run."
		suggested.Path = ruleFor(name)
	}
	if suggested.Check() == nil {
		d.Suggest = []Rule{suggested}
	}
	return d
}

// ruleFor returns the glob of one file, or one that no rule can have where there is none.
func ruleFor(name string) string {
	name = path.Clean(name)
	if strings.HasPrefix(name, "/") || strings.ContainsAny(name, "*?[\\") {
		return "/"
	}
	return "/" + name
}

// pathOf returns the path that a call names.
func pathOf(input json.RawMessage) (name string, ok bool) {
	var in struct {
		Path *string `json:"path"`
	}
	if json.Unmarshal(input, &in) != nil || in.Path == nil {
		return "", false
	}
	return *in.Path, true
}

// steers reports whether a file decides what editors and shells run by themselves. A rule that allows changes in
// general does not cover it.
func steers(name string) bool {
	for part := range strings.SplitSeq(strings.ToLower(path.Clean(name)), "/") {
		switch part {
		case ".vscode", ".devcontainer", ".husky", ".envrc", ".bashrc", ".bash_profile", ".bash_login", ".profile",
			".bash_logout", ".zshrc", ".zprofile", ".gitconfig", ".gitmodules", ".npmrc", ".ssh":
			return true
		}
	}
	return false
}

// commandInput is what runCommand is given, as far as it is judged.
type commandInput struct {
	Command string          `json:"command"`
	Argv    []string        `json:"argv"`
	Cwd     string          `json:"cwd"`
	Env     json.RawMessage `json:"env"`
}

// inRoot reports whether a folder is the workspace folder.
func inRoot(folder string) bool { return folder == "" || folder == "." || folder == "./" }

func scriptOf(input json.RawMessage) *script {
	var in commandInput
	if json.Unmarshal(input, &in) != nil || (in.Command == "") == (len(in.Argv) == 0) {
		return &script{text: string(input), odd: "It cannot be understood.", hidden: true}
	}
	var s *script
	if in.Command != "" {
		s = parse(in.Command)
	} else {
		s = &script{text: strings.Join(in.Argv, " ")}
		c := simple{}
		for _, text := range in.Argv {
			c.words = append(c.words, word{text: text, known: true, literal: true})
		}
		s.commands = []simple{c}
		if why := unreadable(s.text); why != "" {
			s.hide(why)
		}
		s.unwrap(0)
	}
	s.moved = s.moved || !inRoot(in.Cwd)
	if env := strings.TrimSpace(string(in.Env)); env != "" && env != "null" && env != "[]" && env != "{}" {
		s.hide("It sets variables.")
	}
	return s
}

// decideCommand judges a command part by part.
func decideCommand(call Call, mode Mode, rules []Rule) Decision {
	return judge(scriptOf(call.Input), call, mode, rules)
}

func judge(s *script, call Call, mode Mode, rules []Rule) Decision {
	verdict, by, sure := s.restricted(rules)
	if verdict == Deny {
		return Decision{Verdict: Deny, Reason: "A rule forbids it: " + shown(by.String())}
	}
	if why := s.elsewhere(call.Remotes); why != "" {
		return Decision{Verdict: Ask, Reason: why}
	}
	if verdict == Ask {
		why := "A rule asks for it: "
		if !sure {
			why = "It may be what a rule is about: "
		}
		return Decision{Verdict: Ask, Reason: why + shown(by.String())}
	}
	if byMode(call, mode) == Allow && mode == AskNone || slices.ContainsFunc(rules, func(r Rule) bool {
		return r.Verdict == Allow && r.Command == "" && r.Path == ""
	}) {
		return Decision{Verdict: Allow}
	}
	if s.odd != "" {
		return Decision{Verdict: Ask, Reason: s.odd}
	}
	var left []simple
	for _, c := range s.commands {
		if mode == AskWrites && c.reads(s.moved) || slices.ContainsFunc(rules, func(r Rule) bool { return r.covers(c, s.moved) }) {
			continue
		}
		left = append(left, c)
	}
	if len(left) == 0 {
		return Decision{Verdict: Allow}
	}
	d := Decision{Verdict: Ask, Reason: "`" + left[0].line() + "` may change something."}
	if left[0].reads(s.moved) {
		d.Reason = "This chat asks before every tool."
	}
	d.Suggest = s.suggest(left)
	return d
}

// restricted returns what rules that ask or deny say of a script. One that is about a command, where what runs is not
// known, asks; sure tells whether the rule is known to be about it.
func (s *script) restricted(rules []Rule) (verdict Verdict, by Rule, sure bool) {
	for _, r := range rules {
		if r.Verdict == Allow || r.Path != "" {
			continue
		}
		hit, certain := r.Command == "", r.Command == ""
		for _, c := range s.commands {
			h, ok := false, false
			if !certain {
				h, ok = r.restricts(c)
			}
			hit, certain = hit || h, certain || ok
		}
		hit = hit || s.hidden
		v := r.Verdict
		if !certain {
			v = Ask
		}
		if hit && (strictness[v] > strictness[verdict] || v == verdict && certain && !sure) {
			verdict, by, sure = v, r, certain
		}
	}
	return verdict, by, sure
}

// suggest returns the rules that would let the given parts pass, or none where one of them would grant more than a
// person would think.
func (s *script) suggest(parts []simple) []Rule {
	var rules []Rule
	for _, c := range parts {
		r, ok := c.suggestion()
		if !ok || !r.covers(c, s.moved) {
			return nil
		}
		if !slices.Contains(rules, r) {
			rules = append(rules, r)
		}
	}
	if len(rules) > maxSuggested {
		return nil
	}
	return rules
}

// maxSuggested is how many rules a person is offered at once: more would not be read.
const maxSuggested = 5
