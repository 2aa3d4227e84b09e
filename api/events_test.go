package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
)

// stream is an open event stream.
type stream struct {
	t     *testing.T
	body  io.ReadCloser
	lines *bufio.Reader
}

func (s *online) events(b *browser) *stream {
	s.t.Helper()
	return s.eventsBy(s.client, b)
}

func (s *online) eventsBy(client *http.Client, b *browser) *stream {
	s.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://kalpana.localhost:8080/api/events", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Cookie", b.cookie)
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		s.t.Fatalf("%d, %v", resp.StatusCode, resp.Header)
	}
	return &stream{s.t.(*testing.T), resp.Body, bufio.NewReader(resp.Body)}
}

// next returns the next event; comments are skipped. At the end it returns "end".
func (s *stream) next() (name string, data json.RawMessage) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return "end", nil
		}
		line = strings.TrimSuffix(line, "\n")
		if value, ok := strings.CutPrefix(line, "event: "); ok {
			name = value
		} else if value, ok := strings.CutPrefix(line, "data: "); ok {
			data = json.RawMessage(value)
		} else if line == "" && name != "" {
			return name, data
		}
	}
}

// must reads the next event, which must be of that name, into v.
func (s *stream) must(name string, v any) {
	s.t.Helper()
	got, data := s.next()
	if got != name {
		s.t.Fatalf("event %s %s, want %s", got, data, name)
	}
	if v == nil {
		return
	}
	if err := json.Unmarshal(data, v); err != nil {
		s.t.Fatalf("%s: %v", data, err)
	}
}

func TestEvents_ASnapshotThenEveryChangeOfMine(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
		first := asha.create("first")
		ravi.create("his")
		events := s.events(asha)
		var snapshot api.Workspaces
		events.must("snapshot", &snapshot)
		if diff := cmp.Diff([]api.Workspace{first}, snapshot.Workspaces); diff != "" {
			t.Errorf("snapshot: %s", diff)
		}

		ravi.create("another of his") // not hers to see
		second := asha.create("second")
		var got api.Workspace
		events.must("workspace", &got)
		if diff := cmp.Diff(second, got); diff != "" {
			t.Errorf("made: %s", diff)
		}
		asha.must(200, "PATCH", "/api/workspaces/"+second.ID, map[string]any{"name": "renamed"})
		if events.must("workspace", &got); got.Name != "renamed" {
			t.Errorf("renamed: %+v", got)
		}
		asha.must(202, "POST", "/api/workspaces/"+second.ID+"/start", nil)
		states := []string{}
		for got.State != "running" {
			if events.must("workspace", &got); len(states) == 0 || states[len(states)-1] != got.State {
				states = append(states, got.State)
			}
		}
		if strings.Join(states, " ") != "starting running" {
			t.Errorf("states %v", states)
		}
		go asha.do("DELETE", "/api/workspaces/"+second.ID, nil)
		for name, data := events.next(); ; name, data = events.next() {
			if name == "workspace" {
				continue
			}
			if name != "deleted" || string(data) != `{"id":"`+second.ID+`"}` {
				t.Errorf("%s %s", name, data)
			}
			break
		}
	})
}

func TestEvents_ASilentStreamLivesForHours(t *testing.T) {
	for name, client := range map[string]func(*online) *http.Client{
		"HTTP/1.1": func(s *online) *http.Client { return s.client },
		"HTTP/2":   func(s *online) *http.Client { return s.client2 }, // a deadline that passes ends it, written to or not
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *online) {
				asha := s.signIn("Asha")
				events := s.eventsBy(client(s), asha)
				events.must("snapshot", nil)
				go func() {
					time.Sleep(3 * time.Hour)
					asha.create("after hours")
				}()
				start, comments := time.Now(), 0
				for {
					line, err := events.lines.ReadString('\n')
					if err != nil {
						t.Fatalf("ended after %v: %v", time.Since(start), err)
					}
					if line == ": alive\n" {
						comments++
					}
					if line == "event: workspace\n" {
						break
					}
				}
				if comments < 500 || comments > 560 {
					t.Errorf("%d signs of life in %v, want one in 20 s", comments, time.Since(start))
				}
			})
		})
	}
}

func TestEvents_EndWithTheServerAndSayIt(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		events := s.events(s.signIn("Asha"))
		events.must("snapshot", nil)
		close(s.stopping)
		events.must("stopping", nil)
		events.must("end", nil)
		mustSettle(t, s)
	})
}

func TestEvents_EndAtSignOut(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		one, two := s.events(asha), s.events(asha)
		other := s.events(s.signIn("Ravi"))
		for _, events := range []*stream{one, two, other} {
			events.must("snapshot", nil)
		}
		start := time.Now()
		asha.must(204, "POST", "/api/logout", nil)
		one.must("end", nil)
		two.must("end", nil)
		if took := time.Since(start); took > time.Second {
			t.Errorf("ended after %v", took)
		}
		close(s.stopping)
		other.must("stopping", nil) // it had gone on
		mustSettle(t, s)
	})
}

func TestEvents_EndWhenTheReaderLeaves(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		events := s.events(s.signIn("Asha"))
		events.must("snapshot", nil)
		if s.identity.Open() != 1 {
			t.Errorf("%d open", s.identity.Open())
		}
		_ = events.body.Close()
		mustSettle(t, s)
	})
}

func TestEvents_APersonHasSoManyStreamsAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha, ravi := s.signIn("Asha"), s.signIn("Ravi")
		var open []*stream
		for range 200 {
			open = append(open, s.events(asha))
		}
		asha.must(http.StatusTooManyRequests, "HEAD", "/api/events", nil)
		s.events(ravi).must("snapshot", nil)
		_ = open[0].body.Close()
		synctest.Wait()
		s.events(asha).must("snapshot", nil)
	})
}

// A reader that does not read is left behind, and gets a snapshot when it reads again.
func TestEvents_AReaderThatFellBehindGetsASnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		w := asha.create("x")
		events := s.events(asha)
		events.must("snapshot", nil)
		for i := range 200 { // the pipe holds nothing, the orchestrator 64
			asha.must(200, "PATCH", "/api/workspaces/"+w.ID, map[string]any{"name": strings.Repeat("x", i%60+1)})
		}
		asha.must(200, "PATCH", "/api/workspaces/"+w.ID, map[string]any{"name": "the last"})
		for {
			name, data := events.next()
			if name == "end" {
				t.Fatal("the stream ended")
			}
			if name == "snapshot" {
				if !strings.Contains(string(data), "the last") {
					t.Errorf("snapshot %s", data)
				}
				return
			}
		}
	})
}

func TestEvents_AReaderThatNeverReadsIsCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		asha := s.signIn("Asha")
		conn, err := s.network.Dial(context.Background(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /api/events HTTP/1.1\r\nHost: kalpana.localhost:8080\r\nCookie: "+asha.cookie+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if s.identity.Open() != 1 {
			t.Errorf("%d open", s.identity.Open())
		}
		time.Sleep(15 * time.Second)
		mustSettle(t, s)
	})
}

func TestEvents_EndWithTheSession(t *testing.T) {
	inBubble(t, func(t *testing.T, s *online) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.identity.Run(ctx)
		}()
		defer func() {
			cancel()
			<-done
		}()
		asha := s.signIn("Asha")
		token := strings.TrimPrefix(asha.cookie, identity.SessionCookie+"=")
		if err := s.store.TouchSession(ctx, identity.Hash(token), time.Now(), time.Now().Add(10*time.Minute)); err != nil {
			t.Fatal(err)
		}
		events := s.events(asha)
		events.must("snapshot", nil)
		start := time.Now()
		events.must("end", nil)
		if took := time.Since(start); took < 10*time.Minute || took > 10*time.Minute+2*time.Second {
			t.Errorf("ended after %v", took)
		}
	})
}

// mustSettle checks that no stream is held any more, a moment later.
func mustSettle(t *testing.T, s *online) {
	t.Helper()
	synctest.Wait()
	if n := s.identity.Open(); n != 0 {
		t.Errorf("%d streams are still held", n)
	}
}
