package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/kalpana-dev/kalpana/bridge"
)

// nothingToUnset is what git config exits with: git-config(1).
const nothingToUnset = 5

// setGitIdentity serves bridge.MethodSetGitIdentity.
func (s *Server) setGitIdentity(ctx context.Context, who bridge.GitIdentity) (*bridge.SetGitIdentityResult, error) {
	s.identifying.Lock() // git refuses to write a file that another git is writing
	defer s.identifying.Unlock()
	file := filepath.Join(filepath.Dir(s.cfg.LocalSocket), bridge.GitConfig)
	for _, setting := range [][2]string{{"user.name", who.Name}, {"user.email", who.Email}} {
		args := []string{"config", "--file", file, "--replace-all", setting[0], setting[1]}
		if setting[1] == "" {
			args = []string{"config", "--file", file, "--unset-all", setting[0]}
		}
		out, err := exec.CommandContext(ctx, "git", args...).CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == nothingToUnset {
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("git config: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	return &bridge.SetGitIdentityResult{}, nil
}
