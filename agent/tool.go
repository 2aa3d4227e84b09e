package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge"
)

// use runs a tool, and counts it.
func (r *Run) use(ctx context.Context, c *call) (*tools.Result, error) {
	began := r.cfg.Now()
	result, err := r.runTool(ctx, c)
	if r.cfg.Metrics != nil {
		r.cfg.Metrics.ToolCall(c.Name, r.cfg.Now().Sub(began), err)
	}
	return result, err
}

// runTool runs a tool, and does not wait long for one that does not stop when it is told to.
func (r *Run) runTool(ctx context.Context, c *call) (*tools.Result, error) {
	type outcome struct {
		result *tools.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				r.cfg.Log.Error("a tool of the agent panicked", "tool", c.tool.Name, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
				o = outcome{err: errors.New("something went wrong in the server, which its log tells of")}
			}
			done <- o
		}()
		o.result, o.err = c.tool.Run(ctx, r.env(), tools.Call{ID: c.ID, Input: c.input})
		if o.err == nil && o.result == nil {
			o.result = &tools.Result{}
		}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	wait := time.NewTimer(afterStop)
	defer wait.Stop()
	select {
	case o := <-done:
		return o.result, o.err
	case <-wait.C:
		return nil, context.Cause(ctx)
	}
}

// env returns what the tools work with.
func (r *Run) env() *tools.Env {
	env := &tools.Env{
		Workspace: r.workspace, Chat: r.chat, Message: r.messageID, Bridge: r.connect,
		Name: r.person.Name, Email: r.person.Email, Seen: r.memory.seen,
		Show: func(name string, data any) { r.show(name, "", data) },
	}
	if r.cfg.Metrics != nil {
		env.Checkpoint = r.cfg.Metrics.Checkpoint
	}
	return env
}

// slowConnect is when somebody who waits is told why.
const slowConnect = 300 * time.Millisecond

// connect returns the connection to the workspace's bridge. Meanwhile the workspace may have to wake.
func (r *Run) connect(ctx context.Context) (*bridge.Client, error) {
	timer := time.AfterFunc(slowConnect, func() { r.status("Waking the workspace …") })
	client, err := r.cfg.Bridge(ctx, r.workspace)
	if !timer.Stop() {
		r.status("")
	}
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %w", tools.ErrWorkspace, err)
	}
	return client, err
}

// resultLimit is how long a result may be for the model, in bytes: a third of its window.
func (r *Run) resultLimit() int { return min(maxResult, r.window()*bytesPerToken/3) }

// title says what a call does, for people.
func (c *call) title() (title string) {
	if c.tool.Title == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			title = ""
		}
	}()
	return word(c.tool.Title(c.input), 200)
}

// plain returns text without what neither a model nor JSON has a use for.
func plain(text string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", ""), "\uFFFD")
}

// faultText is an error for people, bounded.
func faultText(err error) string {
	text := strings.Map(func(c rune) rune {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7F {
			return -1
		}
		return c
	}, plain(err.Error()))
	if text = headTail(text, maxFault); text == "" {
		return "It failed, and nothing says why."
	}
	return text
}

// shownOutput is a result for people, bounded.
func shownOutput(result *tools.Result) any {
	if result.Output != nil {
		if text, err := encodeJSON(result.Output); err == nil && len(text) <= maxShown && !bytes.Equal(text, []byte("null")) {
			return text
		}
	}
	return map[string]string{"text": headTail(plain(result.Text), 16<<10)}
}
