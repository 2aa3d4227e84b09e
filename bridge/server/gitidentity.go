package server

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/kalpana-dev/kalpana/bridge"
)

// setGitIdentity serves bridge.MethodSetGitIdentity.
func (s *Server) setGitIdentity(ctx context.Context, who bridge.GitIdentity) (*bridge.SetGitIdentityResult, error) {
	s.identifying.Lock() // git refuses to write a file that another git is writing
	defer s.identifying.Unlock()
	file := filepath.Join(filepath.Dir(s.cfg.LocalSocket), bridge.GitConfig)
	for _, setting := range [][2]string{{"user.name", who.Name}, {"user.email", who.Email}} {
		out, err := exec.CommandContext(ctx, "git", "config", "--file", file, "--replace-all", setting[0], setting[1]).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("git config: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	return &bridge.SetGitIdentityResult{}, nil
}
