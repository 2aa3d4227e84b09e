package agent

import (
	"context"
	"encoding/json"

	"github.com/kalpana-dev/kalpana/agent/model"
	"github.com/kalpana-dev/kalpana/agent/tools"
)

// offer is what a model may call.
type offer struct {
	tools    map[string]*tools.Tool
	forModel []model.Tool
}

// add adds a tool. One that has the name of another, or a name that no provider takes, is left out.
func (o *offer) add(t tools.Tool) {
	if _, twice := o.tools[t.Name]; twice || !validName.MatchString(t.Name) {
		return
	}
	if len(t.Parameters) == 0 {
		t.Parameters = json.RawMessage(`{"type":"object","properties":{}}`)
	}
	o.tools[t.Name] = &t
	o.forModel = append(o.forModel, model.Tool{Name: t.Name, Description: t.Description, Parameters: t.Parameters})
}

// offered returns what the model may call: in plan mode only what changes nothing.
func (r *Run) offered(ctx context.Context) *offer {
	o := &offer{tools: map[string]*tools.Tool{}}
	o.add(r.todoTool())
	o.add(questionTool())
	o.add(r.taskTool())
	for _, t := range r.others(ctx) {
		if t.Reads || t.ReadsCall != nil || !r.plan { // judge refuses those of its calls that change something
			o.add(t)
		}
	}
	return o
}

// others returns the tools that are not the agent's own, the same ones in the whole run.
func (r *Run) others(ctx context.Context) []tools.Tool {
	r.fetch.Do(func() {
		r.tools = r.cfg.Tools
		if r.cfg.Extra != nil {
			r.tools = append(r.tools[:len(r.tools):len(r.tools)], r.cfg.Extra(ctx, r.person)...)
		}
	})
	return r.tools
}
