package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Browser plays the part of a browser that matters to the gateway: cookies by host (as a browser
// treats .localhost, Secure ones included), Fetch Metadata, redirects. Its methods are safe for
// concurrent use.
type Browser struct {
	At     *Installation
	Client *http.Client

	mu      sync.Mutex
	cookies map[string]map[string]string // host → name → value
}

// Browser returns one that is not signed in.
func (i *Installation) Browser() *Browser {
	return &Browser{
		At: i, cookies: map[string]map[string]string{},
		Client: &http.Client{
			Transport: &http.Transport{DialContext: i.Dial}, Timeout: 2 * time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// SignIn returns a browser that is signed in as the first admin.
func (i *Installation) SignIn() (*Browser, error) {
	link, err := i.SignInLink()
	if err != nil {
		return nil, err
	}
	b := i.Browser()
	_, token, _ := strings.Cut(link, "#")
	a, err := b.API("POST", "/api/login/link", map[string]string{"token": token})
	if err == nil && a.Status != http.StatusNoContent {
		err = fmt.Errorf("signing in: %v", a)
	}
	return b, err
}

// On returns the same person's browser at another gateway of the same installation.
func (b *Browser) On(i *Installation) *Browser {
	other := i.Browser()
	b.mu.Lock()
	defer b.mu.Unlock()
	for host, cookies := range b.cookies {
		other.cookies[host] = map[string]string{}
		for name, value := range cookies {
			other.cookies[host][name] = value
		}
	}
	return other
}

// Close ends idle connections.
func (b *Browser) Close() { b.Client.CloseIdleConnections() }

// Answer is an answer with its body.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	Took   time.Duration // until the whole body was there
}

func (a Answer) String() string { return fmt.Sprintf("%d %.600s", a.Status, a.Body) }

// Request returns a request with headers in pairs. It panics where the address is none.
func Request(method, address string, body io.Reader, header ...string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), method, address, body)
	if err != nil {
		panic(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

// Do sends one request with the host's cookies and keeps those that come back.
func (b *Browser) Do(r *http.Request) (*http.Response, error) {
	host := r.URL.Hostname()
	b.mu.Lock()
	for name, value := range b.cookies[host] {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	b.mu.Unlock()
	resp, err := b.Client.Do(r)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
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
	return resp, nil
}

// Cookies returns the host's cookies, as in a Cookie header.
func (b *Browser) Cookies(host string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for name, value := range b.cookies[host] {
		all = append(all, name+"="+value)
	}
	return strings.Join(all, "; ")
}

// Send is Do with the body read.
func (b *Browser) Send(r *http.Request) (Answer, error) {
	start := time.Now()
	resp, err := b.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, string(text), time.Since(start)}, err
}

// API calls the console's API as its own page does. in, unless nil, is sent as JSON.
func (b *Browser) API(method, path string, in any) (Answer, error) {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return Answer{}, err
		}
		body = bytes.NewReader(raw)
	}
	return b.Send(Request(method, b.At.Console()+path, body, "Content-Type", "application/json",
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Origin", b.At.Console()))
}

// Navigate opens an address in a tab, following redirects, and returns the last answer.
func (b *Browser) Navigate(address string) (Answer, error) {
	for range 10 {
		a, err := b.Send(Request("GET", address, nil, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Accept", "text/html"))
		location := a.Header.Get("Location")
		if err != nil || location == "" {
			return a, err
		}
		base, err := url.Parse(address)
		if err != nil {
			return a, err
		}
		next, err := base.Parse(location)
		if err != nil {
			return a, err
		}
		address = next.String()
	}
	return Answer{}, errors.New("too many redirects at " + address)
}

// Get fetches as a program does: without Fetch Metadata.
func (b *Browser) Get(address string) (Answer, error) { return b.Send(Request("GET", address, nil)) }

// Socket opens a WebSocket with the host's cookies from a page of an origin.
func (b *Browser) Socket(address, origin string, protocols ...string) (*websocket.Conn, *http.Response, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	header := http.Header{"Origin": {origin}, "Cookie": {b.Cookies(u.Hostname())}}
	dialer := websocket.Dialer{NetDialContext: b.At.Dial, HandshakeTimeout: time.Minute, Subprotocols: protocols, ReadBufferSize: 1 << 10, WriteBufferSize: 1 << 10}
	return dialer.Dial(strings.Replace(address, "http", "ws", 1), header)
}

// View is what the API says of a workspace.
type View struct {
	ID, Name, State, Reason, URL string
}

// Create makes a workspace.
func (b *Browser) Create(name, repository string) (View, error) {
	var w View
	err := b.call("POST", "/api/workspaces", map[string]string{"name": name, "template": "blank", "repository": repository}, http.StatusCreated, &w)
	return w, err
}

// Workspaces lists the person's workspaces.
func (b *Browser) Workspaces() ([]View, error) {
	var list struct{ Workspaces []View }
	err := b.call("GET", "/api/workspaces", nil, http.StatusOK, &list)
	return list.Workspaces, err
}

// View returns what the API says of a workspace.
func (b *Browser) View(id string) (View, error) {
	var w View
	err := b.call("GET", "/api/workspaces/"+id, nil, http.StatusOK, &w)
	return w, err
}

func (b *Browser) call(method, path string, in any, want int, out any) error {
	a, err := b.API(method, path, in)
	if err != nil {
		return err
	}
	if a.Status != want {
		return fmt.Errorf("%s %s: %v", method, path, a)
	}
	return json.Unmarshal([]byte(a.Body), out)
}
