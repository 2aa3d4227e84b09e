package gateway

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is for what should happen at once, on a machine that is busy.
const patience = 30 * time.Second

// site is the deployment under test.
type site struct {
	name    string
	console string // origin
	scheme  string
	parent  string // domain of the workspaces
	port    string // ":8080", or "" where it is the scheme's default
	dialTo  string // host:port to connect to; "" means whatever is asked for
	own     *own   // nil where the deployment was given

	mu       sync.Mutex
	first    map[person]string // the sign-in links that were given
	people   map[person]string // their ids
	sessions map[person]string // "name=value", good until the end
	secrets  map[string]bool   // the values of all our cookies and tokens so far

	// Workspaces that run all the time: two of the admin's, and one of the member's.
	mine, sibling, theirs string
	watchers              map[string]*browser // who can ask their apps, by workspace

	late      *attempt // a hand-off that is left to grow old
	lateSince time.Time
}

// person is somebody who can sign in.
type person string

const (
	admin  person = "admin"
	member person = "member"
)

func newSite(name, console, parent string) (*site, error) {
	u, err := url.Parse(console)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is no address of a console", console)
	}
	s := &site{
		name: name, console: strings.TrimSuffix(console, "/"), scheme: u.Scheme, parent: parent,
		first: map[person]string{}, people: map[person]string{}, sessions: map[person]string{}, secrets: map[string]bool{}, watchers: map[string]*browser{},
	}
	if s.parent == "" {
		s.parent = "ws." + u.Hostname()
	}
	if u.Port() != "" {
		s.port = ":" + u.Port()
	}
	return s, nil
}

// given returns the deployment that the environment names, or nil.
func given() (*site, error) {
	console := os.Getenv("KALPANA_TEST_CONSOLE")
	if console == "" {
		return nil, nil
	}
	s, err := newSite("given", console, os.Getenv("KALPANA_TEST_WORKSPACES"))
	if err != nil {
		return nil, err
	}
	s.dialTo = os.Getenv("KALPANA_TEST_DIAL")
	s.first[admin], s.first[member] = os.Getenv("KALPANA_TEST_ADMIN_LINK"), os.Getenv("KALPANA_TEST_MEMBER_LINK")
	if s.first[admin] == "" {
		return nil, errors.New("KALPANA_TEST_ADMIN_LINK must hold a sign-in link of an admin")
	}
	return s, nil
}

// host returns the Host of a workspace label.
func (s *site) host(label string) string { return label + "." + s.parent + s.port }

// at returns the origin of a workspace label.
func (s *site) at(label string) string { return s.scheme + "://" + s.host(label) }

// preview returns the label of a port of a workspace.
func preview(port int, id string) string { return fmt.Sprintf("%d-%s", port, id) }

// unknown is an id that no workspace has.
const unknown = "zzzzzzzzzz"

// marker returns a word that nothing else holds.
func marker() string { return "m" + strings.ToLower(rand.Text()) }

// The headers of kinds of requests, as browsers send them.
var (
	navigation  = []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: none", "Accept: text/html"}
	subresource = []string{"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", "Sec-Fetch-Site: same-origin", "Accept: */*"}
	program     = []string{"Accept: */*"}
)

// with joins headers.
func with(headers ...any) []string {
	var all []string
	for _, h := range headers {
		switch h := h.(type) {
		case string:
			if h != "" {
				all = append(all, h)
			}
		case []string:
			all = append(all, h...)
		}
	}
	return all
}

// address is where a test's requests come from: each test has one of its own, so that limits by
// address concern that test alone. Linux has all of 127.0.0.0/8.
func (s *site) address(t testing.TB) net.IP {
	if s.own == nil {
		return nil
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, t.Name())
	sum := h.Sum32()
	return net.IPv4(127, 1+byte(sum>>16)%250, byte(sum>>8), 1+byte(sum)%250)
}

// dial connects to a host of the deployment.
func (s *site) dial(t testing.TB, host string) net.Conn {
	t.Helper()
	conn, err := s.connect(s.address(t), host)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (s *site) connect(from net.IP, host string) (net.Conn, error) {
	name, _, found := strings.Cut(host, ":")
	to := s.dialTo
	if to == "" {
		if to = host; !found {
			to += map[string]string{"http": ":80", "https": ":443"}[s.scheme]
		}
	}
	dialer := &net.Dialer{Timeout: patience}
	if from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: from}
	}
	conn, err := dialer.Dial("tcp", to)
	if err != nil || s.scheme == "http" {
		return conn, err
	}
	// The suite's own deployments have certificates that nobody vouches for.
	return tls.Client(conn, &tls.Config{ServerName: strings.ToLower(name), InsecureSkipVerify: s.own != nil}), nil
}

// answer is one answer of HTTP.
type answer struct {
	status int
	header http.Header
	body   string
	early  http.Header // of the last one with a status of 1xx that came before
}

// app returns the workspace whose app gave the answer, or "".
func (a *answer) app() string { return a.header.Get("X-App") }

func (a *answer) location() string { return a.header.Get("Location") }

// cookie returns a cookie that the answer sets, or nil.
func (a *answer) cookie(name string) *http.Cookie {
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (a *answer) String() string {
	return fmt.Sprintf("%d %v\n%.600s", a.status, a.header, a.body)
}

// bodyLimit is how much of an answer is read.
const bodyLimit = 64 << 20

func readAnswer(in *bufio.Reader, method string) (*answer, error) {
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		a, err := readAnswer(in, method)
		if a != nil && a.early == nil {
			a.early = resp.Header
		}
		return a, err
	}
	a := &answer{status: resp.StatusCode, header: resp.Header}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
		a.body = string(body)
		if err != nil {
			return a, err
		}
	}
	return a, nil
}

// send sends one request, whose target and headers ("Name: value") go out as they are, and returns
// the answer.
func (s *site) send(t testing.TB, method, address string, headers ...string) *answer {
	t.Helper()
	return s.sendBody(t, method, address, "", headers...)
}

func (s *site) sendBody(t testing.TB, method, address, body string, headers ...string) *answer {
	t.Helper()
	a, err := s.try(s.address(t), method, address, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v%s", method, address, err, s.log())
	}
	return a
}

func (s *site) try(from net.IP, method, address, body string, headers ...string) (*answer, error) {
	host, target := split(address)
	conn, err := s.connect(from, host)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	if _, err := io.WriteString(conn, head(method, target, host, body, headers...)+body); err != nil {
		return nil, err
	}
	return readAnswer(bufio.NewReader(conn), method)
}

// head returns the head of a request, up to its empty line.
func head(method, target, host, body string, headers ...string) string {
	lines := append([]string{method + " " + target + " HTTP/1.1", "Host: " + host}, headers...)
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// split parts an address into Host and target without looking into either.
func split(address string) (host, target string) {
	_, rest, _ := strings.Cut(address, "://")
	host, target, _ = strings.Cut(rest, "/")
	return host, "/" + target
}

// exchange writes bytes as they are, and returns the answers that come until the server closes the
// connection or is silent for a second.
func (s *site) exchange(t testing.TB, host, raw string) []*answer {
	t.Helper()
	return s.answers(t, host, raw, 0)
}

// exchange1 is exchange where there is but one request.
func (s *site) exchange1(t testing.TB, host, raw string) []*answer {
	t.Helper()
	return s.answers(t, host, raw, 1)
}

// answers returns at most so many answers; 0 is all that come.
func (s *site) answers(t testing.TB, host, raw string, most int) []*answer {
	t.Helper()
	conn := s.dial(t, host)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, raw) }()
	in := bufio.NewReader(conn)
	var answers []*answer
	wait := 5 * time.Second // some get no answer, and are right not to
	for {
		_ = conn.SetReadDeadline(time.Now().Add(wait))
		if _, err := in.Peek(1); err != nil {
			return answers
		}
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		a, err := readAnswer(in, http.MethodGet)
		if a != nil {
			answers = append(answers, a)
		}
		if err != nil || len(answers) == most {
			return answers
		}
		wait = time.Second
	}
}

// log returns the end of the gateway's log, where there is one.
func (s *site) log() string {
	if s.own == nil {
		return ""
	}
	return "\n" + s.own.Log.Tail()
}

// record is what test/gateway/app remembers of a request.
type record struct {
	Port    int
	Refused bool
	Raw     []byte
}

// line returns the request line, and header the rest of the head, as net/http reads it.
func (r *record) line() string {
	line, _, _ := bytes.Cut(r.Raw, []byte("\r\n"))
	return string(line)
}

func (r *record) header(t testing.TB) http.Header {
	t.Helper()
	parsed, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(r.Raw)))
	if err != nil {
		t.Fatalf("the app got what is no request: %v\n%q", err, r.Raw)
	}
	return parsed.Header
}

// reached returns what holds text of all that reached the app of a workspace.
func (s *site) reached(t testing.TB, id, text string) []record {
	t.Helper()
	a := s.watchers[id].do(t, http.MethodGet, s.at(id)+"/__app/requests?contains="+url.QueryEscape(text), program...)
	var found []record
	if a.status != http.StatusOK || json.Unmarshal([]byte(a.body), &found) != nil {
		t.Fatalf("the app of %s does not tell what reached it: %v", id, a)
	}
	return found
}

// unreached fails when something that holds text has reached an app.
func (s *site) unreached(t testing.TB, text, what string) {
	t.Helper()
	for id := range s.watchers {
		for _, r := range s.reached(t, id, text) {
			t.Errorf("%s: it reached the app of %s:\n%q", what, s.who(id), r.Raw)
		}
	}
}

func (s *site) who(id string) string {
	switch id {
	case s.mine:
		return "mine"
	case s.sibling:
		return "sibling"
	case s.theirs:
		return "theirs"
	}
	return id
}

// secret remembers the value of a cookie of ours, which no app must ever see.
func (s *site) secret(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets[value] = true
}

// eventually waits until ok returns true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	eventuallyWithin(t, patience, what, ok)
}

func eventuallyWithin(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

func (r record) String() string { return fmt.Sprintf("port %d: %.2000q", r.Port, r.Raw) }
