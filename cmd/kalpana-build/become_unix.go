//go:build unix

package main

import (
	"os"
	"syscall"
)

// become replaces this process, so that killing it kills go.
func become(program string, args []string) (exitCode int, err error) {
	return 0, syscall.Exec(program, append([]string{program}, args...), os.Environ())
}
