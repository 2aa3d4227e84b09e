package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/identity"
)

func TestBody_WhatIsNoJSONIsRefused(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	for name, body := range map[string]string{
		"cut off": `{"name":"x","template":`, "a bare brace": "{", "text": "hello", "XML": "<name>x</name>", "two documents": `{"name":"x","template":"blank"}{}`,
		"a trailing comma": `{"name":"x","template":"blank",}`, "single quotes": `{'name':'x'}`, "NaN": `{"name":NaN}`, "a form": "name=x&template=blank",
		"NUL": "\x00", "binary": "\xff\xfe\x00", "deep": strings.Repeat("[", 20_000), "empty": "", "space": "   ",
	} {
		p := problemOf(t, asha.must(400, "POST", "/api/workspaces", body))
		if p.Status != 400 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for name, body := range map[string]string{
		"null": "null", "a list": "[]", "a string": `"x"`, "a number": "7", "deep": strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
	} {
		p := problemOf(t, asha.must(422, "POST", "/api/workspaces", body))
		if len(p.Errors) == 0 {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if list := decode[api.Workspaces](t, asha.must(200, "GET", "/api/workspaces", nil)); len(list.Workspaces) != 0 {
		t.Errorf("made: %+v", list)
	}
}

// What a plain HTML form can send without asking first is no content type of ours.
func TestBody_OtherContentTypesAreRefused(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	const body = `{"name":"x","template":"blank"}`
	for _, kind := range []string{
		"text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "application/cbor",
		"application/yaml", "text/json", "application/jsonp", "*/*", "x",
	} {
		r := asha.request("POST", "/api/workspaces", body)
		r.Header["Content-Type"] = []string{kind}
		w := serve(asha, r)
		if w.Code != http.StatusUnsupportedMediaType && w.Code != http.StatusBadRequest {
			t.Errorf("%q: %d %s", kind, w.Code, w.Body)
			continue
		}
		problemOf(t, w)
	}
	for _, kind := range []string{"application/json", "application/json; charset=utf-8", "application/problem+json"} {
		r := asha.request("POST", "/api/workspaces", body)
		r.Header["Content-Type"] = []string{kind}
		if w := serve(asha, r); w.Code != 201 {
			t.Errorf("%q: %d %s", kind, w.Code, w.Body)
		}
	}
}

func TestBody_OverTheLimitIsRefused(t *testing.T) {
	asha := newSite(t).signIn("Asha")
	for _, size := range []int{64 << 10, 1 << 20} {
		asha.must(413, "POST", "/api/workspaces", `{"name":"`+strings.Repeat("x", size)+`"}`)
		asha.must(413, "POST", "/api/workspaces", strings.Repeat(" ", size))
	}
	asha.must(422, "POST", "/api/workspaces", `{"name":"`+strings.Repeat("x", 60<<10)+`"}`)
}

// endless is a body that goes on for as long as it is read.
type endless struct{ pause time.Duration }

func (e endless) Read(p []byte) (int, error) {
	time.Sleep(e.pause)
	n := min(len(p), 16)
	copy(p, strings.Repeat(" ", n))
	return n, nil
}

func TestBody_ThatNeverEndsIsGivenUpWithinSeconds(t *testing.T) {
	for name, test := range map[string]struct {
		body   func() io.Reader
		status int
	}{
		"quick":  {func() io.Reader { return endless{} }, http.StatusRequestEntityTooLarge},
		"slow":   {func() io.Reader { return endless{time.Second} }, http.StatusRequestTimeout},
		"silent": {func() io.Reader { return endless{time.Hour} }, http.StatusRequestTimeout},
	} {
		for _, length := range []int64{-1, 60_000} { // chunked, or announced
			t.Run(fmt.Sprintf("%s, length %d", name, length), func(t *testing.T) {
				inBubble(t, func(t *testing.T, s *online) {
					asha := s.signIn("Asha")
					conn, err := s.network.Dial(t.Context(), "", "")
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
					encoding := "Transfer-Encoding: chunked"
					if length >= 0 {
						encoding = fmt.Sprint("Content-Length: ", length)
					}
					_, _ = fmt.Fprintf(conn, "POST /api/workspaces HTTP/1.1\r\nHost: kalpana.localhost:8080\r\nCookie: %s\r\nContent-Type: application/json\r\n%s\r\n\r\n", asha.cookie, encoding)
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						body, p := test.body(), make([]byte, 16)
						for {
							n, _ := body.Read(p)
							chunk := string(p[:n])
							if length < 0 {
								chunk = fmt.Sprintf("%x\r\n%s\r\n", n, p[:n])
							}
							if _, err := io.WriteString(conn, chunk); err != nil {
								return
							}
						}
					}()
					start := time.Now()
					resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
					if err != nil {
						t.Fatal(err)
					}
					var p problem
					err = json.NewDecoder(resp.Body).Decode(&p)
					_ = resp.Body.Close()
					want := test.status
					if name == "quick" && length >= 0 {
						want = http.StatusBadRequest // it does end
					}
					if err != nil || resp.StatusCode != want || p.Status != want {
						t.Errorf("%d, %+v, %v; want %d", resp.StatusCode, p, err, want)
					}
					if took := time.Since(start); took > 11*time.Second {
						t.Errorf("given up after %v", took)
					}
					_ = conn.Close()
					<-sent
				})
			})
		}
	}
}

// An admin who keeps a request open that makes them one again, and ends it once they are none.
func TestBody_WhoLosesTheRightWhileItComesIsTooLate(t *testing.T) {
	for what, change := range map[string]string{"disabled": `{"disabled":true}`, "a member": `{"role":"member"}`, "nothing": `{}`} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *online) {
				admin, evil := s.admin(), s.signIn("Eve")
				id := decode[api.Me](t, evil.must(200, "GET", "/api/me", nil)).ID
				admin.must(200, "PATCH", "/api/people/"+id, `{"role":"admin"}`)
				conn, err := s.network.Dial(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				const body = `{"role":"admin","disabled":false}`
				_, _ = fmt.Fprintf(conn, "PATCH /api/people/%s HTTP/1.1\r\nHost: kalpana.localhost:8080\r\nCookie: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n{", id, evil.cookie, len(body))
				time.Sleep(3 * time.Second)
				admin.must(200, "PATCH", "/api/people/"+id, change)
				time.Sleep(3 * time.Second)
				_, _ = io.WriteString(conn, body[1:])
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				p, err := s.identity.Person(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if is := p.Role == identity.RoleAdmin && !p.Disabled; is != (what == "nothing") || (resp.StatusCode == http.StatusOK) != is {
					t.Errorf("%d, and Eve is %+v", resp.StatusCode, p)
				}
			})
		})
	}
}

// A program that keeps a message to the agent open, and ends it once its token is revoked.
func TestBody_ATokenThatIsRevokedWhileItComesIsTooLate(t *testing.T) {
	for _, revoked := range []bool{true, false} {
		inBubble(t, func(t *testing.T, s *online) {
			asha := s.signIn("Asha")
			w := asha.create("one")
			text, token, err := s.identity.CreateToken(t.Context(), asha.caller(), "ci", []identity.Scope{identity.ScopeAgent}, time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			body, err := json.Marshal(said("c1", w.ID, "Hi"))
			if err != nil {
				t.Fatal(err)
			}
			s.model.turns <- says("Hello")
			conn, err := s.network.Dial(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = fmt.Fprintf(conn, "POST /api/agent HTTP/1.1\r\nHost: kalpana.localhost:8080\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", text)
			_, _ = fmt.Fprintf(conn, "%x\r\n%s\r\n", len(body)-1, body[:len(body)-1])
			time.Sleep(3 * time.Second)
			if revoked {
				asha.must(204, "DELETE", "/api/tokens/"+token.ID, nil)
			}
			time.Sleep(3 * time.Second)
			_, _ = io.WriteString(conn, "1\r\n}\r\n0\r\n\r\n")
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if (resp.StatusCode == http.StatusOK) == revoked {
				t.Errorf("revoked: %t, status %d", revoked, resp.StatusCode)
			}
			if !revoked {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			if left := len(s.model.turns); (left == 1) != revoked {
				t.Errorf("revoked: %t, and the agent was asked %d times", revoked, 1-left)
			}
		})
	}
}

func TestBody_OfAStrangerIsNotEvenRead(t *testing.T) {
	s := newSite(t)
	r := s.stranger().request("POST", "/api/workspaces", "")
	r.Body = io.NopCloser(unreadable{t})
	if w := serve(s.stranger(), r); w.Code != http.StatusUnauthorized {
		t.Errorf("%d", w.Code)
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("read")
	return 0, io.EOF
}
