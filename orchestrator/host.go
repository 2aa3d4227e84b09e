package orchestrator

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Host is what the machine that runs the containers has, in bytes. Zero is unknown.
type Host struct {
	Memory, MemoryFree int64 // free is what programs could get without swapping
	Disk, DiskFree     int64 // where the engine keeps containers and volumes
}

// Reserve is what the containers' machine keeps for itself, in bytes. Zero is nothing, less the default:
// 512 MiB of memory, but no more than a tenth of what there is; 1 GiB of disk, but no more than a
// twentieth.
type Reserve struct {
	Memory, Disk int64
}

// of returns what is kept of a machine.
func (r Reserve) of(h Host) Reserve {
	if r.Memory < 0 {
		r.Memory = min(512<<20, h.Memory/10)
	}
	if r.Disk < 0 {
		r.Disk = min(1<<30, h.Disk/20)
	}
	return r
}

// startMemory is what a workspace takes while it comes up: VS Code's server and its extensions' host.
const startMemory = 256 << 20

// hostHasRoom returns ErrHostFull where another start, beside those that go on, would take of the
// machine's reserve. What cannot be measured is no reason to refuse.
func (o *Orchestrator) hostHasRoom(ctx context.Context) error {
	if o.cfg.Reserve == (Reserve{}) {
		return nil
	}
	host, err := o.cfg.Runtime.Host(ctx)
	if err != nil {
		return nil //nolint:nilerr // an engine that does not answer is for the start to tell
	}
	reserve := o.cfg.Reserve.of(host)
	starts := int64(max(o.queue.starts(), 1))
	if reserve.Memory > 0 && host.Memory > 0 && host.MemoryFree < reserve.Memory+starts*startMemory {
		return fmt.Errorf("%w: %s of its memory are free, %s are kept for the machine itself, and a start takes about %s",
			workspace.ErrHostFull, bytes(host.MemoryFree), bytes(reserve.Memory), bytes(startMemory))
	}
	if reserve.Disk > 0 && host.Disk > 0 && host.DiskFree < reserve.Disk {
		return fmt.Errorf("%w: %s of its disk are free, and %s are kept for the machine itself", workspace.ErrHostFull, bytes(host.DiskFree), bytes(reserve.Disk))
	}
	return nil
}

// bytes writes a size for people: "1.07 GiB", "1 GiB", "640 MiB".
func bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	size, unit := float64(n), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	digits := 0
	if size < 10 && size != math.Floor(size) {
		digits = 2
	}
	scale := math.Pow10(digits)
	return strconv.FormatFloat(math.Floor(size*scale)/scale, 'f', digits, 64) + " " + units[unit]
}
