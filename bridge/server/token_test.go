package server

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

func TestToken_EveryRequestOnBothPortsNeedsIt(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	port := app(t, "tcp4", http.HandlerFunc(describeRequest))
	targets := []struct {
		name, address string
		header        http.Header
	}{
		{"IDE", "http://" + c.IDEAddr() + "/", nil},
		{"ready", "http://" + c.IDEAddr() + bridge.ReadyPath, nil},
		{"IDE, not found", "http://" + c.IDEAddr() + "/proxy/3000/", nil},
		{"IDE WebSocket", "http://" + c.IDEAddr() + "/ws", upgrade()},
		{"health", "http://" + c.BridgeAddr() + bridge.HealthPath, nil},
		{"rpc", "http://" + c.BridgeAddr() + bridge.RPCPath, upgrade()},
		{"bridge, not found", "http://" + c.BridgeAddr() + "/nothing", nil},
		{"preview", "http://" + c.BridgeAddr() + "/", http.Header{bridge.PortHeader: {port}}},
	}
	for _, target := range targets {
		for name, token := range map[string][]string{
			"missing":      nil,
			"empty":        {""},
			"wrong":        {strings.Repeat("f", 64)},
			"prefix":       {testToken[:63]},
			"longer":       {testToken + "0"},
			"upper case":   {strings.ToUpper(testToken)},
			"right, twice": {testToken, testToken},
		} {
			t.Run(target.name+"/"+name, func(t *testing.T) {
				if status := ask(t, target.address, target.header, token); status != http.StatusUnauthorized {
					t.Errorf("status %d, want 401", status)
				}
			})
		}
		t.Run(target.name+"/right", func(t *testing.T) {
			if status := ask(t, target.address, target.header, []string{testToken}); status == http.StatusUnauthorized {
				t.Error("status 401 with the right token")
			}
		})
	}
}

func upgrade() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
}

func ask(t *testing.T, address string, header http.Header, token []string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if token != nil {
		req.Header[bridge.TokenHeader] = token
	}
	resp, err := client(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestToken_ReachesNeitherEditorNorApp(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	port := app(t, "tcp4", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if websocket.IsWebSocketUpgrade(r) {
			echoWebSocket(w, r)
			return
		}
		describeRequest(w, r)
	}))

	_, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/page", nil)
	mustNotCarryOurs(t, decode[seen](t, body).Header)
	_, body = get(t, http.MethodGet, "http://"+c.BridgeAddr()+"/page", nil, bridge.PortHeader, port)
	mustNotCarryOurs(t, decode[seen](t, body).Header)

	for _, ws := range []*websocket.Conn{
		webSocket(t, c.IDEAddr(), "/ws", nil),
		webSocket(t, c.BridgeAddr(), "/ws", http.Header{bridge.PortHeader: {port}}),
	} {
		var got seen
		if err := ws.ReadJSON(&got); err != nil {
			t.Fatal(err)
		}
		mustNotCarryOurs(t, got.Header)
	}
}

func mustNotCarryOurs(t *testing.T, header http.Header) {
	t.Helper()
	for name, values := range header {
		if strings.HasPrefix(name, "X-Kalpana") || strings.Contains(strings.Join(values, ","), testToken) {
			t.Errorf("%s: %v was forwarded", name, values)
		}
	}
}

func TestToken_IsInNoChildsEnvironment(t *testing.T) {
	c := start(t, "serve")
	c.waitReady()
	_, body := get(t, http.MethodGet, "http://"+c.IDEAddr()+"/env", nil)
	env := decode[[]string](t, body)
	if strings.Contains(body, testToken) || strings.Contains(body, bridge.EnvToken) {
		t.Error("code-server has the token in its environment")
	}
	want := "VSCODE_PROXY_URI=http://{{port}}-abcdefghij.ws.kalpana.localhost:8080/"
	if !strings.Contains(strings.Join(env, "\n"), want) {
		t.Errorf("no %s in %q", want, env)
	}

	r, err := c.dial().RunCommand(context.Background(), bridge.RunCommandParams{Command: "env"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.Stdout, testToken) || strings.Contains(r.Stdout, bridge.EnvToken) {
		t.Error("a command has the token in its environment")
	}
}

func TestToken_ThatIsNoTokenIsRefusedAtTheStart(t *testing.T) {
	for _, token := range []string{"", "short", strings.Repeat("g", 64), strings.Repeat("A", 64)} {
		if s, err := New(Config{Token: token, IDEAddr: "127.0.0.1:0", BridgeAddr: "127.0.0.1:0"}); err == nil {
			t.Errorf("token %q was accepted", token)
			s.ide.Close()
			s.control.Close()
		}
	}
}
