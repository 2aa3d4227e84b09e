package faults

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/test/harness"
	"github.com/kalpana-dev/kalpana/workspace"
)

// configure gives the installation another configuration of its own from the next reload on.
func (s *site) configure(lines ...string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), "Caddyfile"))
	s.must(err)
	const option = "{$KALPANA_OPTIONS}"
	if !strings.Contains(string(text), option) {
		s.t.Fatal("the root Caddyfile has no " + option)
	}
	lines = append(append(lines, unfenced), always...)
	s.Config = filepath.Join(s.Dir, "Caddyfile")
	s.must(os.WriteFile(s.Config, []byte(strings.Replace(string(text), option, strings.Join(lines, "\n"), 1)), 0o600))
}

func TestReload_DropsNoneOfAThousandWebSocketsAndNoHeldRequest(t *testing.T) {
	t.Parallel()
	s := install(t)
	w, asleep := s.open(""), s.asleep("ready-after-3s")
	conns := make([]*websocket.Conn, 1000)
	var all sync.WaitGroup
	slots := make(chan struct{}, 50)
	var mu sync.Mutex
	var faults []error
	for n := range conns {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			conn, _, err := s.Socket(s.Workspace(w.ID)+"/socket", s.Workspace(w.ID))
			mu.Lock()
			defer mu.Unlock()
			if conns[n] = conn; err != nil {
				faults = append(faults, err)
			}
		})
	}
	all.Wait()
	if len(faults) > 0 {
		t.Fatalf("%d of 1,000 WebSockets do not open: %v", len(faults), faults[0])
	}
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for what, change := range map[string]func(){
		"of the same configuration":           func() {},
		"of one with another option":          func() { s.configure("audit_keep 1h") },
		"of one that is of workspaces itself": func() { s.configure("audit_keep 1h", "share_limit public") },
	} {
		s.stop(asleep)
		held := make(chan harness.Answer, 1)
		go func() {
			a, err := s.post(asleep, "held", what)
			if err != nil {
				a.Body = err.Error()
			}
			held <- a
		}()
		s.await(asleep, workspace.StateStarting)
		change()
		s.must(s.Reload())
		if a := <-held; a.Status != http.StatusOK {
			t.Errorf("a request that was held over a reload %s: %v", what, a)
		}
		if a := s.fetch(asleep, "/__app/file/held"); a.Body != what {
			t.Errorf("its body did not arrive: %v", a)
		}
		echo(t, "after a reload "+what, conns...)
		s.served("after a reload "+what, w)
		s.agree("after a reload " + what)
	}
}

func TestReload_AHundredTimesTakesNoMemory(t *testing.T) {
	t.Parallel()
	s := install(t)
	w := s.open("")
	conn := s.socket(w)
	texts := make([][]byte, 2)
	for n := range texts {
		s.configure(fmt.Sprintf("audit_keep %dh", n+1))
		text, err := os.ReadFile(s.Config)
		s.must(err)
		texts[n] = text
	}
	var first, last use
	for n := range 100 {
		// Every second one changes nothing; the others make a new instance of everything.
		s.load(texts[n/2%2])
		switch n + 1 {
		case 20:
			first = s.uses()
		case 100:
			last = s.uses()
		}
	}
	echo(t, "after a hundred reloads", conn)
	s.served("after a hundred reloads", w)
	t.Logf("after 20 reloads %v, after 100 %v", first, last)
	// Half a megabyte is what 80 reloads may leave in caches and tables; one instance has more.
	if last.heap > first.heap+512<<10 {
		t.Errorf("the heap grew from %d to %d bytes", first.heap, last.heap)
	}
	if last.goroutines > first.goroutines+10 {
		t.Errorf("goroutines: %d, then %d", first.goroutines, last.goroutines)
	}
}

// load gives the gateway a configuration, and makes it read it even if it is the same.
func (s *site) load(config []byte) {
	s.t.Helper()
	resp, err := s.AdminBody("POST", "/load", config, "Content-Type", "text/caddyfile", "Cache-Control", "must-revalidate")
	s.must(err)
	text, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		s.t.Fatalf("reload: %s %s", resp.Status, text)
	}
}

// use is what a gateway uses of its machine.
type use struct {
	heap       int // bytes that are reachable
	goroutines int
}

var (
	heapAlloc  = regexp.MustCompile(`(?m)^# HeapAlloc = (\d+)`)
	goroutines = regexp.MustCompile(`goroutine profile: total (\d+)`)
)

// uses asks the gateway's profiles, after what is ending has had a moment to end.
func (s *site) uses() use {
	s.t.Helper()
	number := func(path string, pattern *regexp.Regexp) int {
		resp, err := s.Admin("GET", path)
		s.must(err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		s.must(err)
		m := pattern.FindSubmatch(text)
		if m == nil {
			s.t.Fatalf("%s says nothing: %.300s", path, text)
		}
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	var u use
	// The least of several looks: requests and timers come and go.
	for n := range 5 {
		now := use{number("/debug/pprof/heap?gc=1&debug=1", heapAlloc), number("/debug/pprof/goroutine?debug=1", goroutines)}
		if n == 0 || now.heap < u.heap {
			u.heap = now.heap
		}
		if n == 0 || now.goroutines < u.goroutines {
			u.goroutines = now.goroutines
		}
		time.Sleep(200 * time.Millisecond)
	}
	return u
}

// proxying returns how many goroutines of the gateway are about a request to a workspace.
func (s *site) proxying() int {
	s.t.Helper()
	resp, err := s.Admin("GET", "/debug/pprof/goroutine?debug=1")
	s.must(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	s.must(err)
	n := 0
	_, groups, _ := strings.Cut(string(text), "\n")
	for group := range strings.SplitSeq(groups, "\n\n") { // equal ones, their number first
		if strings.Contains(group, "kalpana/gateway.(*Handler).ServeHTTP") {
			equal, _ := strconv.Atoi(strings.Fields(group)[0])
			n += equal
		}
	}
	return n
}

// One side of a WebSocket sends whatever it can, and the other reads nothing: that waits, and costs the gateway what any
// stream does.
func TestFlood_OfAPeerThatReadsNothingIsHeldBack(t *testing.T) {
	t.Parallel()
	s := install(t)
	w, other := s.open(""), s.open("")
	conn := s.socket(other)
	before := s.uses()
	const streams = 50
	var floods, deaf []*websocket.Conn
	open := func(path string) *websocket.Conn {
		c, _, err := s.Socket(s.Workspace(w.ID)+path, s.Workspace(w.ID))
		s.must(err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for range streams {
		floods, deaf = append(floods, open("/__app/flood")), append(deaf, open("/__app/deaf"))
	}
	var all sync.WaitGroup
	for _, c := range deaf {
		all.Go(func() {
			message := make([]byte, 48<<10)
			sent := 0
			for sent < 256<<20 {
				_ = c.SetWriteDeadline(time.Now().Add(5 * time.Second))
				if c.WriteMessage(websocket.BinaryMessage, message) != nil {
					return
				}
				sent += len(message)
			}
			t.Errorf("%d MiB were taken for a program that reads nothing", sent>>20)
		})
	}
	for range 20 {
		for _, w := range []harness.View{w, other} {
			if a := s.served("beside floods", w); a.Took > 2*time.Second {
				t.Errorf("served after %v", a.Took)
			}
		}
		echo(t, "beside floods", conn)
	}
	all.Wait()
	during := s.uses()
	t.Logf("before %v, with %d streams that stand still %v", before, 2*streams, during)
	if each := (during.heap - before.heap) / (2 * streams); each > 128<<10 {
		t.Errorf("a stream that stands still takes %d KiB of the heap", each>>10)
	}
	// Whoever reads after all gets all of it.
	for n := range 200 {
		_ = floods[0].SetReadDeadline(time.Now().Add(patience))
		if _, message, err := floods[0].ReadMessage(); err != nil || string(message) != strings.Repeat("flood ", 8<<10) {
			t.Fatalf("message %d of a flood: %d bytes, %v", n, len(message), err)
		}
	}
	// Floods end with their clients, and what stands still on its way to a program with the workspace.
	ends := func(conns []*websocket.Conn, left int) {
		for _, c := range conns {
			_ = c.Close()
		}
		s.eventually("nothing is left of them", func() error {
			if n := s.proxying(); n > left+1 {
				return fmt.Errorf("%d requests are still being answered", n)
			}
			return nil
		})
	}
	ends(floods, streams)
	s.stop(w)
	ends(deaf, 0)
	if after := s.uses(); after.goroutines > before.goroutines+10 {
		t.Errorf("goroutines: %d, then %d", before.goroutines, after.goroutines)
	}
	echo(t, "after the floods", conn)
	s.served("the next hit", w)
	s.kept(w)
	s.agree("after the floods")
}

// Clients that are gone without a word: nothing they are sent is ever acknowledged.
func TestHalfOpenPeers_HoldUpNobodyAndEndWithTheirWorkspace(t *testing.T) {
	t.Parallel()
	s := prepare(t, unfenced)
	s.Env = append(s.Env, "KALPANA_SERVER_OPTIONS=timeouts {\n write_idle 10s\n}") // instead of a minute
	s.start()
	w, other := s.open(""), s.open("")
	address := fmt.Sprintf("127.%d.0.1", 100+sites.Load())
	for n := range 60 {
		path := []string{"/__app/stream", "/__app/flood", "/socket"}[n%3]
		conn, err := harness.DialFrom(t.Context(), s.Namespace, "tcp", &net.TCPAddr{IP: net.ParseIP(address)}, fmt.Sprintf("127.0.0.1:%d", s.Port))
		s.must(err)
		defer conn.Close()
		lines := []string{"GET " + path + " HTTP/1.1", "Host: " + strings.TrimPrefix(s.Workspace(w.ID), "http://"), "Cookie: " + s.Cookies(w.ID+".ws.kalpana.localhost")}
		if path == "/socket" {
			lines = append(lines, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: "+s.Workspace(w.ID))
		}
		_, err = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
		s.must(err)
		head := make([]byte, 12)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.ReadFull(conn, head); err != nil || !strings.Contains("HTTP/1.1 200 HTTP/1.1 101", string(head)) {
			t.Fatalf("%s: %q %v", path, head, err)
		}
	}
	for _, direction := range []string{"-s", "-d"} {
		out, err := world.engine.Command("iptables", "-w", "-I", "INPUT", direction, address, "-j", "DROP").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if n := s.proxying(); n < 60 {
		t.Fatalf("%d streams are open", n)
	}
	for range 20 {
		for _, w := range []harness.View{w, other} {
			if a := s.served("beside peers that are gone", w); a.Took > 2*time.Second {
				t.Errorf("served after %v", a.Took)
			}
		}
	}
	s.stop(w)
	s.eventually("nothing is left of what they had open", func() error {
		if n := s.proxying(); n > 0 {
			return fmt.Errorf("%d requests are still being answered", n)
		}
		return nil
	})
	s.agree("after the stop")
	s.served("the next hit", w)
	s.kept(w)
}
