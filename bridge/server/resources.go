package server

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"syscall"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// resources tells what the container uses.
type resources struct {
	folder folder
	cgroup string
	cpu    *cpuMeter // not that of the activities, which measure since they last asked
}

func (r *resources) use(ctx context.Context, p bridge.ResourcesParams) (*bridge.ResourcesResult, error) {
	result := &bridge.ResourcesResult{}
	result.CPU.Share = r.cpu.share(time.Now())
	result.CPU.Limit = cpuLimit(r.cgroup)
	if used, ok := cpuUsed(r.cgroup); ok {
		result.CPU.UsedMs = used.Milliseconds()
	}
	result.Memory = memoryUse(r.cgroup)
	result.PIDs = bridge.PIDUse{
		Current: cgroupNumber(r.cgroup, "pids.current", "pids/pids.current"),
		Limit:   cgroupNumber(r.cgroup, "pids.max", "pids/pids.max"),
	}
	var disk syscall.Statfs_t
	if syscall.Statfs(r.folder.dir, &disk) == nil {
		result.Disk = bridge.DiskUse{Size: int64(disk.Blocks) * disk.Bsize, Free: int64(disk.Bavail) * disk.Bsize} //nolint:gosec // No disk has 2^63 blocks.
	}
	if p.Files {
		ctx, cancel := context.WithTimeoutCause(ctx, bridge.FilesUseLimit, errTimeLimit)
		defer cancel()
		files, err := r.count(ctx)
		if err != nil {
			return nil, err
		}
		result.Files = files
	}
	return result, nil
}

// memoryUse reads a control group of version 2 or 1.
func memoryUse(dir string) bridge.MemoryUse {
	m := bridge.MemoryUse{
		Used:  cgroupNumber(dir, "memory.current", "memory/memory.usage_in_bytes"),
		Limit: cgroupNumber(dir, "memory.max", "memory/memory.limit_in_bytes"),
	}
	// What can be given back at once: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
	idle := memoryField(readSmall(dir, "memory.stat"), "inactive_file")
	if idle == 0 {
		idle = memoryField(readSmall(dir, "memory/memory.stat"), "total_inactive_file")
	}
	m.Used = max(m.Used-idle, 0)
	if m.Limit >= 1<<60 { // version 1's "no limit" is the largest number of pages
		m.Limit = 0
	}
	return m
}

// cgroupNumber reads a number by its name in version 2 or 1; "max" and what is not there are 0.
func cgroupNumber(dir, v2, v1 string) int64 {
	for _, name := range []string{v2, v1} {
		if text := readSmall(dir, name); text != "" {
			n, _ := strconv.ParseInt(text, 10, 64)
			return max(n, 0)
		}
	}
	return 0
}

// count looks at every file of the workspace folder, without following symlinks. Hard links count once each.
func (r *resources) count(ctx context.Context) (*bridge.FilesUse, error) {
	root, err := r.folder.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	use := &bridge.FilesUse{}
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return nil //nolint:nilerr // What cannot be read is not counted.
		case path == ".":
			return nil
		}
		if info, err := d.Info(); err == nil {
			use.Count++
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				use.Bytes += stat.Blocks * 512
			}
		}
		return nil
	})
	if err != nil && !errors.Is(context.Cause(ctx), errTimeLimit) {
		return nil, err
	}
	use.Truncated = err != nil
	return use, nil
}
