package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// bridgeEnv makes this test binary a bridge, as cmd/kalpana-bridge is: its value is a Config as JSON. It prints its
// address when it serves.
const bridgeEnv = "TEST_BRIDGE"

func bridgeProcess(config string) int {
	var cfg Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return 2
	}
	cfg.Stdout = io.Discard
	_ = os.Unsetenv(bridgeEnv)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := New(cfg)
	if err != nil {
		return 2
	}
	_, _ = os.Stdout.WriteString(s.BridgeAddr() + "\n")
	if err := s.Run(ctx); err != nil {
		return 1
	}
	return 0
}

// killable is a bridge that is the first process of a PID namespace, as in a container: the kernel ends all others
// with it (pid_namespaces(7)). All of them have mark in their environment.
type killable struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	mark string
}

func startKillable(t *testing.T) *killable {
	t.Helper()
	home := t.TempDir()
	workspace := filepath.Join(home, "workspace")
	if err := os.Mkdir(workspace, 0o755); err != nil {
		t.Fatal(err)
	}
	runDir, err := os.MkdirTemp("", "kb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runDir) })
	k := &killable{t: t, mark: "KALPANA_TEST_MARK=" + bridge.NewCommandID()}
	config, err := json.Marshal(Config{
		Token: testToken, IDEAddr: "127.0.0.1:0", BridgeAddr: "127.0.0.1:0", WorkspaceDir: workspace, TemplatesDir: filepath.Join(home, "templates"),
		LocalSocket: filepath.Join(runDir, "local.sock"), CodeServer: []string{os.Args[0]}, RunDir: runDir,
		Env: append(os.Environ(), "HOME="+home, k.mark, fakeEditorEnv+"=serve"),
	})
	if err != nil {
		t.Fatal(err)
	}
	k.cmd = exec.Command(os.Args[0])
	k.cmd.Env = append(os.Environ(), k.mark, bridgeEnv+"="+string(config))
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if os.Getuid() != 0 {
		k.cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		k.cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		k.cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	stdout, err := k.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Start(); errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSPC) {
		t.Skipf("this machine makes no PID namespaces for us: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.cmd.Process.Kill(); _ = k.cmd.Wait() })
	addr, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	k.addr = strings.TrimSpace(addr)
	return k
}

func (k *killable) dial() *bridge.Client {
	k.t.Helper()
	cl, err := bridge.Dial(k.t.Context(), k.addr, testToken)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { cl.Close() })
	return cl
}

// processes are the processes that are there, by their command lines.
func (k *killable) processes() (all []string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		env, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err != nil || !bytes.Contains(env, []byte(k.mark)) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		all = append(all, strings.ReplaceAll(string(line), "\x00", " "))
	}
	return all
}

// busy has everything run in the bridge that can.
func (k *killable) busy() {
	k.t.Helper()
	cl := k.dial()
	for range 4 {
		if _, err := cl.StartCommand(k.t.Context(), bridge.StartCommandParams{Command: `trap "" TERM HUP; sleep 1001 & setsid sleep 1002 & wait`}); err != nil {
			k.t.Fatal(err)
		}
		if _, err := cl.CreateTerminal(k.t.Context(), bridge.CreateTerminalParams{Argv: []string{"bash", "-c", `trap "" TERM HUP; sleep 1003 & sleep 1004`}}); err != nil {
			k.t.Fatal(err)
		}
		go func() {
			_, _ = cl.RunCommandLive(k.t.Context(), bridge.RunCommandParams{Command: `trap "" TERM; (setsid sleep 1005 &) ; sleep 1006 & while :; do echo busy; sleep 0.01; done`}, func([]byte) error { return nil })
		}()
	}
}

func TestKill_ABridgeThatIsKilledLeavesNoProcessBehind(t *testing.T) {
	t.Parallel()
	k := startKillable(t)
	k.busy()
	eventually(t, "all run", func() bool { return len(k.processes()) >= 1+4*(3+3+4) })
	if err := k.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = k.cmd.Wait()
	eventually(t, "none is left", func() bool { return len(k.processes()) == 0 })
}

func TestKill_AtAnyPoint(t *testing.T) {
	t.Parallel()
	for range 5 {
		k := startKillable(t)
		timer := time.AfterFunc(time.Duration(rand.IntN(150))*time.Millisecond, func() { _ = k.cmd.Process.Kill() })
		// What was begun may fail: the bridge goes away in the middle of it.
		if cl, err := bridge.Dial(t.Context(), k.addr, testToken); err == nil {
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					_, _ = cl.StartCommand(t.Context(), bridge.StartCommandParams{Command: "setsid sleep 1000 & sleep 1001"})
					_, _ = cl.CreateTerminal(t.Context(), bridge.CreateTerminalParams{Argv: []string{"sleep", "1002"}})
					_, _ = cl.RunCommand(t.Context(), bridge.RunCommandParams{Command: "setsid sleep 1003 & sleep 1004"})
				})
			}
			all.Wait()
			cl.Close()
		}
		_ = k.cmd.Wait()
		timer.Stop()
		eventually(t, "none is left", func() bool { return len(k.processes()) == 0 })
	}
}

func TestKill_AStopLeavesNoProcessBehindEither(t *testing.T) {
	t.Parallel()
	k := startKillable(t)
	k.busy()
	eventually(t, "all run", func() bool { return len(k.processes()) >= 1+4*(3+3+4) })
	if err := k.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := k.cmd.Wait(); err != nil {
		t.Error(err)
	}
	eventually(t, "none is left", func() bool { return len(k.processes()) == 0 })
}
