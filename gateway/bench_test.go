package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/gateway"
	"github.com/kalpana-dev/kalpana/upstream"
)

// BenchmarkProxy is a GET of 1 KiB on a running workspace: through the gateway, and through a bare
// httputil.ReverseProxy with a pool of buffers. In memory there is neither network nor container; over TCP both are real.
func BenchmarkProxy(b *testing.B) {
	page := bytes.Repeat([]byte("x"), 1024)
	memory := roundTripper(func(r *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header:        http.Header{"Content-Type": {"text/html"}, "Content-Length": {"1024"}, "Date": {"Mon, 01 Jan 2024 00:00:00 GMT"}},
			ContentLength: 1024, Body: io.NopCloser(bytes.NewReader(page)),
		}, nil
	})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1024")
		_, _ = w.Write(page)
	}))
	defer backend.Close()
	target, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	transport := upstream.New(new(net.Dialer).DialContext, time.Minute)
	defer transport.CloseIdleConnections()
	tcp := roundTripper(func(r *http.Request) (*http.Response, error) {
		r.URL.Host = target.Host
		return transport.RoundTrip(r)
	})

	for name, carry := range map[string]http.RoundTripper{"memory": memory, "tcp": tcp} {
		var handler http.Handler
		w := newLoneWorld(b, options{gateway: func(c *gateway.Config) {
			c.Transport = carry
			handler = gateway.New(*c)
		}})
		id := w.running()
		grant := w.grant(ide(id))
		bare := &httputil.ReverseProxy{
			Rewrite:   func(pr *httputil.ProxyRequest) { pr.SetURL(target); pr.SetXForwarded() },
			Transport: carry, BufferPool: &bufferPool{},
		}
		for _, c := range []struct {
			name    string
			handler http.Handler
		}{{"bare", bare}, {"gateway", handler}} {
			r := w.navigation(w.hosts.URL(id), grant+"; theme=dark", "User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
				"Accept-Language", "en", "Accept-Encoding", "gzip, deflate, br", "Referer", w.hosts.URL(id))
			r.RemoteAddr, r.RequestURI = "127.0.0.1:12345", "/"
			b.Run(name+"/"+c.name, func(b *testing.B) {
				if name == "memory" {
					inMemory(b, c.handler, r)
				} else {
					overTCP(b, c.handler, r)
				}
			})
		}
	}
}

func inMemory(b *testing.B, h http.Handler, r *http.Request) {
	ctx, cancel := context.WithCancel(b.Context()) // a server's has an end, too
	defer cancel()
	r = r.WithContext(ctx)
	r.Body = http.NoBody
	b.ReportAllocs()
	for b.Loop() {
		w := &sink{header: http.Header{}}
		h.ServeHTTP(w, r)
		if w.n != 1024 {
			b.Fatal(w.n)
		}
	}
}

type sink struct {
	header http.Header
	n      int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.n += len(p); return len(p), nil }
func (s *sink) Flush()                      {}

func overTCP(b *testing.B, h http.Handler, r *http.Request) {
	server := httptest.NewServer(h)
	defer server.Close()
	address := server.Listener.Addr().String()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		var wire bytes.Buffer
		_ = r.Write(&wire)
		answer := make([]byte, 8192)
		for pb.Next() {
			if _, err := conn.Write(wire.Bytes()); err != nil {
				b.Error(err)
				return
			}
			for got := 0; !bytes.HasSuffix(answer[:got], []byte("xxxx")); {
				n, err := conn.Read(answer[got:])
				if err != nil {
					b.Error(err)
					return
				}
				got += n
			}
		}
	})
}

// bufferPool makes the bare proxy as good as it can be.
type bufferPool struct{ sync.Pool }

func (b *bufferPool) Get() []byte {
	if p, ok := b.Pool.Get().(*[32 << 10]byte); ok {
		return p[:]
	}
	return make([]byte, 32<<10)
}

func (b *bufferPool) Put(p []byte) { b.Pool.Put((*[32 << 10]byte)(p)) }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
