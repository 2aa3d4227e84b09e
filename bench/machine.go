package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
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
	load := read("/proc/loadavg")
	text := fmt.Sprintf("machine  %d × %s, Linux %s, Docker Engine %s\nbuild    %s\nload     %s",
		runtime.NumCPU(), processor(), read("/proc/sys/kernel/osrelease"), server.Version, strings.TrimSpace(string(version)), load)
	if minute, err := strconv.ParseFloat(strings.Fields(load + " 0")[0], 64); err == nil && minute > float64(runtime.NumCPU())/2 {
		text += "\n         The machine is busy: these figures are noise."
	}
	return text, nil
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
