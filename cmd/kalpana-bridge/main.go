// Command kalpana-bridge is the first program of a workspace container: see package bridge. Under the name of
// "kalpana" it is the command for the people inside: see package cli.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/cli"
	"github.com/kalpana-dev/kalpana/bridge/server"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	if filepath.Base(os.Args[0]) == "kalpana" {
		os.Exit(cli.Run(os.Args[1:], bridge.LocalSocket, os.Stdin, os.Stdout, os.Stderr))
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	cfg := server.ConfigFromEnv(os.Getenv)
	cfg.Version = version
	// The container's init is 1 or has it as its only child.
	cfg.OwnsProcesses = os.Getpid() == 1 || os.Getppid() == 1
	if err := os.Unsetenv(bridge.EnvToken); err != nil { // No child gets it.
		return err
	}
	s, err := server.New(cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
