package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// ErrNoEngine says why no engine of a test's own can be had on this machine.
var ErrNoEngine = errors.New("an engine of the test's own needs root, dockerd, containerd, ip, nsenter and mkfs.ext4")

// Engine is a container engine of a test's own, to which anything may be done: its socket, its
// containerd and its folders are its own, its images, containers and volumes are on a file system of
// its own that can fill up, and its networks and firewall are in a network namespace of its own, as on
// a machine of its own. No other engine on this machine notices it.
//
// Its methods are for one goroutine, but for those of the client and Dial.
type Engine struct {
	*client.Client
	// Config is the engine's configuration file, in JSON, from the next Start on.
	Config string

	dir        string
	name       string // of the namespace
	log        *os.File
	containerd *exec.Cmd // runs as long as the engine's machine, as it does as a service of its own
	process    *exec.Cmd
	exited     chan struct{}
}

// engines counts this process's, to name them.
var engines atomic.Int32

// NewEngine returns an engine with so many bytes of disk, which runs. Close removes it and all it has.
func NewEngine(disk int64) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNoEngine
	}
	for _, program := range []string{"dockerd", "containerd", "ip", "nsenter", "mkfs.ext4"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, ErrNoEngine
		}
	}
	dir, err := os.MkdirTemp("", "kte") // short: a socket's path has 108 bytes
	if err != nil {
		return nil, err
	}
	e := &Engine{dir: dir, name: fmt.Sprintf("kte%d-%d", os.Getpid(), engines.Add(1)), Config: "{}"}
	if err := e.make(disk); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) make(disk int64) error {
	var err error
	if e.log, err = os.Create(filepath.Join(e.dir, "log")); err != nil {
		return err
	}
	if e.Client, err = client.NewClientWithOpts(client.WithHost(e.Host()), client.WithAPIVersionNegotiation()); err != nil {
		return err
	}
	image := filepath.Join(e.dir, "disk")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(disk), f.Close())
	}
	if err != nil {
		return err
	}
	if err := os.Mkdir(e.Disk(), 0o711); err != nil {
		return err
	}
	if err := errors.Join(run("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image), run("mount", "-o", "loop", image, e.Disk())); err != nil {
		// Where there are no loop devices, as in a container, memory has to do.
		if e := run("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%d,mode=711", disk), "tmpfs", e.Disk()); e != nil {
			return errors.Join(err, e)
		}
	}
	for _, command := range [][]string{
		// The namespace outlives the engine, as the machine does.
		{"ip", "netns", "add", e.name},
		{"ip", "netns", "exec", e.name, "ip", "link", "set", "lo", "up"},
	} {
		if err := run(command...); err != nil {
			return err
		}
	}
	if err := e.startContainerd(); err != nil {
		return err
	}
	return e.Start()
}

func (e *Engine) startContainerd() error {
	config := filepath.Join(e.dir, "containerd.toml")
	text := fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		filepath.Join(e.Disk(), "containerd"), filepath.Join(e.dir, "run"), e.containerdSocket())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	e.containerd = e.Command("containerd", "--config", config)
	e.containerd.Stdout, e.containerd.Stderr = e.log, e.log
	return e.containerd.Start() // the engine waits for it
}

func (e *Engine) containerdSocket() string { return filepath.Join(e.dir, "containerd.sock") }

func run(command ...string) error {
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
	}
	return nil
}

// Host returns the engine's address, as in DOCKER_HOST.
func (e *Engine) Host() string { return "unix://" + e.Socket() }

// Socket returns the path of the engine's socket.
func (e *Engine) Socket() string { return filepath.Join(e.dir, "sock") }

// Disk returns the root of the file system that the engine keeps everything on.
func (e *Engine) Disk() string { return filepath.Join(e.dir, "data") }

// Namespace returns the file of the network namespace that is the engine's machine, so to speak.
func (e *Engine) Namespace() string { return "/run/netns/" + e.name }

// Command returns a command that runs on the engine's machine, as far as networks go.
func (e *Engine) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + e.Namespace(), "--", name}, args...)...)
}

// Start runs the engine and waits until it answers.
func (e *Engine) Start() error {
	config := filepath.Join(e.dir, "daemon.json")
	if err := os.WriteFile(config, []byte(e.Config), 0o600); err != nil {
		return err
	}
	args := []string{
		"dockerd", "--host", e.Host(), "--data-root", e.Disk(), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "pid"), "--config-file", config, "--bridge", "none", "--containerd", e.containerdSocket(),
	}
	if _, err := exec.LookPath("docker-init"); err != nil {
		for _, name := range []string{"tini-static", "tini"} {
			if path, err := exec.LookPath(name); err == nil {
				args = append(args, "--init-path", path)
				break
			}
		}
	}
	process := e.Command(args[0], args[1:]...) // nsenter becomes dockerd
	process.Stdout, process.Stderr = e.log, e.log
	if err := process.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	e.process, e.exited = process, exited
	go func() {
		_ = process.Wait()
		close(exited)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		_, err := e.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return fmt.Errorf("the engine ended:\n%s", e.logTail())
		case <-ctx.Done():
			return fmt.Errorf("the engine does not answer: %w\n%s", err, e.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *Engine) logTail() []byte {
	text, _ := os.ReadFile(e.log.Name())
	return text[max(0, len(text)-4000):]
}

// Stop ends the engine in good order, and with it every container, unless "live-restore" is on in its
// configuration.
func (e *Engine) Stop() error {
	if e.process == nil {
		return nil
	}
	_ = e.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-e.exited:
		e.process = nil
		return nil
	case <-time.After(time.Minute):
		e.Kill()
		return errors.New("the engine did not end within a minute of SIGTERM")
	}
}

// Kill ends the engine at once, as a crash would. Its containers run on until the next Start.
func (e *Engine) Kill() {
	_ = e.process.Process.Kill()
	<-e.exited
	e.process = nil
}

// WantState returns an error unless a container is in the state, in the engine's own words.
func (e *Engine) WantState(id, state string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	c, err := e.ContainerInspect(ctx, id)
	if err == nil && c.State.Status != state {
		err = fmt.Errorf("container %.12s is %s, not %s", id, c.State.Status, state)
	}
	return err
}

// Close ends the engine and removes all it has.
func (e *Engine) Close() error {
	var faults []error
	if e.process != nil || e.containerd != nil && e.Start() == nil {
		faults = append(faults, e.removeContainers())
	}
	faults = append(faults, e.Stop())
	if e.containerd != nil {
		_ = e.containerd.Process.Signal(syscall.SIGTERM)
		_ = e.containerd.Wait()
	}
	e.endShims()
	if e.Client != nil {
		_ = e.Client.Close()
	}
	if e.log != nil {
		_ = e.log.Close()
	}
	_ = run("umount", "-R", "-l", e.Disk())
	_ = run("ip", "netns", "delete", e.name)
	// Network namespaces of containers are mounted below.
	mounts, _ := filepath.Glob(filepath.Join(e.dir, "exec", "netns", "*"))
	for _, m := range mounts {
		_ = syscall.Unmount(m, syscall.MNT_DETACH)
	}
	return errors.Join(append(faults, os.RemoveAll(e.dir))...)
}

// endShims ends what an engine that was killed forgot: containers that nobody knows any more, and the
// processes that look after them, which name the containerd that they belong to.
func (e *Engine) endShims() {
	processes, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range processes {
		line, _ := os.ReadFile(path)
		if !strings.Contains(string(line), "containerd-shim") || !strings.Contains(string(line), e.containerdSocket()) {
			continue
		}
		shim := filepath.Base(filepath.Dir(path))
		children, _ := os.ReadFile(filepath.Join("/proc", shim, "task", shim, "children"))
		for _, id := range append(strings.Fields(string(children)), shim) {
			if pid, err := strconv.Atoi(id); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
}

func (e *Engine) removeContainers() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	list, err := e.ContainerList(ctx, container.ListOptions{All: true})
	faults := []error{err}
	for _, c := range list {
		faults = append(faults, e.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}))
	}
	return errors.Join(faults...)
}
