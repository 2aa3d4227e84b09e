package upstream_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patient  = 20 * time.Second
	patience = time.Minute // of idle connections
)

// server accepts connections and hands each to a function.
type server struct {
	net.Listener
	conns atomic.Int64
}

func serve(t *testing.T, each func(conn net.Conn, in *bufio.Reader)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			all.Go(func() {
				defer conn.Close()
				each(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return s
}

// answering reads requests and gives each the next text as its answer, then closes.
func answering(t *testing.T, texts ...string) *server {
	return serve(t, func(conn net.Conn, in *bufio.Reader) {
		for _, text := range texts {
			if _, err := http.ReadRequest(in); err != nil {
				return
			}
			_, _ = io.WriteString(conn, text)
		}
	})
}

func transport(t *testing.T) *upstream.Transport {
	tr := upstream.New(new(net.Dialer).DialContext, patience)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func (s *server) request(ctx context.Context, method string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.Addr().String()+"/path?q=1", http.NoBody)
	if err != nil {
		panic(err)
	}
	return r
}

// get asks and reads the whole answer.
func (s *server) get(t *testing.T, tr http.RoundTripper) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	resp, err := tr.RoundTrip(s.request(ctx, http.MethodGet))
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

const hello = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

func TestTransport_UsesAConnectionAgain(t *testing.T) {
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n"
	s := answering(t, hello, chunked, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n", hello)
	tr := transport(t)
	want := []struct {
		code int
		text string
	}{{200, "hello"}, {200, "hello"}, {404, ""}, {204, ""}, {304, ""}, {200, "hello"}}
	for i, w := range want {
		if code, text, err := s.get(t, tr); code != w.code || text != w.text || err != nil {
			t.Fatalf("request %d: %d %q %v", i, code, text, err)
		}
	}
	if n := s.conns.Load(); n != 1 {
		t.Errorf("%d connections for %d requests, want 1", n, len(want))
	}
}

func TestTransport_AHeadHasNoBody(t *testing.T) {
	s := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", hello)
	tr := transport(t)
	resp, err := tr.RoundTrip(s.request(t.Context(), http.MethodHead))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(resp.Body); len(text) > 0 || err != nil || resp.ContentLength != 5 {
		t.Errorf("%q, %v, length %d", text, err, resp.ContentLength)
	}
	_ = resp.Body.Close()
	if _, text, err := s.get(t, tr); text != "hello" || err != nil || s.conns.Load() != 1 {
		t.Errorf("%q, %v on %d connections", text, err, s.conns.Load())
	}
}

func TestTransport_AConnectionThatWasClosedMeanwhileIsReplaced(t *testing.T) {
	s := answering(t, hello) // one answer a connection
	tr := transport(t)
	for i := range 50 {
		if _, text, err := s.get(t, tr); text != "hello" || err != nil {
			t.Fatalf("request %d: %q, %v", i, text, err)
		}
	}
	if n := s.conns.Load(); n != 50 {
		t.Errorf("%d connections, want 50", n)
	}
}

// What a container sends beyond an answer, or unasked, must not become the next one's.
func TestTransport_WhatComesUnaskedIsNeverAnAnswer(t *testing.T) {
	forged := strings.Replace(hello, "hello", "forge", 1)
	for name, late := range map[string]time.Duration{"with the answer": 0, "later": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			sent := make(chan struct{}, 1)
			s := serve(t, func(conn net.Conn, in *bufio.Reader) {
				for {
					if _, err := http.ReadRequest(in); err != nil {
						return
					}
					if late == 0 {
						_, _ = io.WriteString(conn, hello+forged)
					} else {
						_, _ = io.WriteString(conn, hello)
						time.Sleep(late)
						_, _ = io.WriteString(conn, forged)
					}
					sent <- struct{}{}
				}
			})
			tr := transport(t)
			for i := range 3 {
				if _, text, err := s.get(t, tr); text != "hello" || err != nil {
					t.Fatalf("request %d: %q, %v", i, text, err)
				}
				<-sent
				time.Sleep(20 * time.Millisecond) // for the kernel to deliver what was sent
			}
		})
	}
}

func TestTransport_ABodyThatIsNotReadToItsEndTakesItsConnectionAlong(t *testing.T) {
	s := answering(t, hello, hello)
	tr := transport(t)
	resp, err := tr.RoundTrip(s.request(t.Context(), http.MethodGet))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = resp.Body.Read(make([]byte, 2))
	_ = resp.Body.Close()
	if _, text, err := s.get(t, tr); text != "hello" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	if n := s.conns.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestTransport_AnAnswerThatEndsWithTheConnection(t *testing.T) {
	for _, text := range []string{"HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.0 200 OK\r\n\r\nhello", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"} {
		s := answering(t, text)
		if _, got, err := s.get(t, transport(t)); got != "hello" || err != nil {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestTransport_ABrokenAnswerIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":        "",
		"half a head":    "HTTP/1.1 200 OK\r\nContent-",
		"half a body":    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
		"no HTTP":        "SSH-2.0-OpenSSH\r\n",
		"two lengths":    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"bad chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n",
		"switch unasked": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n",
		"endless 1xx":    strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 20) + hello,
		"endless head":   "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 400) + "\r\n",
		"endless line":   "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("x", 400<<10) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := answering(t, text)
			if code, got, err := s.get(t, transport(t)); err == nil {
				t.Errorf("%d %q and no error", code, got)
			}
		})
	}
}

func TestTransport_EarlyHintsArePassedOn(t *testing.T) {
	s := answering(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+hello)
	var hints []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		hints = append(hints, fmt.Sprint(code, " ", h.Get("Link")))
		return nil
	}})
	resp, err := transport(t).RoundTrip(s.request(ctx, http.MethodGet))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(resp.Body); string(text) != "hello" || len(hints) != 1 || hints[0] != "103 </a>" {
		t.Errorf("%q after %q", text, hints)
	}
}

func TestTransport_ARequestEndsWithItsContext(t *testing.T) {
	gone := errors.New("the client left")
	for name, sent := range map[string]string{"before the head": "", "in the body": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"} {
		t.Run(name, func(t *testing.T) {
			closed := make(chan struct{})
			s := serve(t, func(conn net.Conn, in *bufio.Reader) {
				defer close(closed)
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				_, _ = io.WriteString(conn, sent)
				_, _ = in.ReadByte() // until the other end closes
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
			resp, err := transport(t).RoundTrip(s.request(ctx, http.MethodGet))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if !errors.Is(err, gone) {
				t.Errorf("got %v, want the context's cause", err)
			}
			select {
			case <-closed:
			case <-time.After(patient):
				t.Error("the connection is still open")
			}
		})
	}
}

func TestTransport_AFailedDialIsTheDialersError(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("nothing listens")}
	tr := upstream.New(func(context.Context, string, string) (net.Conn, error) { return nil, refused }, patience)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		r := httptest.NewRequest(method, "http://127.0.0.1:1/", http.NoBody)
		r.RequestURI = ""
		if _, err := tr.RoundTrip(r); !errors.Is(err, refused) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestTransport_IdleConnectionsEndAfterNinetySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int64
		tr := upstream.New(func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				in := bufio.NewReader(there)
				for {
					if _, err := http.ReadRequest(in); err != nil {
						closed.Add(1)
						return
					}
					_, _ = io.WriteString(there, hello)
				}
			}()
			return here, nil
		}, 90*time.Second)
		ask := func() {
			r := httptest.NewRequest(http.MethodGet, "http://pipe/", http.NoBody)
			r.RequestURI = ""
			resp, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		ask()
		time.Sleep(80 * time.Second)
		ask() // on the same one, which so lives on
		synctest.Wait()
		if closed.Load() != 0 {
			t.Fatal("a connection that was idle for 80 s was closed")
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if closed.Load() != 1 {
			t.Errorf("%d connections are closed, want 1", closed.Load())
		}
		ask()
		tr.CloseIdleConnections()
		synctest.Wait()
		if closed.Load() != 2 {
			t.Errorf("%d connections are closed, want 2", closed.Load())
		}
	})
}

func TestTransport_ManyAtOnce(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL, body)
	}))
	t.Cleanup(backend.Close)
	tr := transport(t)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			for n := range 50 {
				method, body := http.MethodGet, ""
				if n%5 == 0 {
					method, body = http.MethodPost, "x"
				}
				r, _ := http.NewRequestWithContext(t.Context(), method, fmt.Sprintf("%s/%d/%d", backend.URL, i, n), strings.NewReader(body))
				if body == "" {
					r.Body = http.NoBody
				}
				resp, err := tr.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				text, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if want := fmt.Sprintf("%s /%d/%d %s", method, i, n, body); string(text) != want || err != nil {
					t.Errorf("got %q, %v; want %q", text, err, want)
				}
			}
		})
	}
	all.Wait()
}

func TestTransport_UnderAReverseProxyAWebSocketPasses(t *testing.T) {
	s := serve(t, func(conn net.Conn, in *bufio.Reader) {
		if r, err := http.ReadRequest(in); err != nil || r.Header.Get("Upgrade") != "echo" {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		_, _ = io.Copy(conn, in)
	})
	target, _ := url.Parse("http://" + s.Addr().String())
	front := httptest.NewServer(&httputil.ReverseProxy{Transport: transport(t), Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	t.Cleanup(front.Close)
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patient))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(resp, err)
	}
	_, _ = io.WriteString(conn, "ping")
	got := make([]byte, 4)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "ping" {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzAnswer compares with net/http's own transport: whatever a container answers, both make the same
// of it.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		hello, "HTTP/1.1 200 OK\r\n\r\nhello", "HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n" + hello,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
		"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\nContent-Length: 1\n\nx", "HTTP/1.1 99 x\r\n\r\n", "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode < 200 {
				return // what comes before an answer is treated otherwise: see the tests of 101 and 103
			}
		}
		dial := func(context.Context, string, string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() {
				defer there.Close()
				if _, err := http.ReadRequest(bufio.NewReader(there)); err == nil {
					_, _ = there.Write(answer)
				}
			}()
			return here, nil
		}
		type outcome struct {
			Failed bool
			Code   int
			Header http.Header
			Body   string
			Broken bool
		}
		ask := func(tr http.RoundTripper) (o outcome) {
			r := httptest.NewRequest(http.MethodGet, "http://pipe/", http.NoBody)
			r.RequestURI = ""
			resp, err := tr.RoundTrip(r)
			if err != nil {
				return outcome{Failed: true}
			}
			text, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			return outcome{Code: resp.StatusCode, Header: resp.Header, Body: string(text), Broken: err != nil}
		}
		ours, theirs := upstream.New(dial, patience), &http.Transport{DialContext: dial, DisableCompression: true, MaxResponseHeaderBytes: 256 << 10}
		defer ours.CloseIdleConnections()
		defer theirs.CloseIdleConnections()
		if diff := cmp.Diff(ask(theirs), ask(ours)); diff != "" {
			t.Errorf("(-net/http +upstream):\n%s", diff)
		}
	})
}

// A head is written in pieces where it is longer than the buffer, and the other end may answer before the last.
func TestTransport_ALongHeadArrivesWhole(t *testing.T) {
	for _, size := range []int{100, 16<<10 - 64, 16 << 10, 200 << 10} {
		s := serve(t, func(conn net.Conn, in *bufio.Reader) {
			for {
				r, err := http.ReadRequest(in)
				if err != nil {
					return
				}
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n%06d", len(r.Header.Get("X-Long")))
			}
		})
		tr := transport(t)
		for range 3 {
			r := s.request(t.Context(), http.MethodGet)
			r.Header.Set("X-Long", strings.Repeat("x", size))
			resp, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if want := fmt.Sprintf("%06d", size); string(text) != want || err != nil {
				t.Errorf("got %q, %v; want %s", text, err, want)
			}
		}
		if n := s.conns.Load(); n != 1 {
			t.Errorf("%d connections for heads of %d bytes, want 1", n, size)
		}
	}
}

// Who has said that nothing more comes is not waited for.
func TestTransport_AHalfClosedConnectionIsReplaced(t *testing.T) {
	for name, late := range map[string]time.Duration{"at once": 0, "later": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(conn net.Conn, in *bufio.Reader) {
				if _, err := http.ReadRequest(in); err != nil {
					return
				}
				_, _ = io.WriteString(conn, hello)
				time.Sleep(late)
				_ = conn.(*net.TCPConn).CloseWrite()
				_, _ = io.Copy(io.Discard, in) // until the other end closes, whatever it asks
			})
			tr := transport(t)
			defer tr.CloseIdleConnections()
			for i := range 20 {
				if _, text, err := s.get(t, tr); text != "hello" || err != nil {
					t.Fatalf("request %d: %q, %v", i, text, err)
				}
				time.Sleep(time.Duration(i%3) * late)
			}
		})
	}
}
