package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// socketHead are the headers of a WebSocket's handshake.
var socketHead = []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}

// foreignOrigins are the origins that are not a host's own, by what they are to it.
func (s *site) foreignOrigins(label string) map[string]string {
	own := s.at(label)
	host := s.host(label)
	name := strings.TrimSuffix(host, s.port)
	otherScheme := map[string]string{"http": "https", "https": "http"}[s.scheme]
	id := label[strings.Index(label, "-")+1:]
	sameWorkspace := preview(3005, id)
	return map[string]string{
		"sibling":               s.at(s.sibling),
		"somebody else's":       s.at(s.theirs),
		"preview of its own":    s.at(sameWorkspace),
		"console":               s.console,
		"the parent":            s.scheme + "://" + s.parent + s.port,
		"other scheme":          otherScheme + "://" + host,
		"other port":            s.scheme + "://" + name + ":1",
		"no port":               s.scheme + "://" + name + map[bool]string{true: ":80", false: ""}[s.port == ""],
		"null":                  "null",
		"empty":                 "",
		"a star":                "*",
		"prefix":                s.scheme + "://x" + host,
		"prefix, dotted":        s.scheme + "://x." + host,
		"suffix":                own + ".evil.com",
		"suffix of the name":    s.scheme + "://" + name + ".evil.com" + s.port,
		"suffix, glued":         own + "x",
		"a digit more":          own + "0",
		"a digit less":          own[:len(own)-1],
		"a user":                s.scheme + "://user@" + host,
		"as a user":             s.scheme + "://" + host + "@evil.com",
		"as a path":             s.scheme + "://evil.com/" + host,
		"as a fragment":         s.scheme + "://evil.com#" + host,
		"with a slash":          own + "/",
		"with a path":           own + "/x",
		"upper case":            strings.ToUpper(own),
		"upper host":            s.scheme + "://" + strings.ToUpper(host),
		"trailing dot":          s.scheme + "://" + name + "." + s.port,
		"only the host":         host,
		"no scheme":             "//" + host,
		"file":                  "file://",
		"an extension":          "chrome-extension://abcdefghijklmnop",
		"two in one":            own + " " + own,
		"two in one, comma":     own + ", " + own,
		"foreign, then own":     "http://evil.com " + own,
		"quoted":                `"` + own + `"`,
		"evil":                  "http://evil.com",
		"localhost":             "http://localhost" + s.port,
		"loopback":              "http://127.0.0.1" + s.port,
		"IDNA look-alike":       s.scheme + "://а" + host[1:],
		"the bytes of a NUL":    own + "%00.evil.com",
		"a wildcard":            s.scheme + "://*." + s.parent + s.port,
		"a very long one":       own + strings.Repeat("x", 10_000),
		"a scheme in capitals":  strings.ToUpper(s.scheme) + own[len(s.scheme):],
		"a scheme with a space": s.scheme + ": //" + host,
	}
}

// sockets opens WebSockets from every origin, at VS Code, at what would be the bridge's path, and at a
// preview.
func sockets(t *testing.T, s *site) {
	for name, at := range map[string]struct{ label, path string }{
		"IDE": {s.mine, "/"}, "TheBridgesPath": {s.mine, "/rpc"}, "OurOwnPath": {s.mine, "/.kalpana/wake"}, "Preview": {preview(3000, s.mine), "/hmr"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := s.browser(admin) // of its own: two hand-offs on one host at once are one too many
			grant := "Cookie: " + b.grant(t, at.label)
			mark := marker()
			address := s.at(at.label) + at.path + "?" + mark
			for what, origin := range s.foreignOrigins(at.label) {
				for kind, headers := range map[string][]string{
					"": socketHead, "with same-origin": with(socketHead, "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: websocket"),
				} {
					if a := s.send(t, "GET", address, with(headers, grant, "Origin: "+origin)...); a.status != http.StatusForbidden {
						t.Errorf("%s %s: %v", what, kind, a)
					}
				}
			}
			own := "Origin: " + s.at(at.label)
			for what, headers := range map[string][]string{
				"absent":                       {},
				"absent, with a referrer":      {"Referer: " + s.at(at.label) + "/"},
				"in Sec-WebSocket-Origin only": {"Sec-WebSocket-Origin: " + s.at(at.label)},
				"own and evil":                 {own, "Origin: http://evil.com"},
				"evil and own":                 {"Origin: http://evil.com", own},
				"own twice":                    {own, own},
				"folded name":                  {"X-Origin: " + s.at(at.label), "Origin_: " + s.at(at.label)},
			} {
				if a := s.send(t, "GET", address, with(socketHead, grant, headers)...); a.status != http.StatusForbidden {
					t.Errorf("%s: %v", what, a)
				}
			}
			for what, upgrade := range map[string][]string{
				"another protocol": {"Connection: Upgrade", "Upgrade: h2c"}, "in capitals": {"Connection: UPGRADE", "Upgrade: WEBSOCKET", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
				"among others": {"Connection: keep-alive, Upgrade", "Upgrade: foo, websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
				"two lines":    {"Connection: Upgrade", "Upgrade: foo", "Upgrade: websocket"},
				"empty":        {"Connection: Upgrade", "Upgrade:"},
			} {
				if a := s.send(t, "GET", address, with(upgrade, grant, "Origin: "+s.at(s.sibling))...); a.status == http.StatusSwitchingProtocols || a.app() != "" {
					t.Errorf("upgrade %s from a sibling: %v", what, a)
				}
			}
			for _, method := range []string{"POST", "CONNECT", "HEAD", "OPTIONS"} {
				if a := s.send(t, method, address, with(socketHead, grant, "Origin: "+s.at(s.sibling))...); a.status < 400 || a.app() != "" {
					t.Errorf("%s from a sibling: %v", method, a)
				}
			}
			s.unreached(t, mark, "a WebSocket from elsewhere")
			if a := s.send(t, "GET", address, with(socketHead, own)...); a.status != http.StatusUnauthorized {
				t.Errorf("from its own page without a grant: %v", a)
			}
			if at.path == "/.kalpana/wake" {
				return
			}
			conn, err := b.socket(t, s.at(at.label)+at.path, s.at(at.label))
			if err != nil {
				t.Fatalf("from its own page: %v", err)
			}
			defer conn.Close()
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if err := conn.WriteMessage(websocket.TextMessage, []byte(mark)); err != nil {
				t.Fatal(err)
			}
			if _, got, err := conn.ReadMessage(); err != nil || string(got) != mark {
				t.Errorf("its own page: %q, %v", got, err)
			}
		})
	}
}

// unsafeMethods sends what changes something, as pages elsewhere can make a browser do it.
func unsafeMethods(t *testing.T, s *site) {
	methods := []string{"POST", "PUT", "PATCH", "DELETE", "PROPFIND", "MKCOL", "PURGE", "get", "Post"}
	for name, label := range map[string]string{"IDE": s.mine, "Preview": preview(3000, s.mine)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			grant := "Cookie: " + s.browser(admin).grant(t, label)
			mark := marker()
			address := s.at(label) + "/" + mark
			refuses := func(what, method string, headers ...string) {
				t.Helper()
				if a := s.sendBody(t, method, address, "body", with(headers, grant)...); a.status != http.StatusForbidden {
					t.Errorf("%s %s: %v", method, what, a)
				}
			}
			own := "Origin: " + s.at(label)
			for _, method := range methods {
				for _, fetch := range []string{"same-site", "cross-site", "none", "SAME-ORIGIN", "same-origin, cross-site", "evil"} {
					for _, origin := range []string{"", own, "Origin: " + s.at(s.sibling), "Origin: null"} {
						refuses(fetch+" "+origin, method, with("Sec-Fetch-Site: "+fetch, origin)...)
					}
					refuses(fetch+" with no-cors", method, "Sec-Fetch-Site: "+fetch, "Sec-Fetch-Mode: no-cors", own)
				}
				refuses("neither", method)
			}
			for what, origin := range s.foreignOrigins(label) {
				refuses(what, "POST", "Origin: "+origin)
			}
			refuses("a referrer only", "POST", "Referer: "+s.at(label)+"/")
			refuses("two Origins", "POST", own, "Origin: http://evil.com")
			refuses("an override", "POST", "X-HTTP-Method-Override: GET", "Sec-Fetch-Site: same-site")
			refuses("a form of a sibling", "POST", with(navigation[:2], "Sec-Fetch-Site: same-site", "Origin: "+s.at(s.sibling), "Content-Type: application/x-www-form-urlencoded")...)
			s.unreached(t, mark, "an unsafe method from elsewhere")
			for _, headers := range [][]string{{"Sec-Fetch-Site: same-origin"}, {own}, {own, "Sec-Fetch-Site: same-origin"}} {
				if a := s.sendBody(t, "POST", address, "body", with(headers, grant)...); a.status != http.StatusOK || a.app() != s.mine {
					t.Errorf("from its own page (%q): %v", headers, a)
				}
			}
		})
	}
	t.Run("Wake", func(t *testing.T) {
		t.Parallel()
		grant := "Cookie: " + s.browser(admin).grant(t, s.mine)
		address := s.at(s.mine) + "/.kalpana/wake"
		for what, origin := range s.foreignOrigins(s.mine) {
			want := http.StatusForbidden
			if what == "console" {
				want = http.StatusAccepted
			}
			if a := s.sendBody(t, "POST", address, "x", grant, "Origin: "+origin, "Sec-Fetch-Site: same-site"); a.status != want {
				t.Errorf("a wake from %s: %v", what, a)
			}
		}
	})
	t.Run("Console", func(t *testing.T) {
		t.Parallel()
		b := s.signIn(t, admin) // what must not happen would end this session, and delete this workspace
		session := b.cookies(s.console + "/")
		id := b.create(t, "may not be changed", "")
		calls := map[string]string{
			"GET /api/me": "", "GET /api/events": "", "GET /api/workspaces": "",
			"POST /api/workspaces": `{"name":"evil","template":"blank"}`, "PATCH /api/workspaces/" + id: `{"name":"evil"}`,
			"POST /api/workspaces/" + id + "/stop": "", "DELETE /api/workspaces/" + id: "",
			"POST /api/login/link": fmt.Sprintf(`{"token":%q}`, strings.Repeat("A", 43)), "POST /api/logout": "",
		}
		for call, body := range calls {
			method, path, _ := strings.Cut(call, " ")
			refuses := func(what string, headers ...string) {
				t.Helper()
				if a := s.sendBody(t, method, s.console+path, body, with(session, "Content-Type: application/json", headers)...); a.status != http.StatusForbidden {
					t.Errorf("%s, %s: %v", call, what, a)
				}
			}
			for _, fetch := range []string{"same-site", "cross-site", "SAME-ORIGIN", "evil"} {
				refuses(fetch, "Sec-Fetch-Site: "+fetch)
				refuses(fetch+" with the console's Origin", "Sec-Fetch-Site: "+fetch, "Origin: "+s.console)
			}
			for _, origin := range []string{s.at(s.mine), s.at(preview(3000, s.mine)), "null", s.console + ".evil.com", s.console + "/", strings.ToUpper(s.console), "http://evil.com", s.console + "0", ""} {
				refuses("Origin "+origin, "Origin: "+origin)
			}
			refuses("two Origins", "Origin: "+s.console, "Origin: http://evil.com")
		}
		if code, body := b.api(t, "GET", "/api/workspaces/"+id, nil, nil); code != http.StatusOK || strings.Contains(body, "evil") {
			t.Errorf("the workspace afterwards: %d %s", code, body)
		}
	})
}

// otherPages asks for what only reads, as pages of other origins can make a browser do it: the app might let
// every page read, or answer with scripts.
func otherPages(t *testing.T, s *site) {
	for name, label := range map[string]string{"IDE": s.mine, "Preview": preview(3000, s.mine)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			grant := "Cookie: " + s.browser(admin).grant(t, label)
			mark := marker()
			address := s.at(label) + "/" + mark
			for _, from := range []string{"same-site", "cross-site", "SAME-ORIGIN", "evil"} {
				for what, headers := range map[string][]string{
					"a fetch":                  {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Origin: " + s.at(s.sibling)},
					"a fetch of an old form":   {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: empty"},
					"a script":                 {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", "Referer: " + s.at(label) + "/"},
					"a script of its preview":  {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script", "Referer: " + s.at(preview(3005, s.mine)) + "/"},
					"a worker's script":        {"Sec-Fetch-Mode: same-origin", "Sec-Fetch-Dest: worker"},
					"an image":                 {"Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"},
					"an object":                {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: object"},
					"an embedded one":          {"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: embed"},
					"an event stream":          {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Accept: text/event-stream", "Origin: " + s.at(s.theirs)},
					"a page that is fetched":   {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: document", "Accept: text/html"},
					"with an Origin that lies": {"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty", "Origin: " + s.at(label)},
				} {
					for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
						if a := s.send(t, method, address, with("Sec-Fetch-Site: "+from, headers, grant)...); a.status != http.StatusForbidden {
							t.Errorf("%s, %s %s: %v", from, method, what, a)
						}
					}
				}
			}
			for what, origin := range s.foreignOrigins(label) {
				if a := s.send(t, "GET", address, grant, "Origin: "+origin); a.status != http.StatusForbidden {
					t.Errorf("%s, without Fetch Metadata: %v", what, a)
				}
			}
			s.unreached(t, mark, "what another page asks for")
			for what, headers := range map[string][]string{"its own page": subresource, "a program": program, "a link elsewhere": with("Sec-Fetch-Site: cross-site", navigation[:2]), "a frame": frame} {
				if a := s.send(t, "GET", address, with(headers, grant)...); a.status != http.StatusOK || a.app() != s.mine {
					t.Errorf("%s: %v", what, a)
				}
			}
		})
	}
}

// consoleSockets opens the console's own WebSockets, to a workspace's bridge and terminals, from everywhere.
func consoleSockets(t *testing.T, s *site) {
	session := "Cookie: " + s.sessions[admin]
	_, token := s.browser(admin).token(t, "workspaces:read", "workspaces:write", "workspaces:open", "agent")
	for _, path := range []string{"/bridge", "/terminals/x"} {
		address := s.console + "/api/workspaces/" + s.mine + path
		refuses := func(what string, status int, headers ...string) {
			t.Helper()
			if a := s.send(t, "GET", address, with(socketHead, headers)...); a.status != status {
				t.Errorf("%s, %s: %v", path, what, a)
			}
		}
		own := "Origin: " + s.console
		for what, origin := range s.foreignOrigins(s.mine) {
			if what != "console" {
				refuses(what, http.StatusForbidden, session, "Origin: "+origin)
				refuses(what+" with same-origin", http.StatusForbidden, session, "Origin: "+origin, "Sec-Fetch-Site: same-origin")
			}
		}
		refuses("its workspace's own page", http.StatusForbidden, session, "Origin: "+s.at(s.mine), "Sec-Fetch-Site: same-site")
		refuses("no Origin", http.StatusForbidden, session)
		refuses("two Origins", http.StatusForbidden, session, own, own)
		refuses("the console's Origin from elsewhere", http.StatusForbidden, session, own, "Sec-Fetch-Site: cross-site")
		refuses("nobody", http.StatusUnauthorized, own)
		refuses("a grant", http.StatusUnauthorized, own, "Cookie: "+s.browser(admin).grant(t, s.mine))
		refuses("somebody else", http.StatusNotFound, own, "Cookie: "+s.sessions[member])
		refuses("a token", http.StatusForbidden, own, "Authorization: Bearer "+token)
		refuses("a token beside a session", http.StatusForbidden, own, session, "Authorization: Bearer "+token)
	}
}
