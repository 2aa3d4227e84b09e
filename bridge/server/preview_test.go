package server

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestPreview_AllPathsBelongToTheApp(t *testing.T) {
	c := start(t, "serve")
	port := app(t, "tcp4", http.HandlerFunc(describeRequest))
	for _, target := range []string{"/", "/health", "/rpc", "/proxy/1", "/.kalpana/ready", "/a%2Fb?x;y=%zz"} {
		resp, body := get(t, http.MethodPut, "http://"+c.BridgeAddr()+target, strings.NewReader("b"),
			bridge.PortHeader, port, "Host", "3000-abcdefghij.ws.kalpana.localhost", "X-Forwarded-Proto", "https",
			"Authorization", "Bearer the-apps-own")
		got := decode[seen](t, body)
		if resp.StatusCode != http.StatusOK || got.URI != target || got.Method != http.MethodPut || got.Body != "b" {
			t.Errorf("%s: status %d, %+v", target, resp.StatusCode, got)
		}
		if got.Host != "3000-abcdefghij.ws.kalpana.localhost" || got.Header.Get("X-Forwarded-Proto") != "https" ||
			got.Header.Get("Authorization") != "Bearer the-apps-own" {
			t.Errorf("%s: %+v", target, got)
		}
		mustNotCarryOurs(t, got.Header)
	}
}

func TestPreview_FindsAnAppWhereverItListens(t *testing.T) {
	c := start(t, "serve")
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		port := appOn(t, "tcp4", addr, http.HandlerFunc(describeRequest))
		resp, body := get(t, http.MethodGet, "http://"+c.BridgeAddr()+"/", nil, bridge.PortHeader, port)
		if resp.StatusCode != http.StatusOK || resp.Header.Get(bridge.PreviewHeader) != "" {
			t.Errorf("on %s: %d %s", addr, resp.StatusCode, body)
		}
	}
}

func TestPreview_CarriesWebSockets(t *testing.T) {
	c := start(t, "serve")
	port := app(t, "tcp4", http.HandlerFunc(echoWebSocket))
	for _, target := range []string{"/socket", "/rpc"} {
		ws := webSocket(t, c.BridgeAddr(), target, http.Header{bridge.PortHeader: {port}})
		var hello seen
		if err := ws.ReadJSON(&hello); err != nil || hello.URI != target {
			t.Fatalf("%+v, %v", hello, err)
		}
		if err := ws.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
			t.Fatal(err)
		}
		if _, got, err := ws.ReadMessage(); err != nil || string(got) != "hi" {
			t.Errorf("%q, %v", got, err)
		}
	}
}

func TestPreview_SaysWhenNothingListens(t *testing.T) {
	c := start(t, "serve")
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	resp, body := get(t, http.MethodGet, "http://"+c.BridgeAddr()+"/", nil, bridge.PortHeader, port)
	if resp.StatusCode != http.StatusBadGateway || resp.Header.Get(bridge.PreviewHeader) != bridge.PreviewRefused ||
		!strings.Contains(body, port) {
		t.Errorf("%d %v %q", resp.StatusCode, resp.Header, body)
	}
}

func TestPreview_TellsAnAppThatBreaksOffFromOneThatIsNotThere(t *testing.T) {
	c := start(t, "serve")
	port := app(t, "tcp4", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	resp, _ := get(t, http.MethodGet, "http://"+c.BridgeAddr()+"/", nil, bridge.PortHeader, port)
	if resp.StatusCode != http.StatusBadGateway || resp.Header.Get(bridge.PreviewHeader) != bridge.PreviewFailed {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestPreview_AnAppCannotSpeakForTheBridge(t *testing.T) {
	c := start(t, "serve")
	port := app(t, "tcp4", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(bridge.PreviewHeader, bridge.PreviewRefused)
		w.WriteHeader(http.StatusBadGateway)
	}))
	resp, _ := get(t, http.MethodGet, "http://"+c.BridgeAddr()+"/", nil, bridge.PortHeader, port)
	if resp.Header.Get(bridge.PreviewHeader) != "" {
		t.Errorf("%v", resp.Header)
	}
}

func TestPreview_OnlyPortsOfAppsExist(t *testing.T) {
	c := start(t, "serve")
	for _, port := range []string{
		"", "0", "1", "22", "1023", "3001", "8080", "65536", "70000", "-3000", "+3000", "03000", "3000 ", "0x1000", "3e3",
		"127.0.0.1:3000", "99999999999999999999",
	} {
		req, _ := http.NewRequest(http.MethodGet, "http://"+c.BridgeAddr()+"/health", nil)
		req.Header = http.Header{bridge.TokenHeader: {testToken}, bridge.PortHeader: {port}}
		resp, err := client(t).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		// A client trims the space at the end of "3000 ": nothing listens on 3000, or something does.
		if resp.StatusCode != http.StatusNotFound && port != "3000 " {
			t.Errorf("port %q: status %d, want 404", port, resp.StatusCode)
		}
	}
	if status := ask(t, "http://"+c.BridgeAddr()+"/health", http.Header{bridge.PortHeader: {"3000", "3002"}}, []string{testToken}); status != http.StatusNotFound {
		t.Errorf("two ports: status %d, want 404", status)
	}
}

func TestPreview_StreamsAsTheAppWrites(t *testing.T) {
	c := start(t, "serve")
	step := make(chan struct{})
	port := app(t, "tcp4", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "8")
		for range 2 {
			_, _ = io.WriteString(w, "abc\n")
			_ = http.NewResponseController(w).Flush()
			<-step
		}
	}))
	req, _ := http.NewRequest(http.MethodGet, "http://"+c.BridgeAddr()+"/", nil)
	req.Header = http.Header{bridge.TokenHeader: {testToken}, bridge.PortHeader: {port}}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	for range 2 {
		if line, err := lines.ReadString('\n'); line != "abc\n" {
			t.Fatalf("%q, %v", line, err)
		}
		step <- struct{}{}
	}
}

func TestPreview_FindsAnAppThatListensOnIPv6Only(t *testing.T) {
	c := start(t, "serve")
	port := app(t, "tcp6", http.HandlerFunc(describeRequest))
	resp, _ := get(t, http.MethodGet, "http://"+c.BridgeAddr()+"/", nil, bridge.PortHeader, port)
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestBridgePort_ServesNothingElse(t *testing.T) {
	c := start(t, "serve")
	for _, target := range []string{"/", "/healthx", "/rpc/", "/.kalpana/ready", "/health/"} {
		if status := raw(t, c.BridgeAddr(), "GET", target); status != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", target, status)
		}
	}
	if status := raw(t, c.BridgeAddr(), "POST", "/health"); status != http.StatusNotFound {
		t.Errorf("POST /health: status %d, want 404", status)
	}
}
