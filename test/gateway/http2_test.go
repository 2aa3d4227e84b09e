package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// overHTTP2 asks what HTTP/2 makes different: cookies come in crumbs, and one connection carries requests
// for many hosts, since one certificate names them all.
func overHTTP2(t *testing.T, s *site) {
	if s.scheme != "https" {
		t.Skip("browsers speak HTTP/2 over TLS alone")
	}
	b := s.browser(admin)
	grant, other := b.grant(t, s.mine), b.grant(t, s.sibling)
	transport := &http.Transport{ForceAttemptHTTP2: true, DialTLSContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		conn, err := s.connect(s.address(t), addr)
		if err != nil {
			return nil, err
		}
		tlsConn := tls.Client(conn.(*tls.Conn).NetConn(), &tls.Config{
			ServerName: strings.Split(addr, ":")[0], InsecureSkipVerify: s.own != nil, NextProtos: []string{"h2"},
		})
		return tlsConn, tlsConn.HandshakeContext(ctx)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// ask sends a request for a host on the connection to mine.
	ask := func(method, host, path string, headers ...string) *answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.at(s.mine)+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = host
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			r.Header.Add(name, value)
		}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatalf("%s %s%s: %v", method, host, path, err)
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Fatalf("%s", resp.Proto)
		}
		body, _ := io.ReadAll(resp.Body)
		return &answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
	}

	for _, name := range identityHeaders { // one at a time: a head is limited to 32 KiB
		mark := marker()
		headers := []string{"Cookie: a=1; " + grant + "; b=2", "Cookie: " + s.sessions[admin] + "; c=3"}
		for _, spelling := range spellings(name) {
			headers = append(headers, spelling+": "+mark+"evil")
		}
		if a := ask("GET", s.host(s.mine), "/"+mark, headers...); a.status != http.StatusOK || a.app() != s.mine {
			t.Fatalf("%v", a)
		}
		got := s.reached(t, s.mine, mark)
		if len(got) != 1 || strings.Contains(string(got[0].Raw), mark+"evil") {
			t.Fatalf("%s arrives as %v", name, got)
		}
		s.saysOurs(t, got[0], s.mine)
		if cookies := strings.Join(got[0].header(t)["Cookie"], "; "); cookies != "a=1; b=2; c=3" {
			t.Errorf("the app gets the cookies %q", cookies)
		}
	}

	mark := marker()
	for what, host := range map[string]string{
		"a sibling": s.host(s.sibling), "somebody else's": s.host(s.theirs), "a preview": s.host(preview(3000, s.mine)), "an unknown one": s.host(unknown),
		"upper case, a sibling": strings.ToUpper(s.host(s.sibling)),
	} {
		if a := ask("GET", host, "/"+mark, "Cookie: "+grant); a.status != http.StatusUnauthorized && a.status != http.StatusMisdirectedRequest {
			t.Errorf("%s, on the connection to mine: %v", what, a)
		}
	}
	for _, host := range []string{"evil.com", s.host(s.mine) + ".evil.com", "x" + s.host(s.mine), s.parent} {
		s.refusesHost(t, ask("GET", host, "/"+mark, "Cookie: "+grant))
	}
	for _, headers := range [][]string{{}, {"Origin: " + s.at(s.sibling)}, {"Sec-Fetch-Site: same-site", "Origin: " + s.at(s.mine)}} {
		if a := ask("POST", s.host(s.mine), "/"+mark, append(headers, "Cookie: "+grant)...); a.status != http.StatusForbidden {
			t.Errorf("a POST with %q: %v", headers, a)
		}
	}
	s.unreached(t, mark, "over HTTP/2")
	if a := ask("GET", s.host(s.sibling), "/", "Cookie: "+other); a.status == http.StatusOK && a.app() != s.sibling || a.status != http.StatusOK && a.status != http.StatusMisdirectedRequest {
		t.Errorf("the sibling by its own grant: %v", a)
	}
}
