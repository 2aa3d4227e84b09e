package docker

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dialled returns what the container's program on port 80 says.
func dialled(t *testing.T, r *Runtime, id string) (string, error) {
	t.Helper()
	conn, err := r.Dial(t.Context(), id, 80)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	b, err := io.ReadAll(io.LimitReader(conn, 8))
	return string(b), err
}

func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && errors.Is(err, syscall.ECONNREFUSED)
}

func TestDial_ReachesAContainerWithoutAPublishedPort(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := create(t, r, spec(t, r, "serve 80")) // publishes nothing
	if _, err := r.Dial(t.Context(), id, 80); !isRefused(err) {
		t.Fatalf("a container that was never started: %v", err)
	}
	for round := range 3 {
		if err := r.Start(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is reached", func() bool {
			said, err := dialled(t, r, id)
			if err != nil && !isRefused(err) { // not listening yet
				t.Fatalf("round %d: %v", round, err)
			}
			return said == "port 80\n"
		})
		if _, err := r.Dial(t.Context(), id, 81); !isRefused(err) {
			t.Errorf("a port on which nothing listens: %v", err)
		}
		if err := r.Stop(t.Context(), id, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Dial(t.Context(), id, 80); !isRefused(err) {
			t.Errorf("after Stop: %v", err)
		}
	}
	if err := r.Remove(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Dial(t.Context(), id, 80); !isRefused(err) {
		t.Errorf("after Remove: %v", err)
	}
	if r.noNamespaces.Load() {
		t.Error("a container that ended made the runtime give up on namespaces")
	}
}

func TestDial_LeavesEveryThreadInTheHostsNamespace(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := run(t, r, spec(t, r, "serve 80"))
	eventually(t, "it is reached", func() bool { said, _ := dialled(t, r, id); return said == "port 80\n" })
	here := namespaceOfThread(t)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if said, err := dialled(t, r, id); err != nil || said != "port 80\n" {
				t.Errorf("%q, %v", said, err)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if now := namespaceOfThread(t); now != here {
				t.Errorf("a thread was left in %s, not %s", now, here)
			}
		})
	}
	all.Wait()
}

func namespaceOfThread(t *testing.T) string {
	b := make([]byte, 64)
	n, err := unix.Readlink("/proc/thread-self/ns/net", b)
	if err != nil {
		t.Error(err)
	}
	return string(b[:n])
}

func TestDial_DoesNotReachWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := run(t, r, spec(t, r, "serve 80"))
	other := prepared(t, func(c *Config) { c.Instance += "-other" })
	if _, err := other.Dial(t.Context(), id, 80); !errors.Is(err, ErrForeign) {
		t.Errorf("another instance's container: %v", err)
	}
}

func TestDial_SaysUnsupportedWhereNamespacesCannotBeEntered(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := run(t, r, spec(t, r, "serve 80"))
	// An engine on another machine names files that are not here.
	r.namespaces.set(id, "/nowhere/"+strings.Repeat("0", 12))
	if _, err := dialIn(t.Context(), "/nowhere/"+id, "127.0.0.1:80"); err == nil {
		t.Error("a namespace that is not there was entered")
	}
	eventually(t, "a path that is out of date is looked up again", func() bool {
		said, _ := dialled(t, r, id)
		return said == "port 80\n"
	})
	r.noNamespaces.Store(true)
	if _, err := r.Dial(t.Context(), id, 80); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
