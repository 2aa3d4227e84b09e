package server

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestIDE_ForwardsARequestAsItCame(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	const host = "abcdefghij.ws.kalpana.localhost:8080"
	_, body := get(t, http.MethodPost, "http://"+c.IDEAddr()+"/a%2Fb/%C3%A4?x=1;y=2&z=%zz", strings.NewReader("hello"),
		"Host", host, "Origin", "http://"+host, "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Host", host,
		"X-Forwarded-Proto", "https", "Forwarded", "for=192.0.2.7", "Cookie", "a=b")
	got := decode[seen](t, body)
	if got.Method != http.MethodPost || got.URI != "/a%2Fb/%C3%A4?x=1;y=2&z=%zz" || got.Host != host || got.Body != "hello" {
		t.Errorf("code-server saw %+v", got)
	}
	for name, want := range map[string]string{
		"Origin": "http://" + host, "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": host,
		"X-Forwarded-Proto": "https", "Forwarded": "for=192.0.2.7", "Cookie": "a=b",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Header.Get(name), want)
		}
	}
}

func TestIDE_CarriesWebSockets(t *testing.T) {
	c := start(t, "serve")
	ws := webSocket(t, c.IDEAddr(), "/ws?reconnection=false", nil)
	var hello seen
	if err := ws.ReadJSON(&hello); err != nil || hello.URI != "/ws?reconnection=false" {
		t.Fatalf("%+v, %v", hello, err)
	}
	message := strings.Repeat("x", 100_000)
	if err := ws.WriteMessage(websocket.BinaryMessage, []byte(message)); err != nil {
		t.Fatal(err)
	}
	if _, got, err := ws.ReadMessage(); err != nil || string(got) != message {
		t.Fatalf("echo of %d bytes, %v", len(got), err)
	}
}

func TestIDE_HoldsARequestUntilVSCodeIsReadyAndServesItWhole(t *testing.T) {
	c := start(t, "slow")
	began := time.Now()
	resp, body := get(t, http.MethodPost, "http://"+c.IDEAddr()+"/early", strings.NewReader("the body"))
	if got := decode[seen](t, body); resp.StatusCode != http.StatusOK || got.Body != "the body" {
		t.Errorf("status %d, %+v", resp.StatusCode, got)
	}
	if waited := time.Since(began); waited < 200*time.Millisecond {
		t.Errorf("held for %s only: the fake was not slow", waited)
	}
}

func TestIDE_AHeldRequestEndsWithItsClient(t *testing.T) {
	c := start(t, "never")
	conn, err := net.Dial("tcp", c.IDEAddr())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n", bridge.TokenHeader, testToken)
	time.Sleep(20 * time.Millisecond)
	conn.Close()
	began := time.Now()
	if err := c.stop(); err != nil || time.Since(began) > time.Second {
		t.Errorf("stopping took %s, %v", time.Since(began), err)
	}
}

func TestIDE_AHeldRequestIsAnsweredIn503WhenNothingComes(t *testing.T) {
	c := start(t, "never", func(cfg *Config) { cfg.timing.requestHold = 50 * time.Millisecond })
	resp, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/", nil)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
		!strings.Contains(body, "has not started") {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
	}
}

func TestIDE_ThePortProxyOfCodeServerIsNotReachable(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	for _, target := range []string{
		"/proxy/3000/", "/proxy/3000", "/proxy", "/proxy/", "/absproxy/3000/x", "/absproxy",
		"/PROXY/3000/", "/AbsProxy/3000/", "//proxy/3000/", "///proxy/3000", "/./proxy/3000/", "/a/../proxy/3000/",
		"/%70roxy/3000/", "/%2570roxy/3000/", "/%252570roxy/3000/", "/proxy%2F3000/", "/%2Fproxy/3000", "/%2e/proxy/3000",
		"/a/%2e%2e/proxy/3000/", `/\proxy/3000/`, "/%5Cproxy/3000/", "/proxy%5C3000", "/proxy?x=1", "/proxy/3000/%zz?",
		"/.kalpana", "/.kalpana/", "/.kalpana/other", "/.kalpana/ready/", "/%2ekalpana/other", "/.KALPANA/x",
	} {
		status := raw(t, c.IDEAddr(), "GET", target)
		if strings.Contains(target, "%zz") && status == http.StatusBadRequest {
			continue // Not a path at all.
		}
		if status != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", target, status)
		}
	}
	for _, target := range []string{
		"/", "/proxyx/3000", "/xproxy", "/vscode/proxy/3000", "/stable-1234/static/out/proxy.js", "/a%2Fproxy/3000", "/?proxy/3000",
	} {
		if status := raw(t, c.IDEAddr(), "GET", target); status != http.StatusOK {
			t.Errorf("GET %s: status %d, want 200", target, status)
		}
	}
	if status := raw(t, c.IDEAddr(), "POST", bridge.ReadyPath); status != http.StatusNotFound {
		t.Errorf("POST of the ready path: status %d, want 404", status)
	}
	if status := raw(t, c.IDEAddr(), "CONNECT", "127.0.0.1:22"); status != http.StatusMethodNotAllowed {
		t.Errorf("CONNECT: status %d, want 405", status)
	}
}

// raw sends a request line as it is, which a client would tidy.
func raw(t *testing.T, addr, method, target string) int {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\n%s: %s\r\nConnection: close\r\n\r\n", method, target, bridge.TokenHeader, testToken)
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestEditor_RunsWithTheOptionsThatTheDesignAsksFor(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	_, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/args", nil)
	args := decode[[]string](t, body)
	for _, want := range []string{"--disable-proxy", "--disable-telemetry", "--auth", "--socket-mode", "--reconnection-grace-time", "604800", c.workspace} {
		if !slices.Contains(args, want) {
			t.Errorf("no %s in %q", want, args)
		}
	}
}

func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/", "/proxy/1", "/%2570roxy", `\proxy`, "/a/../absproxy/2", bridge.ReadyPath, "/%", "//%2e/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if route(p) == routeEditor {
			// Whatever is sent on, no plainer form of it is one of the closed paths.
			plain := strings.ToLower(strings.NewReplacer(`\`, "/", "//", "/").Replace(p))
			for _, closed := range []string{"/proxy/", "/absproxy/", "/.kalpana/"} {
				if strings.HasPrefix(plain, closed) && !strings.Contains(plain, "/../") && !strings.HasSuffix(plain, "/..") && !strings.Contains(plain, "%") {
					t.Errorf("%q goes to code-server", p)
				}
			}
		}
	})
}
