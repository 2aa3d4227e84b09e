package orchestrator

import (
	"context"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// template returns the template of that name; one that is no longer configured is like the installation.
func (o *Orchestrator) template(name string) (Template, bool) {
	for _, t := range o.cfg.Templates {
		if t.Name == name {
			return t, true
		}
	}
	return Template{Name: name}, false
}

// image returns the reference that a workspace's container is made from.
func (o *Orchestrator) image(w *workspace.Workspace) string {
	if t, _ := o.template(w.Template); t.Image != "" {
		return t.Image
	}
	return o.cfg.Image
}

// quota returns what person may use, and each workspace of theirs of that template: the person's own
// where they have one, else the template's, else the installation's. Zero is no bound.
func (o *Orchestrator) quota(ctx context.Context, person, template string) (workspace.Quota, error) {
	var own workspace.Quota
	if o.cfg.Quota != nil {
		var err error
		if own, err = o.cfg.Quota(ctx, person); err != nil {
			return workspace.Quota{}, err
		}
	}
	t, _ := o.template(template)
	l := o.cfg.Limits
	return workspace.Quota{
		Workspaces: first(own.Workspaces, o.cfg.WorkspaceLimit),
		Running:    first(own.Running, o.cfg.RunningLimit),
		CPUs:       first(own.CPUs, t.Quota.CPUs, l.CPUs),
		Memory:     first(own.Memory, t.Quota.Memory, l.Memory),
		PIDs:       first(own.PIDs, t.Quota.PIDs, l.PIDs),
		Disk:       first(own.Disk, t.Quota.Disk, l.Disk),
	}, nil
}

// first returns the first number that says something, 0 where it says that there is no bound.
func first[T int | int64 | float64](numbers ...T) T {
	for _, n := range numbers {
		if n != 0 {
			return max(n, 0)
		}
	}
	return 0
}

// limits returns what w's container may use.
func (o *Orchestrator) limits(ctx context.Context, w *workspace.Workspace) (Limits, error) {
	q, err := o.quota(ctx, w.Owner, w.Template)
	l := o.cfg.Limits
	l.CPUs, l.Memory, l.PIDs, l.Disk = q.CPUs, q.Memory, q.PIDs, q.Disk
	return l, err
}

// LimitsOf returns what w and its owner may use, for people to read: the defaults where the owner's own
// quota cannot be told right now. Zero is no bound.
func (o *Orchestrator) LimitsOf(w *workspace.Workspace) workspace.Quota {
	ctx, cancel := context.WithTimeout(o.ctx, time.Second)
	defer cancel()
	q, err := o.quota(ctx, w.Owner, w.Template)
	if err != nil {
		return workspace.Quota{CPUs: o.cfg.Limits.CPUs, Memory: o.cfg.Limits.Memory, PIDs: o.cfg.Limits.PIDs, Disk: o.cfg.Limits.Disk}
	}
	return q
}

// QuotaOf returns what a person may use, and each workspace of theirs unless its template says otherwise.
// Zero is no bound.
func (o *Orchestrator) QuotaOf(ctx context.Context, person string) (workspace.Quota, error) {
	return o.quota(ctx, person, "")
}
