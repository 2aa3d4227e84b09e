// Package server is the container's side of the bridge: it prepares the workspace folder, runs code-server,
// and serves the two ports that package bridge describes.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/upstream"
)

// Config is what a container needs to know. Zero values of the second part mean the image's layout.
type Config struct {
	WorkspaceID string
	// Token must come with every request: 64 hexadecimal digits.
	Token string
	// PreviewURI becomes code-server's VSCODE_PROXY_URI. Optional.
	PreviewURI string
	// Template names a folder in TemplatesDir. Optional.
	Template string
	// Repository is cloned into an empty workspace folder. Optional; see checkRepository.
	Repository string
	// Version is what health reports.
	Version string

	// IDEAddr and BridgeAddr are the addresses to listen on, by default ":8080" and ":3001".
	IDEAddr, BridgeAddr string
	// WorkspaceDir is the workspace folder. Its parent must be on the same file system.
	WorkspaceDir string
	TemplatesDir string
	// CodeServer is the command to which the options are appended, by default code-server.
	CodeServer []string
	// EditorDir is the folder of VS Code's server, by default where the image has code-server's.
	EditorDir string
	// LocalSocket is where the container's own processes speak with the bridge, by default
	// bridge.LocalSocket.
	LocalSocket string
	// OwnsProcesses says that this is the container's first program: at the end, whatever else runs is asked
	// to end as well.
	OwnsProcesses bool
	// RunDir is where the private folder for the socket is made, by default the system's for
	// temporary files.
	RunDir string
	// Env is the environment of every child, by default this process's; the token is removed from it.
	Env []string
	// Methods are served beside the bridge's own, which they do not replace; they get the parameters as they came. The
	// program in the image has none: benchmarks do.
	Methods map[string]func(context.Context, json.RawMessage) (any, error) `json:"-"`
	// Stdout gets the start log and code-server's output, by default os.Stdout.
	Stdout io.Writer

	terminalsDir, cgroupDir string // of the kernel, but in tests
	watchFolders            int    // bridge.MaxWatchFolders, but in tests

	credentialHelper string // git's, which asks this bridge; "" means the image's

	timing timing
}

// timing holds what tests shorten.
type timing struct {
	readyHold   time.Duration // of a request on bridge.ReadyPath
	requestHold time.Duration // of a request that came too early
	seedHold    time.Duration // how long ready waits for the workspace folder
	stopGrace   time.Duration // between SIGTERM and SIGKILL
	backoff     time.Duration // before the first restart; doubles up to maxBackoff
	gatewayWait time.Duration // for one that can be asked for a credential
	stall       time.Duration // what upstream.Stalling bounds
	stream      bridge.Timing
}

const maxBackoff = 30 * time.Second

// ConfigFromEnv reads the variables that the gateway gives to a container.
func ConfigFromEnv(getenv func(string) string) Config {
	return Config{
		WorkspaceID: getenv(bridge.EnvWorkspaceID),
		Token:       getenv(bridge.EnvToken),
		PreviewURI:  getenv(bridge.EnvPreviewURI),
		Template:    getenv(bridge.EnvTemplate),
		Repository:  getenv(bridge.EnvRepository),
	}
}

var tokenForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// complete fills in the defaults and refuses what cannot work.
func (c *Config) complete() error {
	if !tokenForm.MatchString(c.Token) {
		return fmt.Errorf("%s must be 64 hexadecimal digits", bridge.EnvToken)
	}
	setDefault(&c.Version, "dev")
	setDefault(&c.IDEAddr, fmt.Sprintf(":%d", bridge.IDEPort))
	setDefault(&c.BridgeAddr, fmt.Sprintf(":%d", bridge.BridgePort))
	setDefault(&c.WorkspaceDir, bridge.WorkspaceDir)
	setDefault(&c.TemplatesDir, bridge.TemplatesDir)
	setDefault(&c.EditorDir, "/usr/local/lib/code-server/lib/vscode")
	setDefault(&c.LocalSocket, bridge.LocalSocket)
	setDefault(&c.terminalsDir, ptsDir)
	setDefault(&c.cgroupDir, cgroupDir)
	setDefault(&c.RunDir, os.TempDir())
	if !filepath.IsAbs(c.WorkspaceDir) {
		return errors.New("the workspace folder must be an absolute path")
	}
	c.WorkspaceDir = filepath.Clean(c.WorkspaceDir)
	if len(c.CodeServer) == 0 {
		c.CodeServer = []string{"code-server"}
	}
	if c.Env == nil {
		c.Env = os.Environ()
	}
	c.Env = childEnv(c.Env, c.Token)
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	setDefault(&c.timing.readyHold, bridge.ReadyHold)
	setDefault(&c.timing.requestHold, bridge.RequestHold)
	setDefault(&c.timing.seedHold, 30*time.Second)
	setDefault(&c.timing.stopGrace, 8*time.Second)
	setDefault(&c.timing.backoff, time.Second)
	setDefault(&c.timing.gatewayWait, defaultGatewayWait)
	setDefault(&c.credentialHelper, "/usr/local/bin/kalpana git-credential")
	setDefault(&c.timing.stall, upstream.StallLimit)
	setDefault(&c.timing.stream, bridge.DefaultTiming)
	return nil
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// childEnv is env without the token: without its variable, and without any other that has its value.
func childEnv(env []string, token string) []string {
	out := make([]string, 0, len(env))
	for _, kv := range env {
		if !strings.HasPrefix(kv, bridge.EnvToken+"=") && !strings.Contains(kv, token) {
			out = append(out, kv)
		}
	}
	return out
}

// checkRepository returns why address is not a repository that may be cloned: only public ones over http
// and https may, so there is no user or password in it (it would be stored in the workspace).
func checkRepository(address string) error {
	u, err := url.Parse(address)
	switch {
	case len(address) > 2048:
		return errors.New("the address is too long")
	case strings.HasPrefix(address, "-"), err != nil, strings.ContainsFunc(address, notInAddress):
		return errors.New("this is not an address")
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("only https:// and http:// addresses can be cloned")
	case u.Hostname() == "":
		return errors.New("the address has no host")
	case u.User != nil:
		return errors.New("the address must not hold a user or password")
	}
	return nil
}

func notInAddress(r rune) bool { return r <= ' ' || r == 0x7f }
