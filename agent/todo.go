package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kalpana-dev/kalpana/agent/tools"
)

// Todo is a point of the agent's to-do list.
type Todo struct {
	Text   string `json:"text"`
	Status string `json:"status"` // one of the Todo constants
}

// The states of a Todo.
const (
	TodoPending    = "pending"
	TodoInProgress = "in_progress"
	TodoDone       = "done"
)

const (
	todoTool    = "todo"
	maxTodo     = 50
	maxTodoText = 300 // bytes
)

func (r *Run) todoTool() tools.Tool {
	return tools.Tool{
		Name: todoTool,
		Description: "Replaces your to-do list, which the person sees. Use it for work of three steps and more: write it before you begin, " +
			"have one point in progress at a time, and mark each as done as soon as it is.",
		Parameters: json.RawMessage(`{"type":"object","properties":{"items":{"type":"array","maxItems":50,"items":{"type":"object","properties":{` +
			`"text":{"type":"string","description":"What is to be done, in a few words"},` +
			`"status":{"type":"string","enum":["pending","in_progress","done"]}},"required":["text","status"],"additionalProperties":false}}},` +
			`"required":["items"],"additionalProperties":false}`),
		Reads: true,
		Title: func(input json.RawMessage) string {
			list, err := parseTodo(input)
			if err != nil {
				return "To-do list"
			}
			done := 0
			for _, t := range list {
				if t.Status == TodoDone {
					done++
				}
			}
			return fmt.Sprintf("To-do list: %d of %d done", done, len(list))
		},
		Run: func(ctx context.Context, _ *tools.Env, c tools.Call) (*tools.Result, error) {
			list, err := parseTodo(c.Input)
			if err != nil {
				return nil, err
			}
			if err := r.setTodo(ctx, list); err != nil {
				return nil, err
			}
			return &tools.Result{Text: "The list is:\n" + todoText(list), Output: map[string][]Todo{"items": list}}, nil
		},
	}
}

func parseTodo(input json.RawMessage) ([]Todo, error) {
	var p struct {
		Items []Todo `json:"items"`
	}
	if err := json.Unmarshal(input, &p); err != nil {
		return nil, fmt.Errorf("items is a list of {text, status}: %w", err)
	}
	if len(p.Items) > maxTodo {
		return nil, fmt.Errorf("the list has at most %d points", maxTodo)
	}
	list := make([]Todo, 0, len(p.Items))
	for i, t := range p.Items {
		if t.Text = strings.TrimSpace(word(t.Text, maxTodoText)); t.Text == "" {
			return nil, fmt.Errorf("point %d has no text", i+1)
		}
		switch t.Status {
		case "":
			t.Status = TodoPending
		case TodoPending, TodoInProgress, TodoDone:
		default:
			return nil, fmt.Errorf("the status of point %d is pending, in_progress or done", i+1)
		}
		list = append(list, t)
	}
	return list, nil
}

func todoText(list []Todo) string {
	if len(list) == 0 {
		return "(empty)"
	}
	marks := map[string]string{TodoPending: "[ ]", TodoInProgress: "[>]", TodoDone: "[x]"}
	var b strings.Builder
	for _, t := range list {
		fmt.Fprintf(&b, "%s %s\n", marks[t.Status], t.Text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// setTodo keeps a list in the chat.
func (r *Run) setTodo(ctx context.Context, list []Todo) error {
	_, err := r.s.update(ctx, r.chat, func(c *chat) error {
		if err := r.mine(c); err != nil {
			return err
		}
		c.data.Todo = list
		return nil
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.todo = list
	return nil
}
