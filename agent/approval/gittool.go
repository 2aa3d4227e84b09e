package approval

import (
	"encoding/json"
	"slices"
)

// gitInput is what the tool git is given, as far as it is judged.
type gitInput struct {
	Operation string `json:"operation"`
	// Path is a folder of another repository, in the workspace folder.
	Path string `json:"path"`
	// Remote is where a push goes; "" is origin.
	Remote string `json:"remote"`
}

// gitReading are the operations of the tool git that change nothing.
var gitReading = []string{"status", "diff", "log", "branches"}

// decideGit judges a call of the tool git. A rule's command is the operation.
func decideGit(call Call, mode Mode, rules []Rule) Decision {
	var in gitInput
	if json.Unmarshal(call.Input, &in) != nil || in.Operation == "" {
		return Decision{Verdict: Ask, Reason: "It cannot be understood."}
	}
	call.Reads = call.Reads || slices.Contains(gitReading, in.Operation)
	var verdict Verdict
	var by Rule
	for _, r := range rules {
		if r.Path == "" && (r.Command == "" || r.Command == in.Operation) && strictness[r.Verdict] > strictness[verdict] {
			verdict, by = r.Verdict, r
		}
	}
	if verdict == Deny {
		return Decision{Verdict: Deny, Reason: "A rule forbids it: " + shown(by.String())}
	}
	if in.Operation == "push" {
		to := in.Remote
		if to == "" {
			to = "origin"
		}
		if why := pushTo(to, call.Remotes, !inRoot(in.Path)); why != "" {
			return Decision{Verdict: Ask, Reason: why}
		}
	}
	switch {
	case verdict == Ask:
		return Decision{Verdict: Ask, Reason: "A rule asks for it: " + shown(by.String())}
	case verdict == Allow || byMode(call, mode) == Allow:
		return Decision{Verdict: Allow}
	}
	d := Decision{Verdict: Ask, Reason: "It changes the repository."}
	switch {
	case call.Reads:
		d.Reason = "This chat asks before every tool."
	case in.Operation == "push":
		d.Reason = "It pushes to this workspace's own repository."
	}
	if subcommand.MatchString(in.Operation) {
		d.Suggest = []Rule{{Tool: toolGit, Command: in.Operation, Verdict: Allow}}
	}
	return d
}
