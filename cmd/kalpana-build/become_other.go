//go:build !unix

package main

import (
	"errors"
	"os"
	"os/exec"
)

// become runs program in place of this process, as closely as the system allows.
func become(program string, args []string) (exitCode int, err error) {
	cmd := exec.Command(program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, err
}
