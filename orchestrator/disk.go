package orchestrator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

const (
	// diskInterval is how often a workspace that runs is measured; one whose measuring takes long is
	// measured less often, so that it costs no more than diskShare of a processor.
	diskInterval = time.Minute
	diskShare    = 100
	// diskTime bounds one measuring.
	diskTime = 20 * time.Second
	// diskSlack is what a workspace may always grow by from when it was started, so that whoever is at the
	// limit gets in to delete files.
	diskSlack = 64 << 20
	// diskWarning is from how many hundredths of the limit on people are warned.
	diskWarning = 80
	// diskLease is held by the gateway that measures.
	diskLease = "disk"
)

// diskWatch is what one process remembers of the disks that it measures.
type diskWatch struct {
	every time.Duration

	mu   sync.Mutex // one round at a time
	runs map[workspace.ID]*diskRun
}

// diskRun is the time since a workspace was started.
type diskRun struct {
	started time.Time
	base    int64 // bytes it began with
	grown   int64 // since
	ceiling int64 // it is stopped above
	next    time.Time
}

// watchDisks measures the workspaces that run until the orchestrator is closed. Of several gateways one
// does so.
func (o *Orchestrator) watchDisks() {
	tick := time.NewTicker(o.disks.every)
	defer tick.Stop()
	defer func() { // another gateway need not wait
		release, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), 5*time.Second)
		defer cancel()
		_ = o.cfg.Store.ReleaseLease(release, diskLease, o.holder) // it ends by itself
	}()
	failing := false
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-tick.C:
		}
		err := o.MeasureDisks(o.ctx)
		switch {
		case o.ctx.Err() != nil:
			return
		case errors.Is(err, errors.ErrUnsupported):
			o.log.Warn("the engine's machine is elsewhere, and the engine does not tell what workspaces take on its disk; disk limits are not watched")
			return
		case err != nil && !failing:
			o.log.Warn("the disks of workspaces cannot be measured; trying again", "error", err)
		}
		failing = err != nil
	}
}

// MeasureDisks measures each workspace that runs and is due, writes down what it takes, and stops those
// that have grown over their limit; and, where the machine is about to run out of disk, the one that has
// grown most. It does nothing where another gateway does it.
func (o *Orchestrator) MeasureDisks(ctx context.Context) error {
	o.disks.mu.Lock()
	defer o.disks.mu.Unlock()
	now := time.Now()
	mine, err := o.cfg.Store.AcquireLease(ctx, diskLease, o.holder, now, now.Add(3*o.disks.every))
	if err != nil || !mine {
		return err
	}
	containers, err := o.cfg.Runtime.Containers(ctx)
	if err != nil {
		return err
	}
	short := o.diskShort(ctx)
	var faults []error
	awake := map[workspace.ID]*diskRun{}
	for _, c := range containers {
		if c.State != ContainerRunning {
			if run := o.disks.runs[c.Workspace]; run != nil && c.State == ContainerPaused {
				awake[c.Workspace] = run
			}
			continue
		}
		run, err := o.measureDisk(ctx, c, short)
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("workspace %s: %w", c.Workspace, err))
		}
		if run != nil {
			awake[c.Workspace] = run
		}
	}
	o.disks.runs = awake
	if short {
		o.stopGrowing(awake)
	}
	return errors.Join(faults...)
}

// diskShort reports whether the machine has less disk than half of what it keeps for itself.
func (o *Orchestrator) diskShort(ctx context.Context) bool {
	if o.cfg.Reserve.Disk == 0 {
		return false
	}
	host, err := o.cfg.Runtime.Host(ctx)
	return err == nil && host.Disk > 0 && host.DiskFree < o.cfg.Reserve.of(host).Disk/2
}

// stopGrowing stops the workspace that has grown most since it was started, if any has grown.
func (o *Orchestrator) stopGrowing(runs map[workspace.ID]*diskRun) {
	var most workspace.ID
	for id, run := range runs {
		if run.grown > diskSlack && (most == "" || run.grown > runs[most].grown) {
			most = id
		}
	}
	if most == "" {
		o.log.Error("the disk of the engine's machine is nearly full, and no workspace has grown lately: free some space")
		return
	}
	o.log.Error("the disk of the engine's machine is nearly full; stopping the workspace that has grown most", "workspace", most, "by", bytes(runs[most].grown))
	o.stopFor(most, fmt.Sprintf("stopped since the machine's disk is nearly full, and this workspace has grown by %s since it was started. Ask the operator for more room, or start it and delete files that you no longer need.", bytes(runs[most].grown)), sleptDisk)
}

// measureDisk measures one workspace where it is due, or now.
func (o *Orchestrator) measureDisk(ctx context.Context, c Container, now bool) (*diskRun, error) {
	run := o.disks.runs[c.Workspace]
	if run != nil && !now && time.Now().Before(run.next) {
		return run, nil
	}
	w, err := o.cfg.Store.Workspace(ctx, c.Workspace)
	if errors.Is(err, workspace.ErrNotFound) || err == nil && (w.State != workspace.StateRunning || w.Container != c.ID) {
		return nil, nil // it will be measured once it is settled
	}
	if err != nil {
		return run, err
	}
	quota, err := o.quota(ctx, w.Owner, w.Template)
	if err != nil {
		return run, err
	}
	if run == nil || !run.started.Equal(w.StartedAt) {
		run = &diskRun{started: w.StartedAt, base: w.DiskUsed, ceiling: max(quota.Disk, w.DiskUsed+diskSlack)}
	}
	began := time.Now()
	measuring, cancel := context.WithTimeout(ctx, diskTime)
	defer cancel()
	used, whole, err := o.cfg.Runtime.DiskUsed(measuring, c.ID, w.Volume())
	pause := o.disks.every
	if quota.Disk == 0 {
		pause *= 10 // it is for people to read alone
	}
	run.next = time.Now().Add(max(pause, diskShare*time.Since(began)) - o.disks.every/2) // a round may come a little early
	if err != nil {
		return run, err
	}
	if !whole {
		used = max(used, w.DiskUsed)
	}
	if run.base == 0 {
		run.base = used
	}
	run.grown = used - run.base
	run.ceiling = max(quota.Disk, min(run.ceiling, used+diskSlack)) // it follows whoever tidies up
	over := quota.Disk > 0 && used > run.ceiling
	if whole {
		o.boundVolume(measuring, w, func(taken int64) int64 {
			if quota.Disk == 0 {
				return 0
			}
			// Code in a workspace may have its files counted elsewhere, and others' to it: what it may still
			// take is by what was measured.
			return max(taken+run.ceiling-used, 1)
		})
	}
	if over || tells(w.DiskUsed, used, quota.Disk) {
		_, err = o.update(ctx, w.ID, func(w *workspace.Workspace) error {
			w.DiskUsed = used
			return nil
		})
	}
	if over {
		o.log.Warn("a workspace is over its disk limit; stopping it", "workspace", w.ID, "used", bytes(used), "limit", bytes(quota.Disk))
		o.stopFor(w.ID, fmt.Sprintf("stopped since its disk is full: %s of %s are used. Start it and delete files that you no longer need; it is stopped again only if it grows by %s more.",
			bytes(used), bytes(quota.Disk), bytes(diskSlack)), sleptDisk)
	}
	return run, err
}

// boundDisk bounds the volume of a workspace that was just started, where the engine can: until it is measured,
// by what the engine counts.
func (o *Orchestrator) boundDisk(ctx context.Context, w *workspace.Workspace) {
	quota, err := o.quota(ctx, w.Owner, w.Template)
	if err != nil {
		o.log.Warn("the limit of a workspace's disk is unknown; it is measured", "workspace", w.ID, "error", err)
		return
	}
	o.boundVolume(ctx, w, func(taken int64) int64 {
		if quota.Disk == 0 {
			return 0
		}
		return max(quota.Disk, taken+diskSlack)
	})
}

func (o *Orchestrator) boundVolume(ctx context.Context, w *workspace.Workspace, limit func(taken int64) int64) {
	if err := o.cfg.Runtime.LimitVolume(ctx, w.Volume(), limit); err != nil && ctx.Err() == nil {
		o.log.Warn("the quota of a workspace's volume could not be set; it is measured", "workspace", w.ID, "error", err)
	}
}

// tells reports whether a measured size is worth a write: it differs by a hundredth of the limit, or of
// itself where there is none, or it is on the other side of the warning.
func tells(before, now, limit int64) bool {
	step := limit / 100
	if limit == 0 {
		step = max(now/100, 16<<20)
	}
	return now-before > step || before-now > step || DiskWarning(before, limit) != DiskWarning(now, limit) || before == 0
}

// DiskWarning reports whether a workspace that takes so many bytes is near its limit, so that its owner
// should know. A limit of 0 is none.
func DiskWarning(used, limit int64) bool { return limit > 0 && used >= limit/100*diskWarning }
