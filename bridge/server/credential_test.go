package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/bridge/cli"
	"github.com/kalpana-dev/kalpana/workspace"
)

// helperEnv makes this test binary the credential helper: it names the bridge's socket.
const helperEnv = "KALPANA_TEST_CREDENTIAL_HELPER"

func init() {
	if socket := os.Getenv(helperEnv); socket != "" && len(os.Args) > 1 && os.Args[1] == "git-credential" {
		os.Exit(cli.Run(os.Args[1:], socket, os.Stdin, os.Stdout, os.Stderr))
	}
}

type signer func(ctx context.Context, id workspace.ID, p bridge.GitCredentialParams) (bridge.Credential, error)

// gateway connects one that answers so, until the test ends.
func (c *container) gateway(answer signer) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	handlers := map[string]bridge.Handler{}
	if answer != nil {
		handlers[bridge.MethodGitCredential] = bridge.HandleGitCredential(answer)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = bridge.Answer(ctx, bridge.Endpoint{Addr: c.BridgeAddr(), Token: testToken}, "abcdefghij", handlers, nil)
	}()
	c.t.Cleanup(func() { cancel(); <-ended })
}

func (c *container) credential(repository string) (int, string) {
	body, _ := json.Marshal(bridge.GitCredentialParams{Protocol: "https", Host: "git.example.com", Path: repository})
	return c.local(http.MethodPost, bridge.LocalCredentialPath, string(body))
}

func quick(cfg *Config) {
	cfg.timing.stopGrace, cfg.timing.gatewayWait = 20_000_000, 200_000_000 // nanoseconds
}

func TestCredential_OneOfSeveralGatewaysHasIt(t *testing.T) {
	c := start(t, "never", quick)
	c.gateway(nil) // an older one, which knows of no such method
	c.gateway(func(context.Context, workspace.ID, bridge.GitCredentialParams) (bridge.Credential, error) {
		return bridge.Credential{}, errors.New("ask there, not here")
	})
	c.gateway(func(_ context.Context, id workspace.ID, p bridge.GitCredentialParams) (bridge.Credential, error) {
		return bridge.Credential{Username: string(id), Password: p.Host + " " + p.Path}, nil
	})
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if status, _ := c.credential("acme/shop"); status == http.StatusOK {
			break // it has connected
		}
	}
	for range 3 {
		if status, body := c.credential("acme/shop"); status != http.StatusOK || !strings.Contains(body, `"password":"git.example.com acme/shop"`) {
			t.Fatalf("%d %s", status, body)
		}
	}
}

func TestCredential_SaysWhyThereIsNone(t *testing.T) {
	c := start(t, "never", quick)
	if status, body := c.credential("acme/shop"); status != http.StatusForbidden || !strings.Contains(body, "no gateway") {
		t.Errorf("without a gateway: %d %s", status, body)
	}
	c.gateway(func(context.Context, workspace.ID, bridge.GitCredentialParams) (bridge.Credential, error) {
		return bridge.Credential{}, errors.New("the owner said no\x1b[31m")
	})
	if status, body := c.credential("acme/shop"); status != http.StatusForbidden || !strings.Contains(body, "the owner said no\uFFFD[31m") {
		t.Errorf("refused: %d %q", status, body)
	}
	if status, body := c.credential(""); status != http.StatusForbidden || !strings.Contains(body, "no path") {
		t.Errorf("without a path: %d %s", status, body)
	}
}

func TestCredential_AGatewayThatComesLateIsAskedToo(t *testing.T) {
	c := start(t, "never", quick, func(cfg *Config) { cfg.timing.gatewayWait = 30_000_000_000 })
	answered := make(chan string, 1)
	go func() {
		_, body := c.credential("acme/shop")
		answered <- body
	}()
	c.gateway(func(context.Context, workspace.ID, bridge.GitCredentialParams) (bridge.Credential, error) {
		return bridge.Credential{Username: "ann", Password: "late"}, nil
	})
	if body := <-answered; !strings.Contains(body, "late") {
		t.Error(body)
	}
}

// gitServer serves bare repositories below a folder over HTTP, to who signs in with the password.
func gitServer(t *testing.T, password string) (root, address string) {
	t.Helper()
	exe, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	backend := filepath.Join(strings.TrimSpace(string(exe)), "git-http-backend")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			http.Error(w, "sign in", http.StatusUnauthorized)
			return
		}
		(&cgi.Handler{
			Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ann", "PATH=" + os.Getenv("PATH")},
		}).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return root, server.URL
}

func TestCredential_GitClonesAndPushesWithIt(t *testing.T) {
	root, address := gitServer(t, "s3cret")
	sh := func(dir, script string, env ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", script)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "HOME="+t.TempDir(),
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := sh(root, "git init -q -b main --bare shop.git; git -C shop.git config http.receivepack true"); err != nil {
		t.Fatal(out)
	}
	c := start(t, "never", quick)
	var asked []bridge.GitCredentialParams
	c.gateway(func(_ context.Context, _ workspace.ID, p bridge.GitCredentialParams) (bridge.Credential, error) {
		asked = append(asked, p)
		return bridge.Credential{Username: "ann", Password: "s3cret"}, nil
	})
	config := []string{
		helperEnv + "=" + c.cfg.LocalSocket,
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=credential.useHttpPath", "GIT_CONFIG_VALUE_0=true",
		"GIT_CONFIG_KEY_1=credential.helper", "GIT_CONFIG_VALUE_1=" + os.Args[0] + " git-credential",
	}
	work := t.TempDir()
	out, err := sh(work, `git clone -q `+address+`/shop.git shop; cd shop; git switch -qc main; echo x >x; git add x; git commit -qm x; git push -q origin main`, config...)
	if err != nil {
		t.Fatal(out)
	}
	if out, err := sh(root, "git -C shop.git log --format=%s main"); err != nil || out != "x\n" {
		t.Errorf("the server has %q, %v", out, err)
	}
	if len(asked) == 0 || asked[0].Path != "shop.git" || "http://"+asked[0].Host != address {
		t.Errorf("asked for %+v", asked)
	}
	if out, _ := sh(work, `grep -r s3cret . || true`); out != "" {
		t.Errorf("the secret is kept in %s", out)
	}
	if out, err := sh(work, `git clone -q `+address+`/shop.git again`); err == nil {
		t.Errorf("without the helper it signs in: %s", out)
	}
}

func TestCredential_AFirstCloneSaysWhyItCouldNotSignIn(t *testing.T) {
	_, address := gitServer(t, "s3cret")
	c := start(t, "serve", quick, template, func(cfg *Config) {
		cfg.Repository, cfg.timing.gatewayWait = address+"/shop.git", 30_000_000_000
		cfg.credentialHelper = os.Args[0] + " git-credential"
		cfg.Env = append(cfg.Env, helperEnv+"="+cfg.LocalSocket)
	})
	c.gateway(func(context.Context, workspace.ID, bridge.GitCredentialParams) (bridge.Credential, error) {
		return bridge.Credential{}, errors.New("add a token in the settings")
	})
	c.waitReady()
	if want := "NOTE: the repository could not be cloned: add a token in the settings\n"; !strings.Contains(c.log.String(), want) {
		t.Errorf("the log says\n%s", c.log)
	}
}
