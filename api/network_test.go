package api_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kalpana-dev/kalpana/api"
)

// pipes is a network in memory, so that a server and its deadlines run on a bubble's clock.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.dialled:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) Dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.dialled <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// online is a site behind a real HTTP server, in a bubble.
type online struct {
	*site
	network *pipes
	client  *http.Client // HTTP/1.1
	client2 *http.Client // HTTP/2
}

// inBubble runs test on the bubble's clock with a server. Whatever goroutine is left at its end, of
// the server or of a handler, fails the test.
func inBubble(t *testing.T, test func(t *testing.T, s *online)) {
	synctest.Test(t, func(t *testing.T) {
		s := &online{site: newSite(t), network: &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}}
		server := &http.Server{
			Protocols: new(http.Protocols),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				api.Protect(s.hosts, w.Header())
				s.ServeHTTP(w, r)
			}),
		}
		server.Protocols.SetHTTP1(true)
		server.Protocols.SetUnencryptedHTTP2(true)
		var serving sync.WaitGroup
		serving.Go(func() { _ = server.Serve(s.network) })
		transport := &http.Transport{DialContext: s.network.Dial}
		s.client = &http.Client{Transport: transport}
		transport2 := &http.Transport{DialContext: s.network.Dial, Protocols: new(http.Protocols)}
		transport2.Protocols.SetUnencryptedHTTP2(true)
		s.client2 = &http.Client{Transport: transport2}
		t.Cleanup(func() {
			transport.CloseIdleConnections()
			transport2.CloseIdleConnections()
			_ = server.Close()
			serving.Wait()
			time.Sleep(time.Second) // net/http lingers for half a second after it broke off a body
		})
		test(t, s)
	})
}
