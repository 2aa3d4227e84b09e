package bridge

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testToken = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func httpClient(t *testing.T) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// answering serves one answer on every path.
func answering(t *testing.T, status int, body string, header ...string) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestWaitReady_AsksAgainWhileThePortRefusesOrResets(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close() // Refused, until the goroutine below listens.

	var resets atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(50 * time.Millisecond)
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		for resets.Load() < 20 { // As docker-proxy does: it accepts, then resets.
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
			resets.Add(1)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != ReadyPath || r.Header.Get(TokenHeader) != testToken {
				t.Errorf("%s %v", r.URL, r.Header)
			}
			fmt.Fprint(w, `{"ready":true}`)
			go func() { time.Sleep(50 * time.Millisecond); l.Close() }()
		})}
		_ = srv.Serve(l)
		srv.Close()
	}()
	if err := WaitReady(within(t, 10*time.Second), httpClient(t), "http://"+addr, testToken); err != nil {
		t.Error(err)
	}
	<-done
	if resets.Load() != 20 {
		t.Errorf("%d resets", resets.Load())
	}
}

func TestWaitReady_EndsWithItsContext(t *testing.T) {
	began := time.Now()
	err := WaitReady(within(t, 60*time.Millisecond), httpClient(t), "http://127.0.0.1:1", testToken)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	if !strings.Contains(err.Error(), "refused") {
		t.Errorf("%v does not say what the last attempt met", err)
	}
}

func TestWaitReady_ReportsWhyVSCodeFailed(t *testing.T) {
	url := answering(t, http.StatusServiceUnavailable,
		`{"ready":false,"error":"it \u001b[31mcrashed\n","log":"first\nsecond\u0007\u202e third\ttab"}`)
	var failed *NotReadyError
	if err := WaitReady(within(t, 5*time.Second), httpClient(t), url, testToken); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if failed.Reason != "it \uFFFD[31mcrashed\uFFFD" || failed.Log != "first\nsecond\uFFFD\uFFFD third\ttab" {
		t.Errorf("%+q", failed)
	}

	url = answering(t, http.StatusServiceUnavailable, `{"error":"`+strings.Repeat("ä", 5000)+`","log":"`+strings.Repeat("ö", 15000)+`end"}`)
	if err := WaitReady(within(t, 5*time.Second), httpClient(t), url, testToken); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	if len(failed.Reason) > readyReasonLimit || len(failed.Log) > readyLogLimit || !strings.HasSuffix(failed.Log, "öend") {
		t.Errorf("%d and %d bytes", len(failed.Reason), len(failed.Log))
	}
}

func TestWaitReady_RefusesWhatIsNotTheProtocol(t *testing.T) {
	var reached atomic.Bool
	victim := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Store(true)
		fmt.Fprint(w, `{"ready":true}`)
	}))
	defer victim.Close()
	for name, url := range map[string]string{
		"a redirect":      answering(t, http.StatusFound, "", "Location", victim.URL),
		"another status":  answering(t, http.StatusNotFound, "{}"),
		"200 not ready":   answering(t, http.StatusOK, `{"ready":false}`),
		"200 not JSON":    answering(t, http.StatusOK, `ready`),
		"503 not JSON":    answering(t, http.StatusServiceUnavailable, `<html>`),
		"a body too long": answering(t, http.StatusServiceUnavailable, `{"log":"`+strings.Repeat("x", 70<<10)+`"}`),
	} {
		if err := WaitReady(within(t, 5*time.Second), httpClient(t), url, testToken); !errors.Is(err, ErrBadAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if reached.Load() {
		t.Error("a redirect was followed, with the token")
	}
	url := answering(t, http.StatusUnauthorized, "no")
	if err := WaitReady(within(t, 5*time.Second), httpClient(t), url, testToken); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("401: %v", err)
	}
}
