// Command app stands in for everything that runs in a workspace's container, and keeps a record of
// the bytes that reached it. It serves what the bridge does, and asks for the workspace's token as
// the bridge does:
//
//	8080  the IDE
//	3001  the bridge, and previews: whatever has X-Kalpana-Port
//
// It answers every request with "X-App: <workspace>" and the request's target, every WebSocket with
// its own messages, and these targets in a way of their own:
//
//	/__app/requests?contains=<text>   the record: JSON of []record, without the questions for it
//	/__app/answer?bytes=<base64url>   these very bytes, 300 KiB for each "{long}"; with &open=1 the
//	                                  connection stays open
//	/__app/stream                     a line every 50 ms
//	/__app/flood                      as much as the connection takes, also on a WebSocket
//	/__app/silent                     nothing
//	/__app/deaf                       a WebSocket that is never read from
//	/__app/file/<name>                the file of that name in the volume: GET, and POST to replace it
//	/__app/eat                        takes memory until it is ended for that
//	/__app/exit?code=<n>              ends the container
//
// A workspace of the repository https://app.test/<act> plays a bridge that is hostile from the start, or
// one that is slow or broken: see [readyActs] and [begin].
package main

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

// record is one request as it came.
type record struct {
	Port    int    // 8080 or 3001
	Refused bool   // it had no token, or the wrong one
	Raw     []byte // the head and what came of the body, cut at rawLimit
}

const (
	rawLimit    = 64 << 10
	recordLimit = 100_000
)

var (
	token = os.Getenv(bridge.EnvToken)
	self  = os.Getenv(bridge.EnvWorkspaceID)

	mu      sync.Mutex
	records []*record
)

func main() {
	if token == "" {
		log.Fatal(bridge.EnvToken + " is empty")
	}
	begin(path.Base(os.Getenv(bridge.EnvRepository)))
	for _, port := range []int{bridge.IDEPort, bridge.BridgePort} {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					log.Fatal(err)
				}
				go serve(conn, port)
			}
		}()
	}
	select {}
}

// tap is a connection that remembers what was read from it.
type tap struct {
	net.Conn
	seen []byte
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	if len(t.seen) < rawLimit+64<<10 {
		t.seen = append(t.seen, p[:n]...)
	}
	return n, err
}

// serve answers the requests of one connection.
func serve(conn net.Conn, port int) {
	defer conn.Close()
	t := &tap{Conn: conn}
	in := bufio.NewReaderSize(t, 64<<10)
	for {
		ahead, _ := in.Peek(in.Buffered())
		t.seen = append([]byte{}, ahead...)
		r, err := http.ReadRequest(in)
		now := &record{Port: port}
		if err != nil {
			if len(t.seen) > 0 {
				now.keep(t, in)
				add(now)
			}
			return
		}
		given := r.Header[bridge.TokenHeader]
		now.Refused = len(given) != 1 || subtle.ConstantTimeCompare([]byte(given[0]), []byte(token)) != 1
		now.keep(t, in)
		add(now)
		switch {
		case now.Refused:
			fmt.Fprint(conn, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		case !answer(t, in, r, port, now):
			return
		}
	}
}

func add(r *record) {
	mu.Lock()
	defer mu.Unlock()
	if len(records) < recordLimit {
		records = append(records, r)
	}
}

// keep copies what was read of the request so far.
func (r *record) keep(t *tap, in *bufio.Reader) {
	raw := t.seen[:max(0, len(t.seen)-in.Buffered())]
	mu.Lock()
	defer mu.Unlock()
	r.Raw = append([]byte{}, raw[:min(len(raw), rawLimit)]...)
}

// answer answers a request, and reports whether another may follow on the connection.
func answer(t *tap, in *bufio.Reader, r *http.Request, port int, now *record) bool {
	if r.Header.Get("Expect") != "" {
		fmt.Fprint(t, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	if port == bridge.IDEPort && r.URL.Path == bridge.ReadyPath {
		act := readyActs[path.Base(os.Getenv(bridge.EnvRepository))]
		if act == nil {
			time.Sleep(time.Until(readyAt))
			return write(t, 200, "application/json", []byte(`{"ready":true}`))
		}
		act(t)
		return false
	}
	if port == bridge.BridgePort && r.URL.Path == "/.kalpana/activity" && r.Header.Get(bridge.PortHeader) == "" {
		return write(t, 200, "application/json", []byte(`{"last":[],"keepAlive":0,"cpu":0}`))
	}
	if r.Header.Get("Upgrade") != "" && r.URL.Path != "/__app/answer" {
		socket(t, in, r)
		return false
	}
	switch r.URL.Path {
	case "/__app/requests":
		body, err := json.Marshal(find(r.URL.Query().Get("contains")))
		if err != nil {
			log.Print(err)
			return false
		}
		return write(t, 200, "application/json", body)
	case "/__app/answer":
		raw, err := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("bytes"))
		if err != nil {
			return write(t, 400, "text/plain", []byte(err.Error()))
		}
		_, _ = t.Write(bytes.ReplaceAll(raw, []byte("{long}"), bytes.Repeat([]byte("x"), 300<<10)))
		if r.URL.Query().Has("open") {
			_, _ = io.Copy(io.Discard, in)
		}
		return false
	case "/__app/stream":
		fmt.Fprint(t, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-App: "+self+"\r\n\r\n")
		for {
			if _, err := fmt.Fprint(t, "data: more\n\n"); err != nil {
				return false
			}
			time.Sleep(50 * time.Millisecond)
		}
	case "/__app/flood":
		fmt.Fprint(t, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-App: "+self+"\r\n\r\n")
		flood(t)
		return false
	case "/__app/silent":
		_, _ = io.Copy(io.Discard, in)
		return false
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/__app/file/"); ok {
		return file(t, r, path.Base(name))
	}
	switch r.URL.Path {
	case "/__app/eat":
		eat()
	case "/__app/exit":
		code, _ := strconv.Atoi(r.URL.Query().Get("code"))
		fmt.Println("told to end")
		os.Exit(code)
	}
	_, err := io.Copy(io.Discard, r.Body)
	now.keep(t, in)
	if err != nil {
		return false
	}
	return write(t, 200, "text/plain", []byte(r.RequestURI))
}

func write(w io.Writer, status int, kind string, body []byte) bool {
	_, err := fmt.Fprintf(w, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nX-App: %s\r\nContent-Length: %d\r\n\r\n%s",
		status, http.StatusText(status), kind, self, len(body), body)
	return err == nil
}

// home is where the volume is.
const home = "/home/dev"

// file answers with a file of the volume, or replaces it: one that is answered with 200 is there as a
// whole.
func file(w io.Writer, r *http.Request, name string) bool {
	target := filepath.Join(home, name)
	if r.Method == http.MethodPost {
		content, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		next := target + "." + strconv.FormatInt(time.Now().UnixNano(), 36)
		err = os.WriteFile(next, content, 0o644)
		if err == nil {
			err = os.Rename(next, target)
		}
		if err != nil {
			_ = os.Remove(next)
			return write(w, 507, "text/plain", []byte(err.Error()))
		}
		return write(w, 200, "text/plain", nil)
	}
	content, err := os.ReadFile(target)
	if err != nil {
		return write(w, 404, "text/plain", []byte(err.Error()))
	}
	return write(w, 200, "text/plain", content)
}

func eat() {
	var kept [][]byte
	for {
		kept = append(kept, bytes.Repeat([]byte{1}, 1<<20))
		_ = kept
	}
}

// readyAt is when VS Code runs, so to speak.
var readyAt time.Time

// begin plays what comes before a bridge listens: "ready-after-2s" is one that takes its time, and
// "ends-with-3" one that ends at once.
func begin(act string) {
	if d, err := time.ParseDuration(strings.TrimPrefix(act, "ready-after-")); err == nil {
		readyAt = time.Now().Add(d)
	}
	if code, ok := strings.CutPrefix(act, "ends-with-"); ok {
		fmt.Println("the disk caught fire")
		n, _ := strconv.Atoi(code)
		os.Exit(n)
	}
}

func flood(w io.Writer) {
	chunk := bytes.Repeat([]byte("flood "), 8<<10)
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// find returns the records that hold text, without questions for records.
func find(text string) []record {
	mu.Lock()
	defer mu.Unlock()
	found := []record{}
	for _, r := range records {
		line, _, _ := bytes.Cut(r.Raw, []byte("\r\n"))
		if bytes.Contains(r.Raw, []byte(text)) && !bytes.Contains(line, []byte(" /__app/requests")) {
			found = append(found, *r)
		}
	}
	return found
}

// socket opens a WebSocket and sends every message back.
func socket(t *tap, in *bufio.Reader, r *http.Request) {
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(&hijacked{t, in, http.Header{}}, r, http.Header{"X-App": {self}})
	if err != nil {
		return
	}
	defer conn.Close()
	switch r.URL.Path {
	case "/__app/deaf":
		select {}
	case "/__app/flood":
		for message := bytes.Repeat([]byte("flood "), 8<<10); conn.WriteMessage(websocket.BinaryMessage, message) == nil; {
		}
		return
	}
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, message) != nil {
			return
		}
	}
}

// hijacked lends a connection to websocket.Upgrader.
type hijacked struct {
	conn   *tap
	in     *bufio.Reader
	header http.Header
}

func (h *hijacked) Header() http.Header { return h.header }

func (h *hijacked) WriteHeader(status int) {
	fmt.Fprintf(h.conn, "HTTP/1.1 %d No\r\nConnection: close\r\n\r\n", status)
}

func (h *hijacked) Write(p []byte) (int, error) { return h.conn.Write(p) }

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if h.in.Buffered() > 0 {
		return nil, nil, errors.New("more than a handshake came")
	}
	return h.conn.Conn, bufio.NewReadWriter(bufio.NewReader(h.conn.Conn), bufio.NewWriter(h.conn.Conn)), nil
}

// readyActs are hostile ways to answer the question whether VS Code runs.
var readyActs = map[string]func(io.Writer){
	"not-ready-with-200": func(w io.Writer) { write(w, 200, "application/json", []byte(`{"ready":false}`)) },
	"not-json":           func(w io.Writer) { write(w, 200, "application/json", []byte(`ready`)) },
	"endless":            func(w io.Writer) { fmt.Fprint(w, "HTTP/1.1 200 OK\r\n\r\n"); flood(w) },
	"endless-header":     func(w io.Writer) { fmt.Fprint(w, "HTTP/1.1 200 OK\r\nX-Long: "); flood(w) },
	"redirect": func(w io.Writer) {
		fmt.Fprintf(w, "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%s/redirected\r\nContent-Length: 0\r\n\r\n", redirectPort())
	},
	"huge-reason": func(w io.Writer) {
		body, _ := json.Marshal(bridge.ReadyReport{
			Error: strings.Repeat("<script>alert(1)</script>\x1b[31m\u202e\n", 1000),
			Log:   strings.Repeat("line\x1b]0;title\x07\u202e\n", 500),
		})
		write(w, 503, "application/json", body)
	},
	"not-http": func(w io.Writer) { fmt.Fprint(w, "SSH-2.0-OpenSSH_9.2p1\r\n") },
	"silent":   func(io.Writer) { select {} },
}

// redirectPort is the port that the repository's host names: https://app.test:<port>/redirect.
func redirectPort() string {
	_, rest, _ := strings.Cut(os.Getenv(bridge.EnvRepository), "app.test:")
	port, _, _ := strings.Cut(rest, "/")
	return port
}
