package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/kalpana-dev/kalpana/agent/tools"
	"github.com/kalpana-dev/kalpana/bridge"
)

// Limits of what another server may say. It is the operator's choice, but no part of Kalpana.
const (
	maxTools       = 64       // of one server
	maxDescription = 2000     // bytes
	maxSchema      = 16 << 10 // bytes of a tool's schema
	maxResult      = 32 << 10 // bytes of a result's text
	maxAnswer      = 4 << 20  // bytes of an answer over HTTP, or of one event of it
	maxName        = 64       // bytes of a tool's name, with the server's: what models take
)

// Times of the client.
var (
	connectTimeout = 10 * time.Second
	callTimeout    = 2 * time.Minute
	retryAfter     = 30 * time.Second // before a server that did not answer is tried again
	listAgainAfter = 5 * time.Minute  // before the tools are asked for again
)

// Remote is a server whose tools an agent gets.
type Remote struct {
	Name    string // comes before the names of its tools: letters, digits, "-" and "_"
	URL     string // of its streamable HTTP transport
	Headers map[string]string
}

// Client gives agents the tools of one other server. It connects when they are first asked for, and again when the
// connection has ended. Its methods may be called from several goroutines.
type Client struct {
	remote Remote
	http   *http.Client
	log    *slog.Logger

	mu      sync.Mutex
	session *sdk.ClientSession
	tools   []tools.Tool
	listed  time.Time
	failed  time.Time
	closed  bool
	leaving sync.WaitGroup
}

// Connect returns a Client that has to be closed. Nothing is connected yet.
func Connect(remote Remote, log *slog.Logger) *Client {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = callTimeout
	return &Client{remote: remote, log: log, http: &http.Client{
		Transport: &bounded{transport, remote},
		// Another host would get the headers, which are secrets.
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
				return errors.New("it sends on to another host")
			}
			return nil
		},
	}}
}

// bounded adds the headers that the operator set, and bounds what is answered.
type bounded struct {
	*http.Transport
	remote Remote
}

// RoundTrip implements http.RoundTripper.
func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	at, err := url.Parse(b.remote.URL)
	if err != nil || r.URL.Host != at.Host || r.URL.Scheme != at.Scheme {
		return nil, errors.New("a request to another host")
	}
	r = r.Clone(r.Context())
	for name, value := range b.remote.Headers {
		r.Header.Set(name, value)
	}
	resp, err := b.Transport.RoundTrip(r)
	if err == nil && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") { // whose events the SDK bounds
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswer)
	}
	return resp, err
}

// Close ends the connection.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.drop()
	c.mu.Unlock()
	c.leaving.Wait()
	c.http.CloseIdleConnections()
}

// drop forgets the connection, of which the server is told meanwhile; the caller holds the lock.
func (c *Client) drop() {
	if session := c.session; session != nil {
		c.session = nil
		c.leaving.Go(func() { _ = session.Close() })
	}
}

// Tools returns the server's tools, named after it. Where it does not answer, they are those that it had when it last
// did: a call then says what is wrong.
func (c *Client) Tools(ctx context.Context) []tools.Tool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.closed || !c.failed.IsZero() && now.Sub(c.failed) < retryAfter || !c.listed.IsZero() && now.Sub(c.listed) < listAgainAfter {
		return c.tools
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	again := c.session != nil
	list, err := c.list(ctx)
	if err != nil && again { // it may have forgotten us
		c.drop()
		list, err = c.list(ctx)
	}
	if err != nil {
		c.drop()
		c.failed = time.Now()
		c.log.Warn("a server of tools does not answer", "server", c.remote.Name, "error", c.safe(err))
		return c.tools
	}
	c.tools, c.listed, c.failed = list, time.Now(), time.Time{}
	return c.tools
}

// connected returns the session; the caller holds the lock.
func (c *Client) connected(ctx context.Context) (*sdk.ClientSession, error) {
	if c.closed {
		return nil, errors.New("it is shut down")
	}
	if c.session != nil {
		return c.session, nil
	}
	client := sdk.NewClient(&sdk.Implementation{Name: "kalpana", Version: "1"}, &sdk.ClientOptions{
		Capabilities: &sdk.ClientCapabilities{}, // nothing that a server could ask of us
		Logger:       slog.New(slog.DiscardHandler),
	})
	// The session outlives the call that made it.
	session, err := client.Connect(ctx, &sdk.StreamableClientTransport{
		Endpoint: c.remote.URL, HTTPClient: c.http, DisableStandaloneSSE: true, MaxEventSize: maxAnswer, MaxRetries: -1,
	}, nil)
	if err != nil {
		return nil, err
	}
	c.session = session
	return session, nil
}

func (c *Client) list(ctx context.Context) ([]tools.Tool, error) {
	session, err := c.connected(ctx)
	if err != nil {
		return nil, err
	}
	var list []tools.Tool
	names := map[string]bool{}
	for t, err := range session.Tools(ctx, nil) {
		if err != nil {
			return nil, err
		}
		if len(list) == maxTools {
			c.log.Warn("a server has more tools than are taken", "server", c.remote.Name, "taken", maxTools)
			break
		}
		tool, err := c.tool(t)
		if err != nil || names[tool.Name] {
			c.log.Warn("a tool of a server is left out", "server", c.remote.Name, "tool", bridge.Printable(t.Name, maxName), "reason", reason(err))
			continue
		}
		names[tool.Name] = true
		list = append(list, tool)
	}
	return list, nil
}

func reason(err error) string {
	if err == nil {
		return "there is another of that name"
	}
	return err.Error()
}

var goodName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// tool makes a tool of the agent's of one that a server described. What the server says of what it does (whether it only
// reads) is not believed: each call needs a rule or a person's word.
func (c *Client) tool(t *sdk.Tool) (tools.Tool, error) {
	name := c.remote.Name + "_" + t.Name
	if !goodName.MatchString(t.Name) || len(name) > maxName {
		return tools.Tool{}, errors.New("its name does not fit")
	}
	schema, err := json.Marshal(t.InputSchema)
	if err != nil || len(schema) > maxSchema {
		return tools.Tool{}, errors.New("its schema is too large")
	}
	var object struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(schema, &object) != nil || object.Type != "object" {
		return tools.Tool{}, errors.New("its schema is none of an object")
	}
	return tools.Tool{
		Name:        name,
		Description: fmt.Sprintf("Of the server %s, outside of the workspace: %s", c.remote.Name, clean(t.Description, maxDescription)),
		Parameters:  schema,
		Title:       func(json.RawMessage) string { return t.Name + " (" + c.remote.Name + ")" },
		Run: func(ctx context.Context, _ *tools.Env, call tools.Call) (*tools.Result, error) {
			return c.call(ctx, t.Name, call.Input)
		},
	}, nil
}

// call makes a call. One that failed is made again only where the server has forgotten who we are, and has not carried
// it out for that reason.
func (c *Client) call(ctx context.Context, name string, input json.RawMessage) (*tools.Result, error) {
	arguments := map[string]any{}
	if len(input) > 0 {
		if err := json.Unmarshal(input, &arguments); err != nil {
			return nil, fmt.Errorf("invalid input for %s: it must be a JSON object", name)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.callOnce(ctx, name, arguments)
	if errors.Is(err, sdk.ErrSessionMissing) {
		r, err = c.callOnce(ctx, name, arguments)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("the server %s did not carry it out: %s", c.remote.Name, c.safe(err))
	}
	text := resultText(r)
	if r.IsError {
		return nil, errors.New(text)
	}
	return &tools.Result{Text: text, Output: map[string]any{"text": text}}, nil
}

func (c *Client) callOnce(ctx context.Context, name string, arguments map[string]any) (*sdk.CallToolResult, error) {
	dial, stop := context.WithTimeout(ctx, connectTimeout)
	c.mu.Lock()
	session, err := c.connected(dial)
	c.mu.Unlock()
	stop()
	if err != nil {
		return nil, err
	}
	r, err := session.CallTool(ctx, &sdk.CallToolParams{Name: name, Arguments: arguments})
	if err != nil {
		c.mu.Lock()
		if c.session == session { // the next call begins anew
			c.drop()
		}
		c.mu.Unlock()
	}
	return r, err
}

// resultText returns the text of a result; of other content, what it is.
func resultText(r *sdk.CallToolResult) string {
	var b strings.Builder
	for _, content := range r.Content {
		if b.Len() > maxResult {
			break
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		switch content := content.(type) {
		case *sdk.TextContent:
			b.WriteString(content.Text)
		case *sdk.ImageContent:
			b.WriteString("(an image, which is left out)")
		case *sdk.AudioContent:
			b.WriteString("(a sound, which is left out)")
		case *sdk.ResourceLink:
			fmt.Fprintf(&b, "(a link: %s)", content.URI)
		case *sdk.EmbeddedResource:
			if content.Resource != nil && content.Resource.Text != "" {
				b.WriteString(content.Resource.Text)
			} else {
				b.WriteString("(a file, which is left out)")
			}
		}
	}
	if b.Len() == 0 && r.StructuredContent != nil {
		if text, err := json.Marshal(r.StructuredContent); err == nil {
			b.Write(text)
		}
	}
	if b.Len() == 0 {
		return "(no output)"
	}
	return clean(b.String(), maxResult)
}

// clean returns text of another server: bounded, and without control characters but line breaks and tabs.
func clean(text string, limit int) string {
	cut := len(text) > limit
	if cut {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	text = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
	if cut {
		text += "\n… (cut: it was longer)"
	}
	return text
}

// safe returns the text of an error, short, and without any of the headers, which are secrets.
func (c *Client) safe(err error) string {
	text := err.Error()
	for _, value := range c.remote.Headers {
		for _, secret := range append(strings.Fields(value), value) {
			if len(secret) >= 6 {
				text = strings.ReplaceAll(text, secret, "…")
			}
		}
	}
	return bridge.Printable(text, 300)
}

// Clients are the tools of several servers together.
type Clients []*Client

// ConnectAll returns a Client for each server.
func ConnectAll(remotes []Remote, log *slog.Logger) Clients {
	var all Clients
	for _, r := range remotes {
		all = append(all, Connect(r, log))
	}
	return all
}

// Tools returns the tools of all servers, asking them at the same time.
func (cs Clients) Tools(ctx context.Context) []tools.Tool {
	lists := make([][]tools.Tool, len(cs))
	var wg sync.WaitGroup
	for i, c := range cs {
		wg.Go(func() { lists[i] = c.Tools(ctx) })
	}
	wg.Wait()
	var all []tools.Tool
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// Close ends all connections.
func (cs Clients) Close() {
	for _, c := range cs {
		c.Close()
	}
}
