package server

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestGitIdentity_GitCommitsInTheNameOfTheOwner(t *testing.T) {
	c := start(t, "never", quick)
	config := filepath.Join(filepath.Dir(c.cfg.LocalSocket), bridge.GitConfig) // which the image's configuration includes
	for _, who := range []bridge.GitIdentity{
		{Name: `Asha "Ash" Rao; # \`, Email: "asha@example.com"},
		{Name: "Asha Rao", Email: "asha@example.org"}, // after a change
		{}, // since she took it back
		{},
	} {
		if err := c.dial().SetGitIdentity(t.Context(), who); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("git", "config", "--file", config, "--get-regexp", "^user").Output()
		want := "user.name " + who.Name + "\nuser.email " + who.Email + "\n"
		if who.Name == "" {
			want, err = "", nil // git's word for nothing
		}
		if string(out) != want || err != nil {
			t.Errorf("git knows %q (%v), want %q", out, err, want)
		}
	}
}
