// Package approval decides which calls of an agent need a person's word.
package approval

import "encoding/json"

// Mode is what is asked for in general.
type Mode string

// The modes.
const (
	AskAll    Mode = "ask-all"    // ask before every tool
	AskWrites Mode = "ask-writes" // ask before what changes something: files, commands, git
	AskNone   Mode = "ask-none"   // ask only where no mode lets through without
)

// Verdict is what is to be done with a call.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow"
	Ask   Verdict = "ask"
	Deny  Verdict = "deny"
)

// Rule says what to do with calls of a tool. Of several that match, the strictest counts: deny, then ask, then allow.
type Rule struct {
	Tool string `json:"tool"` // its name, or "*"
	// Command is for runCommand: the first words of a simple command, e.g. "go test". Every part of a compound
	// command must match a rule that allows for the whole to be allowed. "" matches any.
	Command string `json:"command,omitempty"`
	// Path is for tools on files: a glob as in .gitignore, from the workspace folder. "" matches any.
	Path    string  `json:"path,omitempty"`
	Verdict Verdict `json:"verdict"`
}

// Call is what an agent wants to do.
type Call struct {
	Tool  string
	Reads bool // it changes nothing
	Input json.RawMessage
	// Remotes are the addresses of the workspace's own repository; a push to another one always asks.
	Remotes []string
}

// Decision is a verdict and its reason, for people to read.
type Decision struct {
	Verdict Verdict
	Reason  string
	// Suggest are the rules that would allow such calls in future, offered to the person; empty where none is safe.
	Suggest []Rule
}
