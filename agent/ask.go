package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/kalpana-dev/kalpana/agent/budget"
	"github.com/kalpana-dev/kalpana/agent/model"
)

// expectedOutput is how many tokens an answer is taken for before it is there.
const expectedOutput = 2000

// call sends a request, within the budget and the metrics.
func (r *Run) call(ctx context.Context, req *model.Request, show func(model.Delta)) (*model.Response, error) {
	req.Key, req.User = r.person.Key, pseudonym(r.person.ID)
	retrying := false
	req.Retrying = func(failure *model.Error, in time.Duration) {
		retrying = true
		r.status(fmt.Sprintf("The model's provider does not answer (%s). Trying again in %s …", failure.Kind, spell(max(time.Second, in.Round(time.Second)))))
	}
	who := budget.Who{Person: r.person.ID, Workspace: r.workspace, Chat: r.chat, Model: r.info.ID, OwnKey: r.person.Key != ""}
	estimate := r.priced(model.Usage{Input: r.full(req), Output: expectedOutput})
	settle, err := r.cfg.Budget.Reserve(ctx, who, estimate)
	if err != nil {
		var spent *budget.Spent
		if errors.As(err, &spent) && r.cfg.Metrics != nil {
			r.cfg.Metrics.Refused(spent)
		}
		return nil, err
	}

	began := r.cfg.Now()
	wrote := 0
	res, err := r.cfg.Model.Stream(ctx, req, func(d model.Delta) {
		wrote += len(d.Text) + len(d.Reasoning)
		if d.Call != nil {
			wrote += len(d.Call.Name) + len(d.Call.Arguments)
		}
		if retrying {
			retrying = false
			r.status("")
		}
		show(d)
	})
	if err == nil && res == nil {
		err = &model.Error{Kind: model.KindBadAnswer, Message: "The model gave no answer. Try again."}
	}

	if retrying {
		r.status("")
	}
	used, known := usageOf(res, err)
	if !known && (wrote > 0 || ctx.Err() != nil) {
		// Whoever stops is not told what it used: the provider may bill it all the same.
		used = r.priced(model.Usage{Input: estimate.Input, Output: int64(wrote / bytesPerToken), Estimated: true})
	}
	if used.Cost == 0 && !used.Priced {
		used = r.priced(used)
	}
	r.used(used)
	if r.cfg.Metrics != nil {
		r.cfg.Metrics.ModelCall(r.info.ID, who.OwnKey, res, r.cfg.Now().Sub(began), err)
	}
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if failed := settle(settling, used); failed != nil {
		r.cfg.Log.Error("what a call of a model used could not be counted", "chat", r.chat, "error", failed)
		if err == nil {
			err = fmt.Errorf("agent: what was used could not be counted: %w", failed)
		}
	}
	return res, err
}

// usageOf returns what a call used, where it is known.
func usageOf(res *model.Response, err error) (u model.Usage, known bool) {
	var fault *model.Error
	switch {
	case res != nil && (res.Usage.Input > 0 || res.Usage.Output > 0):
		return res.Usage, true
	case errors.As(err, &fault) && fault.Usage != nil:
		return *fault.Usage, true
	}
	return u, false
}

// priced adds the cost as the provider's list has it, where it is not known otherwise.
func (r *Run) priced(u model.Usage) model.Usage {
	if r.info.InputPrice > 0 || r.info.OutputPrice > 0 {
		u.Cost = (u.Input*r.info.InputPrice + u.Output*r.info.OutputPrice) / 1e6
		u.Priced = true
	}
	return u
}

// full estimates how many tokens a request has, from what the provider counted in the last one where that is known.
func (r *Run) full(req *model.Request) int64 {
	return tokens(req.Messages) + toolTokens(req.Tools)
}

// findLeft looks up what may still be spent.
func (r *Run) findLeft(ctx context.Context) {
	left, err := r.cfg.Budget.Left(ctx, budget.Who{
		Person: r.person.ID, Workspace: r.workspace, Chat: r.chat, Model: r.info.ID, OwnKey: r.person.Key != "",
	})
	if err != nil {
		r.cfg.Log.Warn("what is left of a budget cannot be read", "chat", r.chat, "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = &left
}

// pseudonym names a person to a provider.
func pseudonym(person string) string {
	sum := sha256.Sum256([]byte("kalpana person " + person))
	return hex.EncodeToString(sum[:12])
}
