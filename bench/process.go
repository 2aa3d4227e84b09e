package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
)

// process is one that the benchmark started. It is in a process group of its own, so that Ctrl+C
// reaches the benchmark alone, which then ends things in their order.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    *harness.Log
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{}), log: new(harness.Log)}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stderr = p.log
	if cmd.Stdout == nil {
		cmd.Stdout = p.log
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop ends the process in good order, or after 20 s at once.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// await calls try every 50 ms until it returns nil.
func (p *process) await(ctx context.Context, try func() error) error {
	for deadline := time.Now().Add(30 * time.Second); ; {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended:\n%s", p.cmd.Path, p.log.Tail())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w\n%s", p.cmd.Path, err, p.log.Tail())
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// cpuTime is what the process has used so far, in user and kernel mode.
func (p *process) cpuTime() (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	// proc_pid_stat(5): the name is in parentheses and may hold anything; utime is field 14 and
	// stime field 15, in ticks of 10 ms, which is the same on every Linux that Go supports.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("cannot read /proc/<pid>/stat")
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// installation is a Kalpana with a data directory of its own, and one signed-in client.
type installation struct {
	*process
	binary string
	env    []string
	admin  string // the socket of its admin endpoint
	port   int
	client *client
}

// install starts the gateway with the checkout's Caddyfile, and more in its environment. dir is an empty directory.
func install(ctx context.Context, binary, dir, image string, more ...string) (*installation, error) {
	port, err := harness.FreePort()
	if err != nil {
		return nil, err
	}
	metrics, err := harness.FreePort()
	if err != nil {
		return nil, err
	}
	i := &installation{binary: binary, port: port, admin: filepath.Join(dir, "admin.sock")}
	first := 40000 + (os.Getpid()*7+port)%9000
	i.env = append(os.Environ(),
		"KALPANA_DATA_DIR="+dir, "KALPANA_IMAGE="+image, "KALPANA_PORT="+strconv.Itoa(port),
		"KALPANA_METRICS_PORT="+strconv.Itoa(metrics), fmt.Sprintf("KALPANA_PORTS=%d-%d", first, first+999),
		// What a developer's shell may have set would be another installation's.
		"KALPANA_BIND=127.0.0.1", "KALPANA_SCHEME=http", "KALPANA_HOST=kalpana.localhost",
		"KALPANA_WORKSPACES=ws.kalpana.localhost", "KALPANA_AUTO_HTTPS=disable_redirects", "KALPANA_GLOBAL_OPTIONS=",
		"KALPANA_RUNNING_LIMIT=unlimited",
		"KALPANA_SERVER_OPTIONS=", "KALPANA_OPTIONS=rate_limits off", // everything comes from one address
		"OPENROUTER_API_KEY=",
	)
	i.env = append(i.env, more...)
	if err := i.start(); err != nil {
		return nil, err
	}
	var link string
	err = i.await(ctx, func() error {
		cmd := exec.CommandContext(ctx, binary, "sign-in-link")
		cmd.Env = i.env
		out, err := cmd.Output()
		link = strings.TrimSpace(string(out))
		return err
	})
	if err == nil {
		i.client, err = signIn(ctx, fmt.Sprintf("http://kalpana.localhost:%d", port), link)
	}
	if err != nil {
		i.stop()
		return nil, err
	}
	return i, nil
}

// start runs the gateway, also again.
func (i *installation) start() (err error) {
	cmd := exec.Command(i.binary, "run", "--config", "Caddyfile", "--adapter", "caddyfile")
	cmd.Env = i.env
	i.process, err = startProcess(cmd)
	return err
}

// startCaddy starts the same build with one site of plain Caddy, and returns its port. Its admin endpoint is
// admin.sock in dir.
func startCaddy(ctx context.Context, binary, dir, site string) (*process, int, error) {
	port, err := harness.FreePort()
	if err != nil {
		return nil, 0, err
	}
	config := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf(`{
	admin unix/%s/admin.sock
	auto_https off
	persist_config off
	default_bind 127.0.0.1
}

http://:%d {
%s
}
`, dir, port, site)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, 0, err
	}
	cmd := exec.Command(binary, "run", "--config", config, "--adapter", "caddyfile")
	cmd.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	p, err := startProcess(cmd)
	if err != nil {
		return nil, 0, err
	}
	if err := p.await(ctx, func() error { return answersOK(ctx, port) }); err != nil {
		p.stop()
		return nil, 0, err
	}
	return p, port, nil
}

// answersOK asks a server on this machine for its first page.
func answersOK(ctx context.Context, port int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

// toBackend is the line of a plain Caddy that must send the workspace's token, as the gateway does.
func toBackend(addr, token string) string {
	return fmt.Sprintf("\treverse_proxy %s {\n\t\theader_up X-Kalpana-Token %s\n\t}", addr, token)
}
