package mcp

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/agent/tools"
)

func TestMain(m *testing.M) {
	progressEvery = 50 * time.Millisecond
	goleak.VerifyTestMain(m)
}

// serve serves tools, and returns the address.
func serve(t *testing.T, s *Server, session Session) string {
	t.Helper()
	if session.Begin == nil {
		session.Begin = func(*tools.Tool, tools.Call) (func(), error) { return func() {}, nil }
	}
	if session.Env == nil {
		session.Env = &tools.Env{}
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.Serve(w, r, session) }))
	t.Cleanup(srv.Close)
	return srv.URL
}

// connectTo connects the SDK's client.
func connectTo(t *testing.T, address string, options *sdk.ClientOptions) *sdk.ClientSession {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, options)
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: address, HTTPClient: &http.Client{Transport: transport}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// text returns the text of a result.
func text(t *testing.T, r *sdk.CallToolResult) string {
	t.Helper()
	var b strings.Builder
	for _, c := range r.Content {
		piece, ok := c.(*sdk.TextContent)
		if !ok {
			t.Fatalf("content %T", c)
		}
		b.WriteString(piece.Text)
	}
	return b.String()
}
