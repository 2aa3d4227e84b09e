package workspace

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewHosts_Takes(t *testing.T) {
	type addresses struct{ Console, ConsoleHost, IDE, Workspaces, Preview string }
	for _, test := range []struct {
		name, console, workspaces string
		want                      addresses
	}{
		{
			"the default", "http://kalpana.localhost:8080", "",
			addresses{
				"http://kalpana.localhost:8080", "kalpana.localhost:8080", "http://abcdefghij.ws.kalpana.localhost:8080/",
				"http://*.ws.kalpana.localhost:8080", "http://{{port}}-abcdefghij.ws.kalpana.localhost:8080/",
			},
		},
		{
			"https without a port", "https://kalpana.example.com", "",
			addresses{
				"https://kalpana.example.com", "kalpana.example.com", "https://abcdefghij.ws.kalpana.example.com/",
				"https://*.ws.kalpana.example.com", "https://{{port}}-abcdefghij.ws.kalpana.example.com/",
			},
		},
		{
			"a domain of its own for workspaces", "https://kalpana.example.com:8443/", "Example-WS.net",
			addresses{
				"https://kalpana.example.com:8443", "kalpana.example.com:8443", "https://abcdefghij.example-ws.net:8443/",
				"https://*.example-ws.net:8443", "https://{{port}}-abcdefghij.example-ws.net:8443/",
			},
		},
		{
			"upper case and an international name in its xn-- form", "HTTPS://XN--bcher-kva.Example", "",
			addresses{
				"https://xn--bcher-kva.example", "xn--bcher-kva.example", "https://abcdefghij.ws.xn--bcher-kva.example/",
				"https://*.ws.xn--bcher-kva.example", "https://{{port}}-abcdefghij.ws.xn--bcher-kva.example/",
			},
		},
		{
			"a console beside the workspaces", "https://kalpana.example.com", "example.com",
			addresses{
				"https://kalpana.example.com", "kalpana.example.com", "https://abcdefghij.example.com/",
				"https://*.example.com", "https://{{port}}-abcdefghij.example.com/",
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, err := NewHosts(test.console, test.workspaces)
			if err != nil {
				t.Fatal(err)
			}
			got := addresses{h.Console(), h.ConsoleHost(), h.URL("abcdefghij"), h.WorkspaceOrigins(), h.PreviewTemplate("abcdefghij")}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if h.Secure() != strings.HasPrefix(test.want.Console, "https:") {
				t.Errorf("Secure() = %v", h.Secure())
			}
		})
	}
}

// Browsers leave the scheme's default port out of Origin and Host, so ours must as well.
func TestNewHosts_WritesThePortAsBrowsersDo(t *testing.T) {
	for address, want := range map[string]string{
		"http://a.localhost":       "http://a.localhost",
		"http://a.localhost:80":    "http://a.localhost",
		"http://a.localhost:0080":  "http://a.localhost",
		"http://a.localhost:443":   "http://a.localhost:443",
		"https://a.localhost":      "https://a.localhost",
		"https://a.localhost:443":  "https://a.localhost",
		"https://a.localhost:80":   "https://a.localhost:80",
		"https://a.localhost:1":    "https://a.localhost:1",
		"http://a.localhost:65535": "http://a.localhost:65535",
		"http://a.localhost:08080": "http://a.localhost:8080",
	} {
		h, err := NewHosts(address, "")
		if err != nil {
			t.Errorf("%s: %v", address, err)
		} else if h.Console() != want {
			t.Errorf("%s: Console() = %s, want %s", address, h.Console(), want)
		}
	}
}

func TestNewHosts_Refuses(t *testing.T) {
	long := strings.Repeat("a123456789.", 22) // 242 characters
	for _, test := range []struct{ name, console, workspaces, says string }{
		{"nothing", "", "", "write it like"},
		{"a bare name", "kalpana.example.com", "", "write it like"},
		{"a bare name and port", "kalpana.example.com:443", "", "write it like"},
		{"no host", "https://", "", "write it like"},
		{"no host but a port", "https://:443", "", "host name"},
		{"another scheme", "ftp://kalpana.example.com", "", "write it like"},
		{"an opaque address", "https:kalpana.example.com", "", "write it like"},
		{"bare localhost", "http://localhost:8080", "", "use kalpana.localhost"},
		{"bare localhost over https", "https://localhost", "", "use kalpana.localhost"},
		{"http on a public host", "http://kalpana.example.com", "", "use https"},
		{"http on a host that only ends like localhost", "http://kalpana.notlocalhost", "", "use https"},
		{"a path", "https://kalpana.example.com/console", "", "no path"},
		{"two slashes", "https://kalpana.example.com//", "", "no path"},
		{"a query", "https://kalpana.example.com/?a=b", "", "no path"},
		{"an empty query", "https://kalpana.example.com?", "", "no path"},
		{"a fragment", "https://kalpana.example.com/#a", "", "no path"},
		{"an empty fragment", "https://kalpana.example.com#", "", "no path"},
		{"a user", "https://admin@kalpana.example.com", "", "no path"},
		{"a user and password", "https://admin:secret@kalpana.example.com", "", "no path"},
		{"an empty user", "https://@kalpana.example.com", "", "no path"},
		{"an international name", "https://bücher.example", "", "xn--"},
		{"an escaped name", "https://b%C3%BCcher.example", "", "xn--"},
		{"an underscore", "https://kal_pana.example.com", "", "host name"},
		{"a trailing dot", "https://kalpana.example.com.", "", "host name"},
		{"an empty label", "https://kalpana..example.com", "", "host name"},
		{"a label that starts with a hyphen", "https://-kalpana.example.com", "", "host name"},
		{"a label that ends with a hyphen", "https://kalpana-.example.com", "", "host name"},
		{"a label of 64 characters", "https://" + strings.Repeat("a", 64) + ".example.com", "", "host name"},
		{"a name of over 253 characters", "https://" + long + long + "com", "", "host name"},
		{"an IPv4 address", "https://127.0.0.1", "", "host name"},
		{"an IPv4 address as browsers also read it", "https://127.1", "", "host name"},
		{"an IPv4 address in hexadecimal", "https://a.0x7f", "", "host name"},
		{"an IPv6 address", "https://[::1]:8080", "", "host name"},
		{"port 0", "https://kalpana.example.com:0", "", "port"},
		{"port 65536", "https://kalpana.example.com:65536", "", "port"},
		{"a port of six digits", "https://kalpana.example.com:000443", "", "port"},
		{"a port that is none", "https://kalpana.example.com:https", "", "write it like"},
		{"an empty port, such as an unset variable leaves", "http://kalpana.localhost:", "", "port"},
		{"a negative port", "https://kalpana.example.com:-1", "", "write it like"},

		{"workspaces on the console's host", "https://kalpana.example.com", "Kalpana.Example.com", "write it like"},
		{"workspaces with a scheme", "https://kalpana.example.com", "https://ws.example.com", "without scheme"},
		{"workspaces with a port", "https://kalpana.example.com", "ws.example.com:443", "without scheme"},
		{"workspaces with a wildcard", "https://kalpana.example.com", "*.ws.example.com", "without scheme"},
		{"workspaces with a leading dot", "https://kalpana.example.com", ".ws.example.com", "without scheme"},
		{"workspaces with a trailing dot", "https://kalpana.example.com", "ws.example.com.", "without scheme"},
		{"workspaces on an address", "https://kalpana.example.com", "10.0.0.1", "without scheme"},
		{"workspaces with an international name", "https://kalpana.example.com", "bücher.example", "without scheme"},
		{"public workspaces over http", "http://kalpana.localhost", "ws.example.com", "use https"},
		{"workspaces on bare localhost over http", "http://kalpana.localhost", "localhost", "use https"},
		{"workspaces too deep for a label more", "https://kalpana.example.com", long + "com", "too long"},
		{"a console where a workspace could be", "https://abcdefghij.example.com", "example.com", "another domain"},
		{"a console where a preview could be", "https://3000-abcdefghij.example.com", "example.com", "another domain"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, err := NewHosts(test.console, test.workspaces)
			if err == nil {
				t.Fatalf("taken as %s", h.Console())
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q does not say %q", err, test.says)
			}
		})
	}
}

func TestHosts_KnowWhetherConsoleAndWorkspacesAreOneSite(t *testing.T) {
	for _, test := range []struct {
		console, workspaces string
		want                bool
	}{
		{"http://kalpana.localhost:8080", "", true},
		{"http://kalpana.localhost:8080", "ws.spaces.localhost", false},
		{"https://kalpana.example.com", "", true},
		{"https://kalpana.example.com", "example.com", true},
		{"https://kalpana.example.com", "ws.example.net", false},
		{"https://kalpana.example.com", "example.org", false},
		{"https://a.co.uk", "ws.b.co.uk", false},
		{"https://kalpana.a.co.uk", "ws.a.co.uk", true},
		{"https://one.github.io", "two.github.io", false},
		{"https://kalpana.example.com", "github.io", false},
		{"https://github.io", "", false},
		{"https://intranet", "", false}, // nobody can tell that nobody else is below it
	} {
		h, err := NewHosts(test.console, test.workspaces)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.SameSite(); got != test.want {
			t.Errorf("%s and %q: %v", test.console, test.workspaces, got)
		}
	}
}

func TestParseSite_TakesEveryOtherHost(t *testing.T) {
	h, err := NewHosts("https://kalpana.example.com", "")
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]string{
		"grafana.example.com": "grafana.example.com", "Grafana.Example.COM:443": "grafana.example.com", "grafana.example.com:0443": "grafana.example.com",
		"grafana.example.com:8443": "grafana.example.com:8443", "example.com": "example.com", "intranet:80": "intranet:80",
		"a-b.xn--bcher-kva.example": "a-b.xn--bcher-kva.example", "ws.kalpana.example.com": "ws.kalpana.example.com",
	} {
		site, err := h.ParseSite(host)
		if err != nil || site != (Host{Kind: HostSite, Site: want}) {
			t.Errorf("%s: %+v, %v", host, site, err)
			continue
		}
		if got := h.Origin(site); got != "https://"+want {
			t.Errorf("%s: origin %s", host, got)
		}
		label := site.Label()
		if strings.Contains(label, ".") || SiteOfLabel(label) != want {
			t.Errorf("%s: label %s", host, label)
		}
		if _, err := h.ParseLabel(label); err == nil {
			t.Errorf("%s is a workspace's label", label)
		}
	}
	for _, host := range []string{
		"", "kalpana.example.com", "KALPANA.example.com:443", "kalpana.example.com:8443", "abcdefghij.ws.kalpana.example.com", "x.ws.kalpana.example.com",
		"grafana.example.com.", "*.example.com", "127.0.0.1", "127.1", "[::1]", "[::1]:443", "a_b.example.com", "grafana.example.com:", "grafana.example.com:0",
		"grafana.example.com:65536", "grafana.example.com:https", "a@grafana.example.com", "grafana.example.com/x", "grafana.example.com:443:443", "bücher.example",
		"@grafana", "grafana .example.com", "grafana.example.com?x", "[grafana.example.com]", "%67rafana.example.com",
	} {
		if site, err := h.ParseSite(host); err == nil {
			t.Errorf("%q: %+v", host, site)
		}
	}
	for _, label := range []string{"", "abcdefghij", "3000-abcdefghij", "@"} {
		if got := SiteOfLabel(label); got != "" {
			t.Errorf("label %q is of site %q", label, got)
		}
	}
}
