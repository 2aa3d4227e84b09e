package upstream_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/upstream"
)

// fronts returns two servers in front of s: one that carries requests, and httputil.ReverseProxy.
func fronts(t *testing.T, s *server) map[string]*httptest.Server {
	tr := transport(t)
	target, _ := url.Parse("http://" + s.Addr().String())
	carry := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !upstream.Simple(r) {
			http.Error(w, "not simple", http.StatusTeapot)
			return
		}
		to := upstream.Target{Addr: target.Host, Header: []upstream.Field{{Name: "X-Ours", Value: "1"}}, Answer: func(*http.Response) error { return nil }}
		if err := tr.Carry(r.Context(), w, r, &to); err != nil {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	reverse := &httputil.ReverseProxy{Transport: tr, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.Out.Header.Set("X-Ours", "1")
	}, ErrorLog: log.New(io.Discard, "", 0)}
	all := map[string]*httptest.Server{}
	for name, handler := range map[string]http.Handler{"carried": carry, "reverse": reverse} {
		all[name] = httptest.NewUnstartedServer(handler)
		all[name].Config.ErrorLog = log.New(io.Discard, "", 0)
		all[name].Start()
		t.Cleanup(all[name].Close)
	}
	return all
}

// raw sends bytes and returns every byte that comes until the answer's end.
func raw(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patient))
	_, _ = io.WriteString(conn, request)
	in := bufio.NewReader(conn)
	var out strings.Builder
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: strings.Fields(request)[0]})
		if err != nil {
			return out.String() + "broken off"
		}
		body, err := io.ReadAll(resp.Body)
		resp.Header.Del("Date")
		fmt.Fprintf(&out, "%d %v %q %v %v\n", resp.StatusCode, resp.Header, body, resp.Trailer, err)
		if resp.StatusCode >= 200 {
			return out.String()
		}
	}
}

func TestCarry_AnswersAsAReverseProxyDoes(t *testing.T) {
	for name, answer := range map[string]string{
		"a length":            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-App: a\r\nX-App: b\r\n\r\nhello",
		"chunks":              "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
		"announced trailers":  "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		"unannounced":         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
		"until it closes":     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\nhello",
		"hop by hop":          "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\nX-End: 1\r\n\r\n",
		"nothing":             "HTTP/1.1 204 No Content\r\n\r\n",
		"not modified":        "HTTP/1.1 304 Not Modified\r\nEtag: \"1\"\r\n\r\n",
		"a redirect":          "HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
		"early hints":         "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
		"events":              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 1\n\n",
		"broken in the body":  "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
		"broken in the chunk": "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
		"no answer":           "",
		"no HTTP":             "hello\r\n\r\n",
		"a server":            "HTTP/1.1 500 Oops\r\nServer: app\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 1\r\n\r\nx",
	} {
		for _, method := range []string{"GET", "HEAD"} {
			t.Run(name+"/"+method, func(t *testing.T) {
				if method == "HEAD" {
					answer, _, _ = strings.Cut(answer, "\r\n\r\nhello")
					answer = strings.TrimSuffix(answer, "\r\n\r\n") + "\r\n\r\n"
				}
				all := fronts(t, answering(t, answer))
				got := map[string]string{}
				for front, s := range all {
					got[front] = raw(t, s.Listener.Addr().String(), method+" /p?q=1 HTTP/1.1\r\nHost: x\r\n\r\n")
				}
				if got["carried"] != got["reverse"] || got["carried"] == "" {
					t.Errorf("carried: %s\nreverse: %s", got["carried"], got["reverse"])
				}
			})
		}
	}
}

func TestCarry_AsksAsAReverseProxyDoes(t *testing.T) {
	for name, request := range map[string]string{
		"plain":       "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"a path":      "GET /a%2Fb/..%2f/%00?x=%zz&y=;&z=a+b HTTP/1.1\r\nHost: x:1\r\n\r\n",
		"absolute":    "GET http://y/path HTTP/1.1\r\nHost: x\r\n\r\n",
		"many fields": "GET / HTTP/1.1\r\nHost: x\r\nAccept: a\r\naccept: b\r\nCookie: a=1; b=2\r\nRange: bytes=0-1\r\nUser-Agent: me\r\nX_Odd.name: 1\r\n\r\n",
		"hop by hop":  "GET / HTTP/1.1\r\nHost: x\r\nKeep-Alive: 1\r\nProxy-Authorization: p\r\nProxy-Connection: keep-alive\r\n\r\n",
		"no length":   "HEAD /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan map[string]any, 1)
			s := serve(t, func(conn net.Conn, in *bufio.Reader) {
				for {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					asked <- map[string]any{"line": r.Method + " " + r.RequestURI, "host": r.Host, "header": r.Header, "length": r.ContentLength}
					_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			})
			got := map[string]map[string]any{}
			for front, f := range fronts(t, s) {
				if a := raw(t, f.Listener.Addr().String(), request); !strings.HasPrefix(a, "204") {
					t.Fatalf("%s answers %s", front, a)
				}
				got[front] = <-asked
			}
			// A ReverseProxy drops what it cannot parse of a query; ours sets it as it came.
			if name == "a path" {
				got["reverse"]["line"] = "GET /a%2Fb/..%2f/%00?x=%zz&y=;&z=a+b"
			}
			if diff := cmp.Diff(got["reverse"], got["carried"]); diff != "" {
				t.Errorf("(-reverse +carried)\n%s", diff)
			}
		})
	}
}

func TestCarry_WhatWouldEndALineIsRefused(t *testing.T) {
	s := answering(t, hello)
	for name, change := range map[string]func(*http.Request){
		"the query":      func(r *http.Request) { r.URL.RawQuery = "a\r\nX: y" },
		"a value":        func(r *http.Request) { r.Header.Set("X-App", "a\r\nX: y") },
		"a name":         func(r *http.Request) { r.Header["X: y\r\nX"] = []string{"a"} },
		"the host":       func(r *http.Request) { r.Host = "x\r\nX: y" },
		"the host's end": func(r *http.Request) { r.Host = "x y" },
	} {
		r := s.request(t.Context(), http.MethodGet)
		change(r)
		w := httptest.NewRecorder()
		to := upstream.Target{Addr: s.Addr().String(), Answer: func(*http.Response) error { return errors.New("it was sent") }}
		if err := transport(t).Carry(r.Context(), w, r, &to); err == nil || err.Error() == "it was sent" || w.Flushed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCarry_AnAnswerThatIsRefusedAnswersNothing(t *testing.T) {
	s := answering(t, hello, hello)
	tr := transport(t)
	refused := errors.New("refused")
	w := httptest.NewRecorder()
	err := tr.Carry(t.Context(), w, s.request(t.Context(), http.MethodGet), &upstream.Target{Addr: s.Addr().String(), Answer: func(*http.Response) error { return refused }})
	if !errors.Is(err, refused) || len(w.Header()) > 0 || w.Body.Len() > 0 {
		t.Errorf("%v, %v %q", err, w.Header(), w.Body)
	}
}
