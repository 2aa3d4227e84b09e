package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// describe tells what the figures were measured on.
func (b *bench) describe(ctx context.Context) (string, error) {
	server, err := b.engine.ServerVersion(ctx)
	if err != nil {
		return "", fmt.Errorf("no container engine answers: %w", err)
	}
	if _, err := b.engine.ImageInspect(ctx, b.image); err != nil {
		return "", fmt.Errorf("%w: make image makes it", err)
	}
	version, err := exec.CommandContext(ctx, b.binary, "version").Output()
	if err != nil {
		return "", fmt.Errorf("%s version: %w", b.binary, err)
	}
	idle, err := idleShare(ctx, 2*time.Second)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("machine  %d × %s, Linux %s, Docker Engine %s\nbuild    %s\nidle     %.0f %% of the processors before it began",
		runtime.NumCPU(), processor(), read("/proc/sys/kernel/osrelease"), server.Version, strings.TrimSpace(string(version)), 100*idle)
	if idle < 0.8 {
		text += ": the machine is busy with other things, and these figures are noise"
	}
	return text, nil
}

// idleShare watches how much of the processors' time goes unused.
func idleShare(ctx context.Context, d time.Duration) (float64, error) {
	look := func() (idle, all float64) {
		// proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; the rest is in user.
		first, _, _ := strings.Cut(read("/proc/stat"), "\n")
		fields := strings.Fields(first)
		for i, field := range fields[1:min(9, len(fields))] {
			n, _ := strconv.ParseFloat(field, 64)
			if all += n; i == 3 || i == 4 {
				idle += n
			}
		}
		return idle, all
	}
	idle, all := look()
	if err := pause(ctx, d); err != nil {
		return 0, err
	}
	idleNow, allNow := look()
	return (idleNow - idle) / max(allNow-all, 1), nil
}

// processor is the model's name.
func processor() string {
	for line := range strings.Lines(read("/proc/cpuinfo")) {
		if name, model, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(model)
		}
	}
	return runtime.GOARCH
}

func read(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(raw))
}
