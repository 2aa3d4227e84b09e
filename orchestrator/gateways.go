package orchestrator

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Several gateways on one store know of each other, and agree before one of them lets an idle workspace
// sleep, by leases alone:
//
//	gateway:<holder>                    that gateway lives
//	sleep:<workspace>:<question>        its holder is about to let the workspace sleep, and asks
//	answer:<question>:yes:<holder>      that gateway does not use it, and lets no request in until the
//	                                    question is gone
//	answer:<question>:no:<holder>       that gateway uses it
const (
	gatewayLease  = "gateway:"
	questionLease = "sleep:"
	answerLease   = "answer:"
	yes, no       = "yes", "no"
)

// answerPoll is how often who asked looks for answers.
const answerPoll = 100 * time.Millisecond

// heldQuestion is a question that was answered.
type heldQuestion struct {
	id     workspace.ID
	asked  Lease         // the question
	answer string        // the name of the lease
	route  *Route        // that was forgotten since the answer was yes, or nil
	over   chan struct{} // closed when the question is gone
}

// gatewayLoop says that this gateway lives, notices others that do no more, and answers their questions.
// While it is the only one, that is one write and one read every few seconds.
func (o *Orchestrator) gatewayLoop() {
	defer o.leaveGateways()
	others, asked := map[string]bool{}, map[string]*heldQuestion{}
	var said time.Time
	for first := true; ; first = false {
		if now := time.Now(); first || now.Sub(said) >= o.timing.leaseRenewal {
			said = now
			others = o.meetGateways(others)
		}
		if len(others) > 0 || len(asked) > 0 {
			o.answerQuestions(asked)
		}
		pause := o.timing.leaseRenewal
		if len(others) > 0 {
			pause = o.timing.questions
		}
		select {
		case <-o.ctx.Done():
			for _, q := range asked {
				close(q.over)
			}
			return
		case <-time.After(pause):
		}
	}
}

// meetGateways renews this gateway's lease, and returns the others that live. Where one is gone,
// what it was at is looked at soon.
func (o *Orchestrator) meetGateways(before map[string]bool) map[string]bool {
	ctx, cancel := context.WithTimeout(o.ctx, o.timing.lease)
	defer cancel()
	now := time.Now()
	if _, err := o.cfg.Store.AcquireLease(ctx, gatewayLease+o.holder, o.holder, now, now.Add(o.timing.lease)); err != nil {
		o.log.Debug("this gateway could not say that it lives", "error", err)
		return before
	}
	others, err := o.otherGateways(ctx)
	if err != nil {
		return before
	}
	for holder := range before {
		if !others[holder] {
			o.log.Info("another gateway is gone", "gateway", holder)
			_ = o.cfg.Store.ReleaseLease(ctx, gatewayLease+holder, holder) // it ended; this tidies up
			o.requestReconcile()
		}
	}
	o.peers.Store(int32(len(others))) //nolint:gosec // a handful
	return others
}

// otherGateways returns the holders of those that live.
func (o *Orchestrator) otherGateways(ctx context.Context) (map[string]bool, error) {
	leases, err := o.cfg.Store.Leases(ctx, gatewayLease, time.Now())
	if err != nil {
		return nil, err
	}
	others := map[string]bool{}
	for _, l := range leases {
		if l.Holder != o.holder {
			others[l.Holder] = true
		}
	}
	return others, nil
}

// leaveGateways lets nobody wait for this gateway.
func (o *Orchestrator) leaveGateways() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := o.cfg.Store.ReleaseLease(ctx, gatewayLease+o.holder, o.holder); err != nil {
		o.log.Debug("this gateway could not say that it ends", "error", err)
	}
}

// answerQuestions answers new questions of other gateways, and takes note of those that are gone.
func (o *Orchestrator) answerQuestions(asked map[string]*heldQuestion) {
	ctx, cancel := context.WithTimeout(o.ctx, o.timing.lease)
	defer cancel()
	leases, err := o.cfg.Store.Leases(ctx, questionLease, time.Now())
	if err != nil {
		return
	}
	open := map[string]bool{}
	for _, l := range leases {
		id, question, ok := strings.Cut(strings.TrimPrefix(l.Name, questionLease), ":")
		if !ok || l.Holder == o.holder {
			continue
		}
		open[question] = true
		if asked[question] == nil {
			if q := o.answer(ctx, workspace.ID(id), question); q != nil {
				q.asked = l
				asked[question] = q
			}
		}
	}
	for question, q := range asked {
		if !open[question] {
			delete(asked, question)
			o.questionOver(ctx, q)
		}
	}
}

// answer says whether this gateway uses a workspace. Where it does not, it lets no request in from now on.
func (o *Orchestrator) answer(ctx context.Context, id workspace.ID, question string) *heldQuestion {
	q := &heldQuestion{id: id, over: make(chan struct{})}
	say := yes
	w, err := o.cfg.Store.Workspace(ctx, id)
	if err != nil {
		return nil // again at the next look
	}
	o.mu.Lock()
	op := o.ops[id]
	if op != nil && op.kind != opSleep && op.kind != opRepair {
		say = no
	} else {
		q.route = o.dropRoute(id) // first, so that no request comes while the answer is made up
		if o.due(ran(w)) == "" {
			say = no
			if q.route != nil {
				o.putRoute(w)
			}
		}
	}
	if say == yes {
		o.settling[id] = q.over
	} else {
		q.route = nil
	}
	o.mu.Unlock()
	q.answer = answerLease + question + ":" + say + ":" + o.holder
	now := time.Now()
	if ok, err := o.cfg.Store.AcquireLease(ctx, q.answer, o.holder, now, now.Add(o.timing.answer)); err != nil || !ok {
		o.questionOver(ctx, q)
		return nil
	}
	return q
}

// questionOver takes back an answer. Where the workspace runs on, requests get in again.
func (o *Orchestrator) questionOver(ctx context.Context, q *heldQuestion) {
	if q.asked.Name != "" {
		_ = o.cfg.Store.ReleaseLease(ctx, q.asked.Name, q.asked.Holder) // whoever asked may be no more
	}
	if q.answer != "" {
		_ = o.cfg.Store.ReleaseLease(ctx, q.answer, o.holder) // it ends by itself too
	}
	if q.route != nil {
		if w, err := o.cfg.Store.Workspace(ctx, q.id); err == nil {
			o.publish(w)
			o.mu.Lock()
			if w.State == workspace.StateRunning && w.Container == q.route.container && o.ops[q.id] == nil && o.Route(q.id) == nil {
				o.putRoute(w)
			}
			o.mu.Unlock()
		}
	}
	o.mu.Lock()
	if o.settling[q.id] == q.over {
		delete(o.settling, q.id)
	}
	o.mu.Unlock()
	close(q.over)
}

// Settling returns a channel that is closed once it is decided whether a workspace sleeps, while one of
// the gateways is about to let it, or once it was looked at, while that is done; else nil. Until then it
// is worth to wait, also for those who wake nothing.
func (o *Orchestrator) Settling(id workspace.ID) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if op := o.ops[id]; op != nil && (op.kind == opSleep || op.kind == opPause || op.kind == opRepair) {
		return op.done
	}
	if over := o.settling[id]; over != nil {
		return over
	}
	return nil
}

// findInterval is how often it is looked for at most whether another gateway has woken a workspace.
const findInterval = time.Second

// Find returns the route of a workspace that another gateway has woken, else nil. It wakes nothing, and
// touches memory alone where there is no other gateway.
func (o *Orchestrator) Find(ctx context.Context, id workspace.ID) *Route {
	if o.peers.Load() == 0 {
		return o.Route(id)
	}
	u := o.useOf(id)
	u.mu.Lock()
	now := time.Now()
	again := now.Sub(u.looked) >= findInterval
	if again {
		u.looked = now
	}
	u.mu.Unlock()
	if again {
		if w, err := o.cfg.Store.Workspace(ctx, id); err == nil {
			o.publish(w)
			if w.State == workspace.StateRunning {
				if err := o.adopt(ctx, w); err != nil {
					o.log.Debug("a workspace that another gateway woke was not found", "workspace", id, "error", err)
				}
			}
		}
	}
	return o.Route(id)
}

// askGateways returns nil once every other gateway that lives has said that it does not use a
// workspace, and lets no request in until release is called. One that does not answer is waited for
// as long as it lives. Errors: ErrInUse, or the store's.
func (o *Orchestrator) askGateways(ctx context.Context, id workspace.ID) (release func(), err error) {
	nothing := func() {}
	others, err := o.otherGateways(ctx)
	if err != nil || len(others) == 0 {
		return nothing, err
	}
	question := rand.Text()
	lease := questionLease + string(id) + ":" + question
	ask := func() error {
		now := time.Now()
		_, err := o.cfg.Store.AcquireLease(ctx, lease, o.holder, now, now.Add(o.timing.answer))
		return err
	}
	release = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := o.cfg.Store.ReleaseLease(ctx, lease, o.holder); err != nil {
			o.log.Debug("a question to the other gateways could not be taken back", "workspace", id, "error", err)
		}
	}
	if err := ask(); err != nil {
		return release, err
	}
	poll := time.NewTicker(min(answerPoll, o.timing.questions))
	defer poll.Stop()
	giveUp := time.After(2 * o.timing.lease)
	for {
		select {
		case <-ctx.Done():
			return release, context.Cause(ctx)
		case <-giveUp:
			return release, fmt.Errorf("%w: another gateway does not say whether it uses it", workspace.ErrInUse)
		case <-poll.C:
		}
		agreed, err := o.allAgree(ctx, question, others)
		if err != nil || agreed {
			return release, err
		}
		if others, err = o.otherGateways(ctx); err != nil {
			return release, err
		}
	}
}

// allAgree reports whether all others have said yes; ErrInUse where one said no.
func (o *Orchestrator) allAgree(ctx context.Context, question string, others map[string]bool) (bool, error) {
	prefix := answerLease + question + ":"
	leases, err := o.cfg.Store.Leases(ctx, prefix, time.Now())
	if err != nil {
		return false, err
	}
	agreed := 0
	for _, l := range leases {
		say, holder, _ := strings.Cut(strings.TrimPrefix(l.Name, prefix), ":")
		switch {
		case say == no:
			return false, fmt.Errorf("%w, at another gateway", workspace.ErrInUse)
		case say == yes && others[holder]:
			agreed++
		}
	}
	return agreed == len(others), nil
}
