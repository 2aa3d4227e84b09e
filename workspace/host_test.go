package workspace

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func newHosts(t testing.TB, console string) *Hosts {
	t.Helper()
	h, err := NewHosts(console, "")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestParse_KnowsTheThreeKindsOfHosts(t *testing.T) {
	h := newHosts(t, "http://kalpana.localhost:8080")
	console := Host{Kind: HostConsole}
	ide := Host{Kind: HostIDE, ID: "abcdefghij"}
	preview := func(port int) Host { return Host{Kind: HostPreview, ID: "abcdefghij", Port: port} }
	for host, want := range map[string]Host{
		"kalpana.localhost":                         console,
		"kalpana.localhost:8080":                    console,
		"kalpana.localhost:1":                       console, // the port is whoever forwards to us
		"kalpana.localhost:65535":                   console,
		"KALPANA.localhost":                         console,
		"Kalpana.LocalHost:8080":                    console,
		"abcdefghij.ws.kalpana.localhost":           ide,
		"abcdefghij.ws.kalpana.localhost:8080":      ide,
		"abcdefghij.ws.kalpana.localhost:08080":     ide,
		"ABCDEFGHIJ.WS.KALPANA.LOCALHOST":           ide,
		"aBcDeFgHiJ.Ws.kalpana.localhost:443":       ide,
		"1024-abcdefghij.ws.kalpana.localhost":      preview(1024),
		"3000-abcdefghij.ws.kalpana.localhost:8080": preview(3000),
		"5173-ABCDEFGHIJ.ws.kalpana.localhost":      preview(5173),
		"8079-abcdefghij.ws.kalpana.localhost":      preview(8079),
		"65535-abcdefghij.ws.kalpana.localhost":     preview(65535),
	} {
		got, err := h.Parse(host)
		if err != nil {
			t.Errorf("Parse(%q): %v", host, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%q): %s", host, diff)
		}
	}
}

func TestParse_RefusesEverythingElse(t *testing.T) {
	h := newHosts(t, "https://kalpana.example.com")
	const ws = ".ws.kalpana.example.com"
	for name, hosts := range map[string][]string{
		"nothing":        {"", " ", ":", ":443", ".", "..", ws, "ws.kalpana.example.com", "-"},
		"ports":          {"kalpana.example.com:", "kalpana.example.com:0", "kalpana.example.com:65536", "kalpana.example.com:70000", "kalpana.example.com:+443", "kalpana.example.com:-1", "kalpana.example.com:4 3", "kalpana.example.com:443:443", "kalpana.example.com:0x1bb", "kalpana.example.com:https", "kalpana.example.com:000443", "kalpana.example.com:٤٤٣", "abcdefghij" + ws + ":0", "abcdefghij" + ws + ":"},
		"trailing dots":  {"kalpana.example.com.", "kalpana.example.com.:443", "abcdefghij" + ws + ".", "abcdefghij" + ws + ".:443", "3000-abcdefghij" + ws + "."},
		"addresses":      {"127.0.0.1", "127.0.0.1:443", "[::1]", "[::1]:443", "::1", "::", "[kalpana.example.com]", "[abcdefghij" + ws + "]:443", "2130706433", "0x7f000001"},
		"look-alikes":    {"xkalpana.example.com", "kalpana.example.comx", "kalpana.example.com.evil.com", "kalpana-example.com", "kalpana.example.org", "example.com", "com", "evil.com", "x.kalpana.example.com", "abcdefghij" + ws + ".evil.com", "abcdefghij.ws.kalpana.example.comx", "abcdefghij.xws.kalpana.example.com", "abcdefghijws.kalpana.example.com", "abcdefghij.ws.evil.com", "abcdefghij.kalpana.example.com", "abcdefghij-ws.kalpana.example.com"},
		"user and path":  {"a@kalpana.example.com", "evil.com@abcdefghij" + ws, "a:b@kalpana.example.com", "kalpana.example.com/", "kalpana.example.com/abcdefghij" + ws, "kalpana.example.com?", "kalpana.example.com#", "https://kalpana.example.com", "kalpana.example.com\\"},
		"two in one":     {"kalpana.example.com,abcdefghij" + ws, "kalpana.example.com abcdefghij" + ws, "kalpana.example.com\x00abcdefghij" + ws, "abcdefghij" + ws + "\r\nX: y"},
		"international":  {"kálpana.example.com", "kalpana。example。com", "ａbcdefghij" + ws, "abcdefghij" + ws + "\u200b", "xn--kalpana.example.com", "xn--abcdefghij" + ws, "\u212aalpana.example.com", "abcdefghi\u0131" + ws},
		"ids":            {"a" + ws, "abcdefghi" + ws, "abcdefghijk" + ws, "2bcdefghij" + ws, "abcdefghi1" + ws, "abcdefghi_" + ws, "abcdefghi%61" + ws, "*" + ws, "*.abcdefghij" + ws, "abcdefghijabcdefghij" + ws},
		"two ids":        {"abcdefghij-bcdefghijk" + ws, "abcdefghij.bcdefghijk" + ws, "3000-abcdefghij-bcdefghijk" + ws, "3000-abcdefghij.bcdefghijk" + ws, "bcdefghijk.3000-abcdefghij" + ws},
		"nested labels":  {"x.abcdefghij" + ws, ".abcdefghij" + ws, "abcdefghij." + ws, "abcdefghij..ws.kalpana.example.com", "3000.abcdefghij" + ws, "abcdefghij" + ws + ws, "ws.ws.kalpana.example.com"},
		"preview ports":  {"0-abcdefghij" + ws, "1-abcdefghij" + ws, "22-abcdefghij" + ws, "80-abcdefghij" + ws, "443-abcdefghij" + ws, "1023-abcdefghij" + ws, "65536-abcdefghij" + ws, "70000-abcdefghij" + ws, "99999-abcdefghij" + ws, "100000-abcdefghij" + ws, "18446744073709554616-abcdefghij" + ws},
		"our own ports":  {"8080-abcdefghij" + ws, "3001-abcdefghij" + ws, "08080-abcdefghij" + ws, "03001-abcdefghij" + ws},
		"ports' forms":   {"03000-abcdefghij" + ws, "0000003000-abcdefghij" + ws, "+3000-abcdefghij" + ws, "-3000-abcdefghij" + ws, "3e3-abcdefghij" + ws, "0xbb8-abcdefghij" + ws, "3_000-abcdefghij" + ws, "3000--abcdefghij" + ws, "-abcdefghij" + ws, "abcdefghij-" + ws, "abcdefghij-3000" + ws, "3000-" + ws, "3000" + ws, "3000.abcdefghij" + ws, "3000_abcdefghij" + ws, "x3000-abcdefghij" + ws},
		"too long names": {strings.Repeat("a", 254), strings.Repeat("a", 1<<20), strings.Repeat("a.", 130) + "kalpana.example.com", strings.Repeat("a", 300) + ws},
	} {
		for _, host := range hosts {
			if got, err := h.Parse(host); err != ErrInvalidHost || got != (Host{}) {
				t.Errorf("%s: Parse(%.80q) = %+v, %v; want ErrInvalidHost", name, host, got, err)
			}
		}
	}
}

// Caddy GHSA-x76f-jf84-rqj8: matching was exact only below a number of hosts. Ours has no such number.
func TestParse_FoldsTheCaseOfEveryHost(t *testing.T) {
	h := newHosts(t, "https://kalpana.example.com")
	for range 500 {
		want := Host{Kind: HostPreview, ID: NewID(), Port: 5173}
		host := strings.ToUpper(want.Label()) + ".WS.Kalpana.example.COM"
		if got, err := h.Parse(host); err != nil || got != want {
			t.Fatalf("Parse(%q) = %+v, %v", host, got, err)
		}
	}
}

func TestHost_OriginAndLabelReadBackTheSame(t *testing.T) {
	for _, console := range []string{"http://kalpana.localhost:8080", "https://kalpana.example.com", "https://kalpana.example.com:8443"} {
		h := newHosts(t, console)
		hosts := []Host{{Kind: HostConsole}}
		for range 50 {
			id := NewID()
			hosts = append(hosts, Host{Kind: HostIDE, ID: id})
			for _, port := range []int{1024, 3000, 3002, 8079, 8081, 65535} {
				hosts = append(hosts, Host{Kind: HostPreview, ID: id, Port: port})
			}
		}
		for _, host := range hosts {
			mustRoundTrip(t, h, host)
		}
	}
}

// mustRoundTrip checks that what Origin and Label write of host, Parse and ParseLabel read as host.
func mustRoundTrip(t *testing.T, h *Hosts, host Host) {
	t.Helper()
	origin := h.Origin(host)
	got, err := h.Parse(strings.TrimPrefix(origin, h.scheme+"://"))
	if err != nil || got != host {
		t.Errorf("%+v: Parse of origin %s = %+v, %v", host, origin, got, err)
	}
	if host.Kind == HostConsole {
		return
	}
	if got, err := h.ParseLabel(host.Label()); err != nil || got != host {
		t.Errorf("%+v: ParseLabel(%q) = %+v, %v", host, host.Label(), got, err)
	}
	if host.Kind == HostIDE && h.URL(host.ID) != origin+"/" {
		t.Errorf("URL(%s) = %s, want %s/", host.ID, h.URL(host.ID), origin)
	}
	if host.Kind == HostPreview {
		want := strings.Replace(h.PreviewTemplate(host.ID), "{{port}}", fmt.Sprint(host.Port), 1)
		if want != origin+"/" {
			t.Errorf("the template gives %s for %s", want, origin)
		}
	}
}

func TestParseLabel_TakesTheCanonicalFormOnly(t *testing.T) {
	h := newHosts(t, "http://kalpana.localhost:8080")
	for _, label := range []string{
		"", "kalpana", "ws", "ABCDEFGHIJ", "3000-ABCDEFGHIJ", "abcdefghij.ws.kalpana.localhost", "abcdefghij:8080", "abcdefghij.",
		".abcdefghij", "03000-abcdefghij", "3000-abcdefghij-", "8080-abcdefghij", "abcdefghij/..", "evil.com/abcdefghij", "abcdefghij@",
		"3000-abcdefghij?", "abcdefghij\x00", "abcdefghij ", strings.Repeat("a", 1<<20),
	} {
		if got, err := h.ParseLabel(label); err != ErrInvalidHost {
			t.Errorf("ParseLabel(%.80q) = %+v, %v", label, got, err)
		}
	}
}

func TestParse_AllocatesNothingForACanonicalHost(t *testing.T) {
	h := newHosts(t, "http://kalpana.localhost:8080")
	for _, host := range []string{
		"kalpana.localhost:8080", "abcdefghij.ws.kalpana.localhost:8080", "3000-abcdefghij.ws.kalpana.localhost:8080",
		"evil.example", "[::1]:8080", // nor to refuse one
	} {
		if n := testing.AllocsPerRun(100, func() { _, _ = h.Parse(host) }); n != 0 {
			t.Errorf("Parse(%q): %v allocations", host, n)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	h := newHosts(f, "http://kalpana.localhost:8080")
	for _, seed := range []string{
		"kalpana.localhost:8080", "abcdefghij.ws.kalpana.localhost", "3000-abcdefghij.WS.kalpana.localhost:1", "8080-abcdefghij.ws.kalpana.localhost",
		"[::1]:8080", "::", "a.b.c.", "abcdefghij.ws.kalpana.localhost.", "-.ws.kalpana.localhost", "\xff", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		host, err := h.Parse(text)
		if err != nil {
			if err != ErrInvalidHost || host != (Host{}) {
				t.Fatalf("Parse(%q) = %+v, %v", text, host, err)
			}
			return
		}
		mustRoundTrip(t, h, host)
		name, _, _ := strings.Cut(text, ":")
		if want := strings.TrimSuffix(strings.TrimPrefix(h.Origin(host), "http://"), h.port); !strings.EqualFold(name, want) {
			t.Fatalf("Parse(%q) = %+v, which is %s", text, host, want)
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"abcdefghij", "2bcdefghij", "ABCDEFGHIJ", "", "abcdefghi\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err == nil && (string(id) != text || len(id) != IDLength || id[0] < 'a' || strings.Trim(text, idAlphabet) != "") {
			t.Fatalf("ParseID(%q) = %q", text, id)
		}
	})
}

func FuzzParseSite(f *testing.F) {
	h := newHosts(f, "http://kalpana.localhost:8080")
	for _, seed := range []string{
		"grafana.localhost:8080", "grafana.localhost:80", "GRAFANA.localhost", "kalpana.localhost", "abcdefghij.ws.kalpana.localhost:1", "@grafana_localhost",
		"[::1]:8080", "1.2.3.4", "a.b.c.", "a:b@c", "a%41", "\xff", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		site, err := h.ParseSite(text)
		if err != nil {
			if err != ErrInvalidHost || site != (Host{}) {
				t.Fatalf("ParseSite(%q) = %+v, %v", text, site, err)
			}
			return
		}
		if again, err := h.ParseSite(site.Site); err != nil || again != site {
			t.Fatalf("ParseSite(%q) = %+v, and of that %+v, %v", text, site, again, err)
		}
		if SiteOfLabel(site.Label()) != site.Site || strings.Contains(site.Label(), ".") {
			t.Fatalf("ParseSite(%q) has the label %q", text, site.Label())
		}
		if _, err := h.Parse(text); err == nil {
			t.Fatalf("%q is both a site and a host of this installation", text)
		}
		if u, err := url.Parse(h.Origin(site)); err != nil || u.Host != site.Site || u.Path != "" || u.User != nil {
			t.Fatalf("ParseSite(%q) has the origin %q", text, h.Origin(site))
		}
		name, _, _ := strings.Cut(text, ":")
		if want, _, _ := strings.Cut(site.Site, ":"); !strings.EqualFold(name, want) {
			t.Fatalf("ParseSite(%q) = %+v", text, site)
		}
	})
}
