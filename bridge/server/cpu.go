package server

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// cgroupDir is where a container sees its own control group.
const cgroupDir = "/sys/fs/cgroup"

// cpuPause is the shortest time over which a share is measured; who asks again sooner is told the last one.
const cpuPause = time.Second

// cpuMeter tells which share of its CPU limit the container uses.
type cpuMeter struct {
	dir string

	mu   sync.Mutex
	used time.Duration // at the last measurement
	at   time.Time
	last float64
}

func newCPUMeter(dir string) *cpuMeter {
	used, _ := cpuUsed(dir)
	return &cpuMeter{dir: dir, used: used, at: time.Now()}
}

// share returns the share since it was last asked for, from 0 to 1; 0 where the control group cannot be read.
func (m *cpuMeter) share(now time.Time) float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	passed := now.Sub(m.at)
	if passed < cpuPause {
		return m.last
	}
	used, ok := cpuUsed(m.dir)
	if !ok {
		return 0
	}
	share := float64(used-m.used) / (float64(passed) * cpuLimit(m.dir))
	m.used, m.at, m.last = used, now, min(max(share, 0), 1)
	return m.last
}

// cpuUsed returns the CPU time of a control group, of version 2 or 1.
func cpuUsed(dir string) (time.Duration, bool) {
	for line := range strings.Lines(readSmall(dir, "cpu.stat")) {
		if text, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Duration(n) * time.Microsecond, err == nil
		}
	}
	n, err := strconv.ParseInt(readSmall(dir, "cpuacct/cpuacct.usage"), 10, 64) // nanoseconds
	return time.Duration(n), err == nil
}

// cpuLimit returns how many processors a control group may use: all of the machine's, where it has no limit.
func cpuLimit(dir string) float64 {
	quota, period, _ := strings.Cut(readSmall(dir, "cpu.max"), " ") // microseconds, or "max"
	if quota == "" {
		quota, period = readSmall(dir, "cpu/cpu.cfs_quota_us"), readSmall(dir, "cpu/cpu.cfs_period_us")
	}
	q, errQ := strconv.ParseFloat(quota, 64)
	p, errP := strconv.ParseFloat(period, 64)
	if all := float64(runtime.NumCPU()); errQ != nil || errP != nil || q <= 0 || p <= 0 || q/p > all {
		return all
	}
	return q / p
}

// readSmall returns what a file of the control group holds, without space around it; "" if there is none.
func readSmall(dir, name string) string {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(b))
}
