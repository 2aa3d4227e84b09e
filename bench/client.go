package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// client is a signed-in browser, as far as the gateway cares: cookies by host (as a browser treats
// .localhost, Secure ones included) and Fetch Metadata.
type client struct {
	console string
	http    *http.Client
	cookies map[string]map[string]string // host → name → value
}

// toLoopback dials every name on this machine, as a browser does with names under .localhost.
func toLoopback(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

// signIn uses up a sign-in link.
func signIn(ctx context.Context, console, link string) (*client, error) {
	c := &client{
		console: console, cookies: map[string]map[string]string{},
		http: &http.Client{
			Transport: &http.Transport{DialContext: toLoopback, DisableKeepAlives: true}, Timeout: 2 * time.Minute,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	_, token, _ := strings.Cut(link, "#")
	return c, c.api(ctx, http.MethodPost, "/api/login/link", map[string]string{"token": token}, nil)
}

// do sends one request with the host's cookies, keeps those that come back, and reads the answer.
func (c *client) do(ctx context.Context, method, address string, body io.Reader, header ...string) (*http.Response, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	host := r.URL.Hostname()
	for name, value := range c.cookies[host] {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	for _, cookie := range resp.Cookies() {
		if c.cookies[host] == nil {
			c.cookies[host] = map[string]string{}
		}
		if cookie.MaxAge < 0 {
			delete(c.cookies[host], cookie.Name)
		} else {
			c.cookies[host][cookie.Name] = cookie.Value
		}
	}
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}

// api calls the console's API as its own page does.
func (c *client) api(ctx context.Context, method, path string, in, out any) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, text, err := c.do(ctx, method, c.console+path, bytes.NewReader(raw), "Content-Type", "application/json",
		"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Origin", c.console)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s", method, path, resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal([]byte(text), out)
}

type workspaceView struct{ ID, State, Reason, URL string }

func (c *client) create(ctx context.Context) (w workspaceView, err error) {
	err = c.api(ctx, http.MethodPost, "/api/workspaces", map[string]string{"name": "bench", "template": "blank"}, &w)
	return w, err
}

// open opens a workspace in a tab, which obtains a grant and wakes it, and waits until it runs.
func (c *client) open(ctx context.Context, w workspaceView) error {
	address := w.URL
	for range 10 {
		resp, text, err := c.do(ctx, http.MethodGet, address, nil, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none", "Accept", "text/html")
		if err != nil {
			return err
		}
		next, err := resp.Location()
		if err == nil {
			address = next.String()
			continue
		}
		if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("opening %s: %s %.300s", address, resp.Status, text)
		}
		return c.await(ctx, w.ID, "running")
	}
	return fmt.Errorf("too many redirects at %s", address)
}

// stop stops a workspace and waits until it is down.
func (c *client) stop(ctx context.Context, id string) error {
	if err := c.api(ctx, http.MethodPost, "/api/workspaces/"+id+"/stop", nil, nil); err != nil {
		return err
	}
	return c.await(ctx, id, "stopped")
}

// pause pauses a workspace and waits until it is.
func (c *client) pause(ctx context.Context, id string) error {
	if err := c.api(ctx, http.MethodPost, "/api/workspaces/"+id+"/pause", nil, nil); err != nil {
		return err
	}
	return c.await(ctx, id, "paused")
}

func (c *client) await(ctx context.Context, id, state string) error {
	var w workspaceView
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if err := c.api(ctx, http.MethodGet, "/api/workspaces/"+id, nil, &w); err != nil {
			return err
		}
		if w.State == state {
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("workspace %s is %s (%s), not %s", id, w.State, w.Reason, state)
}

// cookieHeader returns the cookies of a host as a header's value.
func (c *client) cookieHeader(host string) string {
	var pairs []string
	for name, value := range c.cookies[host] {
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, "; ")
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
