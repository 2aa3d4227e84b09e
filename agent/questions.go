package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/kalpana-dev/kalpana/agent/tools"
)

const (
	askTool     = "ask"
	maxQuestion = 4 << 10 // bytes
	maxOptions  = 8
	maxOption   = 300 // bytes
)

// questionTool asks the person: the client shows the question, and answers the call with its output.
func questionTool() tools.Tool {
	return tools.Tool{
		Name: askTool,
		Description: "Asks the person a question, and waits for the answer. Use it where a decision is theirs and you cannot find it out in the " +
			"workspace. Offer the answers that you think of as options, the one that you would take first; the person may also write another one.",
		Parameters: json.RawMessage(`{"type":"object","properties":{"question":{"type":"string"},` +
			`"options":{"type":"array","maxItems":8,"items":{"type":"string"},"description":"Short answers to choose from"},` +
			`"several":{"type":"boolean","description":"More than one option may be chosen"}},` +
			`"required":["question"],"additionalProperties":false}`),
		Reads: true,
		Title: func(json.RawMessage) string { return "Question" },
		Run: func(context.Context, *tools.Env, tools.Call) (*tools.Result, error) {
			return nil, errors.New("only the person can answer this")
		},
	}
}

func checkQuestion(input json.RawMessage) error {
	var p struct {
		Question string   `json:"question"`
		Options  []string `json:"options"`
		Several  bool     `json:"several"`
	}
	if err := json.Unmarshal(input, &p); err != nil {
		return errors.New("the question is a text, and options is a list of texts")
	}
	switch {
	case strings.TrimSpace(p.Question) == "":
		return errors.New("there is no question")
	case len(p.Question) > maxQuestion:
		return fmt.Errorf("the question is longer than %d KiB", maxQuestion>>10)
	case len(p.Options) > maxOptions:
		return fmt.Errorf("there are at most %d options", maxOptions)
	}
	for _, o := range p.Options {
		if strings.TrimSpace(o) == "" || len(o) > maxOption {
			return fmt.Errorf("an option has 1 to %d bytes", maxOption)
		}
	}
	return nil
}

// answerText is a person's answer for the model: a text as it is, and anything else as JSON.
func answerText(output json.RawMessage) string {
	var text string
	if json.Unmarshal(output, &text) == nil {
		return "The person answers: " + text
	}
	return "The person answers: " + string(output)
}
