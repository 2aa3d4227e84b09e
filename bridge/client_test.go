package bridge

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"
)

// hostile serves RPCPath with the given behaviour, and returns a client of it.
func hostile(t *testing.T, behave func(*websocket.Conn)) *Client {
	t.Helper()
	return hostileTimed(t, DefaultTiming, behave)
}

func hostileTimed(t *testing.T, timing Timing, behave func(*websocket.Conn)) *Client {
	t.Helper()
	served := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer close(served)
		defer ws.Close()
		behave(ws)
	}))
	c, err := dial(t.Context(), Endpoint{Addr: srv.Listener.Addr().String(), Token: testToken}, timing)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		<-served
		srv.Close()
	})
	return c
}

type request struct {
	ID     uint64          `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

// answers replies to each request with the given member: "result" or "error", and its value.
func answers(member, value string) func(*websocket.Conn) {
	return func(ws *websocket.Conn) {
		for {
			var r request
			if ws.ReadJSON(&r) != nil {
				return
			}
			msg := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,%q:%s}`, r.ID, member, value)
			_ = ws.WriteMessage(websocket.TextMessage, []byte(msg))
		}
	}
}

// reads throws away what comes.
func reads(ws *websocket.Conn) {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
	}
}

func TestClient_ResultsThatCannotBeTrueAreErrors(t *testing.T) {
	health := func(c *Client) error { _, err := c.Health(t.Context()); return err }
	read := func(c *Client) error {
		_, err := c.ReadFile(t.Context(), ReadFileParams{Path: "x", Limit: 10})
		return err
	}
	write := func(c *Client) error {
		_, err := c.WriteFile(t.Context(), WriteFileParams{Path: "x", Content: "abc"})
		return err
	}
	list := func(c *Client) error { _, err := c.ListFiles(t.Context(), ListFilesParams{Limit: 1}); return err }
	run := func(c *Client) error { _, err := c.RunCommand(t.Context(), RunCommandParams{Command: "x"}); return err }
	search := func(c *Client) error {
		_, err := c.SearchCode(t.Context(), SearchCodeParams{Query: "x", Limit: 1})
		return err
	}
	entry := func(s string) string { return `{"entries":[{` + s + `}]}` }
	for name, tc := range map[string]struct {
		result string
		call   func(*Client) error
	}{
		"another type":         {`"ready"`, health},
		"an array":             {`[]`, list},
		"null":                 {`null`, health},
		"unknown state":        {`{"editor":"\u001b[2J"}`, health},
		"negative uptime":      {`{"editor":"running","uptimeSeconds":-1}`, health},
		"a number too large":   {`{"editor":"running","uptimeSeconds":1e300}`, health},
		"more than asked":      {`{"content":"01234567890","size":5}`, read},
		"negative size":        {`{"content":"","size":-5}`, read},
		"unknown encoding":     {`{"content":"","encoding":"gzip"}`, read},
		"no base64":            {`{"content":"!","encoding":"base64"}`, read},
		"written less":         {`{"size":2}`, write},
		"more entries":         {`{"entries":[{"path":"a","type":"file"},{"path":"b","type":"file"}]}`, list},
		"an absolute path":     {entry(`"path":"/etc/passwd","type":"file"`), list},
		"a path that climbs":   {entry(`"path":"a/../../b","type":"file"`), list},
		"a path up":            {entry(`"path":"..","type":"dir"`), list},
		"no path":              {entry(`"type":"dir"`), list},
		"a long path":          {entry(`"path":"` + strings.Repeat("x", MaxPath+1) + `","type":"dir"`), list},
		"unknown type":         {entry(`"path":"a","type":"<script>"`), list},
		"negative entry":       {entry(`"path":"a","type":"file","size":-1`), list},
		"output above limit":   {`{"stdout":"` + strings.Repeat("x", MaxOutput+200) + `"}`, run},
		"an exit code":         {`{"exitCode":100000}`, run},
		"negative time":        {`{"durationMs":-1}`, run},
		"line 0":               {`{"matches":[{"path":"a","line":0,"column":1}]}`, search},
		"column -1":            {`{"matches":[{"path":"a","line":1,"column":-1}]}`, search},
		"long text":            {`{"matches":[{"path":"a","line":1,"column":1,"text":"` + strings.Repeat("x", 500) + `"}]}`, search},
		"a match elsewhere":    {`{"matches":[{"path":"../a","line":1,"column":1}]}`, search},
		"more matches":         {`{"matches":[{"path":"a","line":1,"column":1},{"path":"a","line":2,"column":1}]}`, search},
		"deep":                 {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), list},
		"a boolean for number": {`{"exitCode":true}`, run},
	} {
		if err := tc.call(hostile(t, answers("result", tc.result))); !errors.Is(err, ErrBadAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClient_StringsAreFitToBeShown(t *testing.T) {
	c := hostile(t, answers("result", `{"entries":[{"path":"a\u001b[31m\u202eb\n\r","type":"file"}]}`))
	l, err := c.ListFiles(t.Context(), ListFilesParams{})
	if err != nil || l.Entries[0].Path != "a\uFFFD[31m\uFFFDb\uFFFD\uFFFD" {
		t.Errorf("%#v, %v", l, err)
	}
	c = hostile(t, answers("result", `{"matches":[{"path":"a\u0000","line":1,"column":1,"text":"x\ty\u001b\u009b"}]}`))
	s, err := c.SearchCode(t.Context(), SearchCodeParams{Query: "x"})
	if err != nil || s.Matches[0].Path != "a\uFFFD" || s.Matches[0].Text != "x\ty\uFFFD\uFFFD" {
		t.Errorf("%#v, %v", s, err)
	}
	c = hostile(t, answers("error", `{"code":-32001,"message":"out\u001b]0;title\u0007`+strings.Repeat("x", 5000)+`"}`))
	_, err = c.ReadFile(t.Context(), ReadFileParams{Path: "x"})
	if !errors.Is(err, ErrOutside) || strings.ContainsAny(err.Error(), "\x1b\x07") || len(err.Error()) > maxErrorText {
		t.Errorf("%q", err)
	}
}

func TestClient_AContainerThatNeverReadsBlocksNoCaller(t *testing.T) {
	release := make(chan struct{})
	timing := Timing{Write: 300 * time.Millisecond, Ping: time.Minute, Pong: time.Minute}
	c := hostileTimed(t, timing, func(ws *websocket.Conn) {
		_ = ws.NetConn().(*net.TCPConn).SetReadBuffer(4 << 10)
		<-release
	})
	defer close(release)
	_ = c.stream.conn.NetConn().(*boundedConn).Conn.(*net.TCPConn).SetWriteBuffer(4 << 10) // So that both are full soon.
	began := time.Now()
	var calls sync.WaitGroup
	for range MaxInFlight + 8 {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := c.WriteFile(ctx, WriteFileParams{Path: "x", Content: strings.Repeat("x", MaxContent)})
			if err == nil {
				t.Error("a call that nobody read was answered")
			}
		})
	}
	quick, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Health(quick); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 4*time.Second {
		t.Errorf("a short call: %v after %s", err, time.Since(began))
	}
	calls.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s", took)
	}
	<-c.Done()
}

func TestClient_ACallThatIsCancelledReturnsAtOnceAndTellsTheContainer(t *testing.T) {
	seen := make(chan request, 2)
	c := hostile(t, func(ws *websocket.Conn) {
		for {
			var r request
			if ws.ReadJSON(&r) != nil {
				return
			}
			seen <- r
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	var id uint64
	go func() { id = (<-seen).ID; cancel() }()
	if _, err := c.Health(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	select {
	case r := <-seen:
		if r.Method != NotifyCancel || string(r.Params) != fmt.Sprintf(`{"id":%d}`, id) {
			t.Errorf("%+v", r)
		}
	case <-time.After(5 * time.Second):
		t.Error("the container was not told")
	}
}

func TestClient_AContainerThatIgnoresCancelsLosesTheConnection(t *testing.T) {
	defer func(d time.Duration) { cancelGrace = d }(cancelGrace)
	cancelGrace = 100 * time.Millisecond
	c := hostile(t, reads)
	if _, err := c.Health(within(t, 20*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection is still there")
	}
	if _, err := c.Health(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a call afterwards: %v", err)
	}
}

func TestClient_EveryCallEndsWithTheConnection(t *testing.T) {
	hangUp := make(chan struct{})
	c := hostile(t, func(ws *websocket.Conn) { <-hangUp })
	var calls sync.WaitGroup
	for range 3 * MaxInFlight { // Those that wait for a place, too.
		calls.Go(func() {
			if _, err := c.Health(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("%v", err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	close(hangUp)
	calls.Wait()
	<-c.Done()
}

func TestClient_AFrozenContainerIsNoticed(t *testing.T) {
	release := make(chan struct{})
	timing := Timing{Write: time.Second, Ping: 50 * time.Millisecond, Pong: 50 * time.Millisecond}
	c := hostileTimed(t, timing, func(*websocket.Conn) { <-release })
	defer close(release)
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Error("the connection is still there")
	}
}

func TestClient_WhatIsNotTheProtocolEndsTheConnection(t *testing.T) {
	text := func(msg string) func(*websocket.Conn) {
		return func(ws *websocket.Conn) { _ = ws.WriteMessage(websocket.TextMessage, []byte(msg)); reads(ws) }
	}
	for name, behave := range map[string]func(*websocket.Conn){
		"an answer to nothing": text(`{"jsonrpc":"2.0","id":77,"result":{}}`),
		"not JSON":             text(`hello`),
		"null":                 text(`null`),
		"neither":              text(`{"jsonrpc":"2.0","id":1}`),
		"a batch":              text(`[{"jsonrpc":"2.0","id":1,"result":{}}]`),
		"a frame too long":     text(`{"jsonrpc":"2.0","id":1,"result":"` + strings.Repeat("x", MaxFrame) + `"}`),
		"binary": func(ws *websocket.Conn) {
			_ = ws.WriteMessage(websocket.BinaryMessage, []byte(`{"jsonrpc":"2.0","id":1,"result":{}}`))
			reads(ws)
		},
		"a flood of pings": func(ws *websocket.Conn) {
			go reads(ws)
			for ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second)) == nil {
			}
		},
		"a flood of pongs": func(ws *websocket.Conn) {
			for ws.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Second)) == nil {
			}
		},
		"a message of empty frames": func(ws *websocket.Conn) {
			empty := bytes.Repeat([]byte{0x00, 0}, 8<<10) // continuations, without FIN
			for _, err := ws.NetConn().Write([]byte{0x01, 0}); err == nil; {
				_, err = ws.NetConn().Write(empty)
			}
		},
		"a flood of requests": func(ws *websocket.Conn) {
			for id := 0; ; id++ {
				msg := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"giveMeASecret"}`, id)
				if ws.WriteMessage(websocket.TextMessage, []byte(msg)) != nil {
					return
				}
			}
		},
	} {
		c := hostile(t, behave)
		select {
		case <-c.Done():
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the connection is still there", name)
		}
	}
}

// Nothing but pings and pongs may come for days.
func TestStream_PingsAndPongsAreNoPartOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		go func() {
			r, err := http.ReadRequest(bufio.NewReader(there))
			if err != nil {
				t.Error(err)
				return
			}
			accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 section 4.2.2
			_, _ = fmt.Fprintf(there, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
				base64.StdEncoding.EncodeToString(accept[:]))
			go func() { _, _ = io.Copy(io.Discard, there) }()
			ping := append([]byte{0x89, 125}, make([]byte, 125)...)
			for range 2 * maxMessage / len(ping) {
				time.Sleep(time.Second / controlRate)
				_, _ = there.Write(ping)
			}
			_, _ = there.Write([]byte{0x81, 2, '{', '}'})
		}()
		dialer := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return &boundedConn{Conn: here, left: maxHead}, nil }}
		ws, resp, err := dialer.DialContext(t.Context(), "ws://a/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		s := NewStream(ws, DefaultTiming)
		defer s.Close()
		var message struct{}
		if err := s.ReadObject(&message); err != nil {
			t.Error(err)
		}
	})
}

func TestClient_AContainerCanCallNothing(t *testing.T) {
	got := make(chan string, 1)
	hostile(t, func(ws *websocket.Conn) {
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":1,"method":"readFile","params":{"path":"/etc/passwd"}}`))
		_, msg, _ := ws.ReadMessage()
		got <- string(msg)
		reads(ws)
	})
	if msg := <-got; !strings.Contains(msg, "-32601") {
		t.Errorf("%s", msg)
	}
}

func TestDial_SaysWhatIsWrong(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusNotFound
		if r.Header.Get(TokenHeader) != testToken {
			status = http.StatusUnauthorized
		}
		http.Error(w, strings.Repeat("x", 10000), status)
	}))
	defer refuse.Close()
	addr := refuse.Listener.Addr().String()
	if _, err := Dial(t.Context(), addr, "wrong"); !errors.Is(err, ErrUnauthorized) {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err := Dial(t.Context(), addr, testToken); !errors.Is(err, ErrBadAnswer) {
		t.Errorf("404: %v", err)
	}
	for _, bad := range []string{"", "nowhere", "127.0.0.1:1", "127.0.0.1:80/path:1"} {
		if c, err := Dial(within(t, 2*time.Second), bad, testToken); err == nil {
			t.Errorf("%q: connected", bad)
			c.Close()
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := Dial(within(t, 50*time.Millisecond), silent.Addr().String(), testToken); err == nil {
		t.Error("a silent server: connected")
	}
}

// A container may answer a dial with a head that has no end: it is given up before it fills the memory.
func TestDial_AnEndlessHeadIsGivenUp(t *testing.T) {
	for name, line := range map[string]string{"many lines": "X: " + strings.Repeat("x", 1000) + "\r\n", "one line": strings.Repeat("x", 1000)} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		sent := make(chan int, 1)
		go func() {
			n := 0
			defer func() { sent <- n }()
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			head := "HTTP/1.1 101 Switching Protocols\r\nX: "
			for text := head; n < 256<<20; text = line {
				m, err := io.WriteString(conn, text)
				if n += m; err != nil {
					return
				}
			}
		}()
		if c, err := Dial(t.Context(), l.Addr().String(), testToken); err == nil {
			t.Errorf("%s: connected", name)
			c.Close()
		}
		l.Close()
		if n := <-sent; n > 16<<20 { // what the sockets hold, and a little
			t.Errorf("%s: it took %d MiB", name, n>>20)
		}
	}
}

func TestDialWith_AnOlderBridgeIsNamed(t *testing.T) {
	serve := func(member, value string) Endpoint {
		var work sync.WaitGroup
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			up := websocket.Upgrader{}
			ws, err := up.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			work.Go(func() {
				defer ws.Close()
				answers(member, value)(ws)
			})
		}))
		t.Cleanup(func() { srv.Close(); work.Wait() })
		return Endpoint{Addr: srv.Listener.Addr().String(), Token: testToken}
	}
	for name, at := range map[string]Endpoint{
		"one that knows no hello":    serve("error", `{"code":-32601,"message":"unknown method"}`),
		"one of an earlier protocol": serve("result", `{"protocol":0}`),
	} {
		if _, err := DialWith(t.Context(), at); !errors.Is(err, ErrOldBridge) || !strings.Contains(err.Error(), "rebuild the workspace") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := DialWith(t.Context(), serve("result", fmt.Sprintf(`{"protocol":%d,"version":"v2\u001b","methods":["a"]}`, Protocol+5)))
	if err != nil {
		t.Fatalf("a newer one: %v", err)
	}
	defer c.Close()
	if got := c.Hello(); got.Version != "v2\uFFFD" {
		t.Errorf("%+v", got)
	}
}

func TestClient_AMethodThatTheContainerDoesNotKnowMeansThatItIsOld(t *testing.T) {
	c := hostile(t, answers("error", `{"code":-32601,"message":"unknown method"}`))
	if _, err := c.Health(t.Context()); !errors.Is(err, ErrOldBridge) || !errors.Is(err, ErrUnknownMethod) {
		t.Error(err)
	}
}

func FuzzContent(f *testing.F) {
	f.Add([]byte("text"))
	f.Add([]byte{0, 1, 2, 0xff})
	f.Add([]byte(strings.Repeat("<", 100)))
	f.Fuzz(func(t *testing.T, b []byte) {
		content, encoding := EncodeContent(b)
		if got, err := DecodeContent(content, encoding); err != nil || string(got) != string(b) {
			t.Errorf("%q became %q, %v", b, got, err)
		}
		if n := JSONSize(content); n > len(b)*4/3+72 {
			t.Errorf("%d bytes became %d", len(b), n)
		}
	})
}

func FuzzPrintable(f *testing.F) {
	f.Add("a\x1b[31m\u202e\xff", 10)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 0 || limit > 1<<16 {
			return
		}
		for _, got := range []string{Printable(s, limit), printableLines(s, limit)} {
			if len(got) > limit || strings.ContainsAny(got, "\x00\x1b\x7f\r\u202e\u009b") || strings.ToValidUTF8(got, "") != got {
				t.Errorf("%q became %q", s, got)
			}
		}
	})
}

func TestRepositoryURL_NamesARepositoryInOneWay(t *testing.T) {
	for address, want := range map[string]string{
		"https://GitHub.com/o/r.git":          "https://github.com/o/r",
		"https://user:pass@github.com/o/r/":   "https://github.com/o/r",
		"git@github.com:o/r.git":              "ssh://github.com/o/r",
		"ssh://git@github.com:22/o/r":         "ssh://github.com:22/o/r",
		"http://127.0.0.1:8080/x/repo.git":    "http://127.0.0.1:8080/x/repo",
		"ext::sh -c id":                       "",
		"/srv/repo.git":                       "",
		"../repo":                             "",
		"file:///srv/repo":                    "",
		"-oProxyCommand=x:y":                  "",
		"https://":                            "",
		"https://github.com.evil.org/o/r.git": "https://github.com.evil.org/o/r",
	} {
		if got := RepositoryURL(address); got != want {
			t.Errorf("%q: %q, want %q", address, got, want)
		}
	}
}
