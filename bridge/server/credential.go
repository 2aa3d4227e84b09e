package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/jsonrpc2"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// defaultGatewayWait is how long a question waits for a gateway to connect.
	defaultGatewayWait = 20 * time.Second
	// maxQuestions bounds the questions that are under way.
	maxQuestions = 4
)

// gateways are the connections over which a gateway can be asked something.
type gateways struct {
	mu     sync.Mutex
	wait   time.Duration
	conns  map[*jsonrpc2.Conn]struct{}
	joined chan struct{} // closed when one joins
	asking chan struct{}
}

func newGateways(wait time.Duration) *gateways {
	return &gateways{
		wait: wait, conns: map[*jsonrpc2.Conn]struct{}{}, joined: make(chan struct{}), asking: make(chan struct{}, maxQuestions),
	}
}

// join adds a connection until leave is called.
func (g *gateways) join(conn *jsonrpc2.Conn) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[conn] = struct{}{}
	close(g.joined)
	g.joined = make(chan struct{})
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.conns, conn)
	}
}

// others returns the connections that are not among those asked already, adds them there, and a channel that is
// closed when one joins.
func (g *gateways) others(asked map[*jsonrpc2.Conn]bool) (fresh []*jsonrpc2.Conn, joined <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		if !asked[conn] {
			asked[conn] = true
			fresh = append(fresh, conn)
		}
	}
	return fresh, g.joined
}

// credential asks every gateway, since a person answers on the one that they look at: the first that has a credential
// is believed. It waits for a gateway where none is connected.
func (g *gateways) credential(ctx context.Context, p bridge.GitCredentialParams) (*bridge.Credential, error) {
	select {
	case g.asking <- struct{}{}:
		defer func() { <-g.asking }()
	default:
		return nil, bridge.ErrBusy
	}
	ctx, cancel := context.WithTimeout(ctx, bridge.GitCredentialTime)
	defer cancel()
	type answer struct {
		credential bridge.Credential
		err        error
	}
	answers := make(chan answer)
	asked, waiting := map[*jsonrpc2.Conn]bool{}, 0
	reason := errNoGateway
	patience := time.NewTimer(g.wait)
	defer patience.Stop()
	for {
		fresh, joined := g.others(asked)
		for _, conn := range fresh {
			waiting++
			go func() {
				var a answer
				a.err = conn.Call(ctx, bridge.MethodGitCredential, p, &a.credential)
				select {
				case answers <- a:
				case <-ctx.Done():
				}
			}()
		}
		select {
		case a := <-answers:
			if waiting--; a.err == nil {
				return &a.credential, nil
			}
			var refusal *jsonrpc2.Error
			if errors.As(a.err, &refusal) && refusal.Code != bridge.CodeUnknownMethod {
				reason = errors.New(bridge.Printable(strings.TrimPrefix(refusal.Message, bridge.ErrDenied.Message+": "), 500))
			}
			if waiting == 0 && !errors.Is(reason, errNoGateway) {
				return nil, reason
			}
		case <-joined:
		case <-patience.C:
			if waiting == 0 {
				return nil, reason
			}
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil, errNoWord
			}
			return nil, ctx.Err()
		}
	}
}

var (
	errNoGateway = errors.New("no gateway of Kalpana is connected that could sign in for you; try again in a moment")
	errNoWord    = errors.New("nobody answered in the console; allow it there and run the command again")
)

// serveCredential answers the credential helper of git; see package cli.
func (g *gateways) serveCredential(w http.ResponseWriter, r *http.Request) {
	var p bridge.GitCredentialParams
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, localBody)).Decode(&p); err != nil {
		http.Error(w, "Send protocol, host and path.", http.StatusBadRequest)
		return
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bridge.GitCredentialTime + localTimeout))
	c, err := g.credential(r.Context(), p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	writeJSON(w, http.StatusOK, c)
}
