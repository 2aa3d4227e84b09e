package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	few      = 32      // connections: no more than Caddy keeps to one address while they are idle
	many     = 128     // what some twenty browsers open
	bodySize = 1 << 10 // bytes, of the back end's answer
	warmUp   = time.Second
)

// load is what one run found.
type load struct {
	requests int64
	wall     time.Duration
	cpu      time.Duration // of the process that was watched
}

func (l load) rate() float64      { return float64(l.requests) / l.wall.Seconds() }
func (l load) cpuMicros() float64 { return float64(l.cpu.Microseconds()) / float64(l.requests) }

// wrkScript has wrk say what it found in a form of ours. It is asked at the end alone: the requests cost what
// they cost without it.
const wrkScript = `function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format("\nfound %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
		e.connect + e.read + e.write + e.status + e.timeout))
end
`

// generate sends the same GET over and over, on so many keep-alive connections, for a while: from wrk, which takes
// less of the processors from the proxy than a client of Go's. Each answer must be a good one, of 1 KiB.
func (b *bench) generate(ctx context.Context, addr string, request []byte, connections int, watched *process, d time.Duration) (load, error) {
	script := filepath.Join(b.tempDir(), "found.lua")
	if err := os.WriteFile(script, []byte(wrkScript), 0o600); err != nil {
		return load{}, err
	}
	args := []string{"--threads", "1", "--connections", strconv.Itoa(connections), "--script", script}
	first, rest, _ := strings.Cut(strings.TrimSpace(string(request)), "\r\n")
	for field := range strings.SplitSeq(rest, "\r\n") {
		args = append(args, "--header", field)
	}
	address := "http://" + addr + strings.Fields(first)[1]
	run := func(d time.Duration) (l load, err error) {
		out, err := exec.CommandContext(ctx, "wrk", append(args, "--duration", fmt.Sprintf("%.0fs", d.Seconds()), address)...).CombinedOutput()
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return l, fmt.Errorf("%w: scripts/deps.sh bench installs wrk", err)
		case err != nil:
			return l, fmt.Errorf("%w: %s", err, out)
		}
		at := bytes.LastIndex(out, []byte("found "))
		if at < 0 {
			return l, fmt.Errorf("wrk said %q", out)
		}
		var micros, size, faults int64
		if _, err := fmt.Sscanf(string(out[at:]), "found %d %d %d %d", &l.requests, &micros, &size, &faults); err != nil {
			return l, fmt.Errorf("wrk said %q: %w", out, err)
		}
		l.wall = time.Duration(micros) * time.Microsecond
		if faults > 0 || size < l.requests*bodySize || l.requests == 0 {
			return l, fmt.Errorf("%d of %d answers were no good: %s", faults, l.requests, out)
		}
		return l, nil
	}
	if _, err := run(warmUp); err != nil {
		return load{}, err
	}
	if watched == nil {
		return run(d)
	}
	before, err := watched.cpuTime()
	if err != nil {
		return load{}, err
	}
	l, err := run(d)
	if err != nil {
		return load{}, err
	}
	after, err := watched.cpuTime()
	l.cpu = after - before
	return l, err
}
