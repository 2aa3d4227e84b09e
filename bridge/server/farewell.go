package server

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// VS Code keeps unsaved text (hot exit) one second after the last change, or two where it saves by itself. Who
	// has typed just before the end is given that time; the extension tells of typing every ten seconds at most.
	typedLately = 12 * time.Second
	keepsAfter  = 2500 * time.Millisecond
	// othersGrace is how long programs of the container may take to end before VS Code, and with it their terminals.
	othersGrace = 3 * time.Second
	// leastGrace is what is left for VS Code in any case.
	leastGrace = time.Second
)

// farewell prepares the end of the container: VS Code keeps what was typed, and the programs that run in it are
// asked to end while their terminals are still there. It returns how much of the grace is left for VS Code.
func (s *Server) farewell(e *editor) time.Duration {
	began := time.Now()
	if ago, ok := s.activities.since(bridge.ActivityTyping); ok && ago < typedLately {
		time.Sleep(min(keepsAfter, s.cfg.timing.stopGrace/2))
	}
	if s.cfg.OwnsProcesses {
		endOthers(procDir, int(e.group.Load()), othersGrace)
	}
	return max(s.cfg.timing.stopGrace-time.Since(began), leastGrace)
}

const procDir = "/proc"

// endOthers sends SIGTERM to every process that is not of the given group, and waits for them at most so long. One
// that ignores the signal, as a shell with a terminal does, is not waited for.
func endOthers(proc string, group int, wait time.Duration) {
	asked := others(proc, group)
	for _, pid := range asked {
		_ = syscall.Kill(pid, syscall.SIGTERM)
	}
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left := asked[:0]
		for _, pid := range asked {
			if alive(proc, pid) {
				left = append(left, pid)
			}
		}
		if asked = left; len(asked) == 0 {
			return
		}
	}
}

// others returns the processes that SIGTERM may end: not this one, the first one (the container's init), or those
// of group.
func others(proc string, group int) (pids []int) {
	dirs, _ := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid <= 1 || pid == os.Getpid() || !heedsTerm(dir) {
			continue
		}
		if g, err := syscall.Getpgid(pid); err == nil && g != group {
			pids = append(pids, pid)
		}
	}
	return pids
}

// heedsTerm reports whether a process is there and does not ignore SIGTERM: proc_pid_status(5).
func heedsTerm(dir string) bool {
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil || bytes.Contains(status, []byte("\nState:\tZ")) {
		return false
	}
	_, rest, ok := strings.Cut(string(status), "\nSigIgn:\t")
	mask, _, _ := strings.Cut(rest, "\n")
	ignored, err := strconv.ParseUint(mask, 16, 64)
	return ok && err == nil && ignored&(1<<(syscall.SIGTERM-1)) == 0
}

func alive(proc string, pid int) bool {
	status, err := os.ReadFile(filepath.Join(proc, strconv.Itoa(pid), "status"))
	return err == nil && !bytes.Contains(status, []byte("\nState:\tZ"))
}
