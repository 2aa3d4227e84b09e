package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// browser plays the part of a browser that matters to the gateway: cookies by host (as a browser
// treats .localhost, Secure ones included), Fetch Metadata, redirects.
type browser struct {
	t       *testing.T
	at      *installation
	client  *http.Client
	cookies map[string]map[string]string // host → name → value
}

func dialLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, "127.0.0.1:"+port)
}

func (i *installation) browser() *browser {
	transport := &http.Transport{DialContext: dialLoopback}
	i.t.Cleanup(transport.CloseIdleConnections)
	return &browser{
		t: i.t, at: i, cookies: map[string]map[string]string{},
		client: &http.Client{
			Transport: transport, Timeout: 2 * time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// signIn returns a browser that is signed in as the first admin.
func (i *installation) signIn() *browser {
	i.t.Helper()
	b := i.browser()
	_, token, _ := strings.Cut(i.signInLink(), "#")
	if code, body := b.api("POST", "/api/login/link", map[string]string{"token": token}, nil); code != 204 {
		i.t.Fatalf("signing in: %d %s", code, body)
	}
	return b
}

// do sends one request with the host's cookies and keeps those that come back.
func (b *browser) do(r *http.Request) *http.Response {
	b.t.Helper()
	host := r.URL.Hostname()
	for name, value := range b.cookies[host] {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v\n%s", r.Method, r.URL, err, b.at.Log.Tail())
	}
	for _, c := range resp.Cookies() {
		if b.cookies[host] == nil {
			b.cookies[host] = map[string]string{}
		}
		if c.MaxAge < 0 {
			delete(b.cookies[host], c.Name)
		} else {
			b.cookies[host][c.Name] = c.Value
		}
	}
	return resp
}

func request(method, address string, body io.Reader, header ...string) *http.Request {
	r, err := http.NewRequest(method, address, body)
	if err != nil {
		panic(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// api calls the console's API as its own page does.
func (b *browser) api(method, path string, in, out any) (int, string) {
	b.t.Helper()
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			b.t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	resp := b.do(request(method, b.at.console()+path, body, "Content-Type", "application/json",
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Origin", b.at.console()))
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if out != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(text, out); err != nil {
			b.t.Fatalf("%s %s: %v\n%s", method, path, err, text)
		}
	}
	return resp.StatusCode, string(text)
}

// navigate opens an address in a tab, following redirects, and returns the last answer.
func (b *browser) navigate(address string) (int, string) {
	b.t.Helper()
	for range 10 {
		resp := b.do(request("GET", address, nil, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Accept", "text/html"))
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		location := resp.Header.Get("Location")
		if location == "" {
			return resp.StatusCode, string(text)
		}
		next, err := resp.Request.URL.Parse(location)
		if err != nil {
			b.t.Fatal(err)
		}
		address = next.String()
	}
	b.t.Fatalf("too many redirects at %s", address)
	return 0, ""
}

// get fetches as a program does: without Fetch Metadata.
func (b *browser) get(address string) (int, string) {
	b.t.Helper()
	resp := b.do(request("GET", address, nil))
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// socket opens a WebSocket with the host's cookies and the given Origin.
func (b *browser) socket(address, origin string, protocols ...string) (*websocket.Conn, *http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	var cookies []string
	for name, value := range b.cookies[u.Hostname()] {
		cookies = append(cookies, name+"="+value)
	}
	header := http.Header{"Origin": {origin}, "Cookie": {strings.Join(cookies, "; ")}}
	dialer := websocket.Dialer{NetDialContext: dialLoopback, HandshakeTimeout: time.Minute, Subprotocols: protocols}
	return dialer.Dial(strings.Replace(address, "http", "ws", 1), header)
}

type workspaceView struct{ ID, Name, State, Reason, URL string }

func (b *browser) workspaces() []workspaceView {
	b.t.Helper()
	var list struct{ Workspaces []workspaceView }
	if code, body := b.api("GET", "/api/workspaces", nil, &list); code != 200 {
		b.t.Fatalf("list: %d %s", code, body)
	}
	return list.Workspaces
}

func (b *browser) create(in map[string]string) workspaceView {
	b.t.Helper()
	var w workspaceView
	if code, body := b.api("POST", "/api/workspaces", in, &w); code != 201 {
		b.t.Fatalf("create: %d %s", code, body)
	}
	return w
}

func (b *browser) state(id string) workspaceView {
	b.t.Helper()
	var w workspaceView
	if code, body := b.api("GET", "/api/workspaces/"+id, nil, &w); code != 200 {
		b.t.Fatalf("get: %d %s", code, body)
	}
	return w
}

// await waits until a workspace is in a state.
func (b *browser) await(id, state string) workspaceView {
	b.t.Helper()
	var w workspaceView
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if w = b.state(id); w.State == state {
			return w
		}
	}
	b.t.Fatalf("workspace %s is %s (%s), not %s\n%s", id, w.State, w.Reason, state, b.at.Log.Tail())
	return w
}

// open brings a workspace up through its own address and returns it running.
func (b *browser) open(name string) workspaceView {
	b.t.Helper()
	w := b.create(map[string]string{"name": name, "template": "blank"})
	if code, body := b.navigate(w.URL); code != 503 && code != 200 {
		b.t.Fatalf("first hit: %d %s", code, body)
	}
	b.await(w.ID, "running")
	if code, body := b.navigate(w.URL); code != 200 || !strings.Contains(body, "workbench") {
		b.t.Fatalf("VS Code: %d %.300s", code, body)
	}
	return w
}
