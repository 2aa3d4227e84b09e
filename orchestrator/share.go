package orchestrator

import (
	"context"
	"errors"
	"slices"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Access is who may open a host, as its workspace's record and the operator's limit have it.
type Access struct {
	Owner string
	Share workspace.Share // of the host's port; private on an IDE host
}

// Admits reports whether person, who is signed in, may open the host.
func (a Access) Admits(person string) bool {
	return person != "" && (person == a.Owner || a.Share.Level.WiderThan(workspace.SharePrivate))
}

// Public reports whether anybody may open the host.
func (a Access) Public() bool { return a.Share.Level == workspace.SharePublic }

// ShareLimit returns how widely the operator lets ports be shared.
func (o *Orchestrator) ShareLimit() workspace.ShareLevel { return o.cfg.ShareLimit }

// EffectiveShare returns how a port of w can be reached now.
func (o *Orchestrator) EffectiveShare(w *workspace.Workspace, port int) workspace.Share {
	return o.access(w, workspace.Host{Kind: workspace.HostPreview, ID: w.ID, Port: port}).Share
}

func (o *Orchestrator) access(w *workspace.Workspace, host workspace.Host) Access {
	return Access{Owner: w.Owner, Share: w.EffectiveShare(host, o.cfg.ShareLimit)}
}

// known is what this process knows of a workspace. Entries are replaced under the hub's lock, and read
// without it.
type known struct {
	record *workspace.Workspace // nil where only the doubt is known
	doubt  bool                 // the record must be read again before its shares are relied on
}

// Access returns who may open host, as a rule from memory alone; only after [Orchestrator.Invalidate] it
// reads the store, and a store that does not answer leaves a port to the owner. A workspace that this
// process has not heard of is ErrNotFound, whether or not it exists: a stranger's request must cost
// nothing and tell nothing.
func (o *Orchestrator) Access(ctx context.Context, host workspace.Host) (Access, error) {
	v, ok := o.known.Load(host.ID)
	if !ok {
		return Access{}, workspace.ErrNotFound
	}
	k := v.(*known)
	if k.record != nil && (!k.doubt || host.Kind != workspace.HostPreview) {
		return o.access(k.record, host), nil // an owner never changes
	}
	a, err := o.ReadAccess(ctx, host)
	if err != nil && !errors.Is(err, workspace.ErrNotFound) && k.record != nil {
		return Access{Owner: k.record.Owner, Share: workspace.Share{Port: host.Port, Level: workspace.SharePrivate}}, nil
	}
	return a, err
}

// ReadAccess returns who may open host, from the store. A workspace that is being deleted opens no
// more: ErrNotFound.
func (o *Orchestrator) ReadAccess(ctx context.Context, host workspace.Host) (Access, error) {
	before, _ := o.known.Load(host.ID)
	w, err := o.cfg.Store.Workspace(ctx, host.ID)
	if errors.Is(err, workspace.ErrNotFound) {
		o.know(host.ID, before, nil)
		return Access{}, err
	}
	if err != nil {
		return Access{}, err
	}
	o.publish(w)
	o.know(host.ID, before, w)
	if w.State == workspace.StateDeleting {
		return Access{}, workspace.ErrNotFound
	}
	return o.access(w, host), nil
}

// know takes what was read of a record in doubt, unless the doubt is newer than the reading.
func (o *Orchestrator) know(id workspace.ID, before any, w *workspace.Workspace) {
	o.hub.mu.Lock()
	defer o.hub.mu.Unlock()
	k, ok := before.(*known)
	if now, _ := o.known.Load(id); !ok || !k.doubt || now != before {
		return
	}
	if w == nil {
		o.known.Delete(id)
		return
	}
	record := *w
	o.known.Store(id, &known{record: &record})
}

// Invalidate says that another gateway may have changed a record: access is read anew before anybody
// is let in by it. It does not wait.
func (o *Orchestrator) Invalidate(id workspace.ID) {
	o.hub.mu.Lock()
	defer o.hub.mu.Unlock()
	k := &known{doubt: true}
	if v, ok := o.known.Load(id); ok {
		k.record = v.(*known).record
	}
	o.known.Store(id, k)
}

// Share sets how a port of person's workspace is shared, and returns how it was. Errors:
// ErrNotFound, ErrInvalidPort, ErrInvalidShare, ErrShareLimit, ErrTooManyShares, ErrBusy while it is
// being deleted, or the store's.
//
// Whoever narrows a share must end what was open by it.
func (o *Orchestrator) Share(ctx context.Context, person string, id workspace.ID, s workspace.Share) (w *workspace.Workspace, before workspace.Share, err error) {
	switch {
	case !workspace.IsPreviewPort(s.Port):
		return nil, before, workspace.ErrInvalidPort
	case !s.Level.Valid():
		return nil, before, workspace.ErrInvalidShare
	case s.Level.WiderThan(o.cfg.ShareLimit):
		return nil, before, workspace.ErrShareLimit
	}
	s.Wakes = s.Wakes && s.Level == workspace.SharePublic
	if _, err := o.Get(ctx, person, id); err != nil {
		return nil, before, err
	}
	w, err = o.update(ctx, id, func(w *workspace.Workspace) error {
		if w.State == workspace.StateDeleting {
			return workspace.ErrBusy
		}
		before = w.ShareOf(s.Port)
		i := slices.IndexFunc(w.Shares, func(old workspace.Share) bool { return old.Port == s.Port })
		shares := slices.Clone(w.Shares)
		plain := s == workspace.Share{Port: s.Port, Level: workspace.SharePrivate}
		switch {
		case i >= 0 && plain:
			shares = slices.Delete(shares, i, i+1)
		case i >= 0:
			shares[i] = s
		case !plain:
			shares = append(shares, s)
		}
		if len(shares) > workspace.MaxShares && len(shares) > len(w.Shares) {
			return workspace.ErrTooManyShares
		}
		slices.SortFunc(shares, func(a, b workspace.Share) int { return a.Port - b.Port })
		if len(shares) == 0 {
			shares = nil
		}
		w.Shares = shares
		return nil
	})
	return w, before, err
}

// Unshare makes a port of person's workspace private, without any setting; see [Orchestrator.Share].
func (o *Orchestrator) Unshare(ctx context.Context, person string, id workspace.ID, port int) (*workspace.Workspace, workspace.Share, error) {
	return o.Share(ctx, person, id, workspace.Share{Port: port, Level: workspace.SharePrivate})
}

// OverLimit returns the hosts that are shared more widely than the operator's limit: it was lowered
// after they were.
func (o *Orchestrator) OverLimit() (hosts []workspace.Host) {
	o.known.Range(func(_, v any) bool {
		if w := v.(*known).record; w != nil {
			for _, s := range w.Shares {
				if s.Level.WiderThan(o.cfg.ShareLimit) {
					hosts = append(hosts, workspace.Host{Kind: workspace.HostPreview, ID: w.ID, Port: s.Port})
				}
			}
		}
		return true
	})
	return hosts
}

// Load reads every record, so that shared ports are known before the first visitor comes. Reconcile
// does so too.
func (o *Orchestrator) Load(ctx context.Context) error {
	before := o.hub.ids()
	records, err := o.cfg.Store.Workspaces(ctx, "")
	if err != nil {
		return err
	}
	o.catchUp(before, records)
	return nil
}
