package server

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kalpana-dev/kalpana/bridge"
)

// setGitIdentity serves bridge.MethodSetGitIdentity. Git sees all of it at once.
func (s *Server) setGitIdentity(ctx context.Context, who bridge.GitIdentity) (*bridge.SetGitIdentityResult, error) {
	s.identifying.Lock()
	defer s.identifying.Unlock()
	file := filepath.Join(filepath.Dir(s.cfg.LocalSocket), bridge.GitConfig)
	fresh := file + ".new"
	if err := os.WriteFile(fresh, nil, 0o600); err != nil {
		return nil, err
	}
	for _, setting := range [][2]string{{"user.name", who.Name}, {"user.email", who.Email}} {
		if setting[1] == "" {
			continue
		}
		out, err := exec.CommandContext(ctx, "git", "config", "--file", fresh, setting[0], setting[1]).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("git config: %w: %s", err, bytes.TrimSpace(out))
		}
	}
	return &bridge.SetGitIdentityResult{}, os.Rename(fresh, file)
}
