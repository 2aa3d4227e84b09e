package workspace

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// HostKind tells what a host name of this installation serves.
type HostKind int

// The kinds of hosts.
const (
	HostConsole HostKind = iota + 1 // the console
	HostIDE                         // VS Code of one workspace
	HostPreview                     // a port inside one workspace's container
	HostSite                        // another site of the operator's that Kalpana signs people in to
)

// Host is a parsed host name.
type Host struct {
	Kind HostKind
	ID   ID  // of the workspace; "" on the console and on a site
	Port int // inside the container; 0 unless Kind is HostPreview
	// Site is host and port of a site as a browser sends them, e.g. "grafana.example.com:8443"; ""
	// unless Kind is HostSite.
	Site string
}

// The ports inside a container that are Kalpana's own and never a preview.
const (
	ContainerIDEPort    = 8080
	ContainerBridgePort = 3001
)

// Hosts knows the addresses of one installation. Nothing else in Kalpana interprets a Host header.
type Hosts struct {
	scheme   string // "http" or "https"
	console  string // host name, lower case, no port
	suffix   string // "." + the workspaces' parent domain
	port     string // ":8080", or "" where it is the scheme's default
	sameSite bool   // console and workspaces are one site to a browser
}

// NewHosts takes the console's address, e.g. "https://kalpana.example.com", and the parent domain
// of the workspaces, e.g. "ws.kalpana.example.com" ("" means "ws." + the console's host).
//
// A console that is neither https nor under .localhost is refused: browsers would not send its
// __Host- cookies back.
func NewHosts(console, workspaces string) (*Hosts, error) {
	u, err := url.Parse(console)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("console address %q: write it like https://kalpana.example.com", console)
	}
	if (u.Path != "" && u.Path != "/") || strings.ContainsAny(console, "?#@") {
		return nil, fmt.Errorf("console address %q: it has no path, query or user", console)
	}
	name := strings.ToLower(u.Hostname())
	if !validName(name) {
		return nil, fmt.Errorf("console address %q: %q is not a host name (write international names in their xn-- form)", console, name)
	}
	if name == "localhost" {
		return nil, errors.New("the console cannot be on bare localhost: pages on it and workspaces are different sites to a browser; use kalpana.localhost")
	}
	if u.Scheme != "https" && !strings.HasSuffix(name, ".localhost") {
		return nil, fmt.Errorf("console address %q: use https, or a host under .localhost; browsers send our cookies back to no other", console)
	}
	port, ok := originPort(u)
	if !ok {
		return nil, fmt.Errorf("console address %q: a port is 1 to 65535", console)
	}
	if workspaces == "" {
		workspaces = "ws." + name
	}
	workspaces = strings.ToLower(workspaces)
	if !validName(workspaces) || workspaces == name {
		return nil, fmt.Errorf("workspaces' domain %q: write it like ws.kalpana.example.com, without scheme or port", workspaces)
	}
	if u.Scheme != "https" && !strings.HasSuffix(workspaces, ".localhost") {
		return nil, fmt.Errorf("workspaces' domain %q: use https, or a domain under .localhost", workspaces)
	}
	if len(workspaces) > 253-1-len("65535-")-IDLength {
		return nil, fmt.Errorf("workspaces' domain %q is too long", workspaces)
	}
	h := &Hosts{scheme: u.Scheme, console: name, suffix: "." + workspaces, port: port}
	if label, ok := strings.CutSuffix(name, h.suffix); ok {
		if _, err := h.ParseLabel(label); err == nil {
			return nil, fmt.Errorf("console address %q: a workspace could get the same one; take another domain for the workspaces", console)
		}
	}
	h.sameSite = registrable(name) == registrable("a"+h.suffix)
	return h, nil
}

// registrable returns the part of a name that makes a site to browsers: the public suffix and one
// label more. A name that is a public suffix itself is a site of its own. Chromium agrees on
// .localhost, which is in no list: kalpana.localhost is one site with all that is below it.
func registrable(name string) string {
	domain, err := publicsuffix.EffectiveTLDPlusOne(name)
	if err != nil {
		return name
	}
	return domain
}

// ParseSite tells which site host, the value of a Host header, names: any host but the console's and
// the workspaces', in its canonical form. Whether it is a site that people may be signed in to is the
// caller's to know. Everything else is ErrInvalidHost.
func (h *Hosts) ParseSite(host string) (Host, error) {
	u := &url.URL{Scheme: h.scheme, Host: strings.ToLower(host)}
	name := u.Hostname()
	port, ok := originPort(u)
	if !ok || !validName(name) || (u.Host != name && u.Host != name+":"+u.Port()) {
		return Host{}, ErrInvalidHost
	}
	if name == h.console || strings.HasSuffix(name, h.suffix) {
		return Host{}, ErrInvalidHost
	}
	return Host{Kind: HostSite, Site: name + port}, nil
}

// originPort returns u's port as its origin has it: ":8080", or "" where it is the scheme's default.
func originPort(u *url.URL) (string, bool) {
	port := u.Port()
	if port == "" {
		return "", !strings.HasSuffix(u.Host, ":")
	}
	if !validPort(port) {
		return "", false
	}
	port = strings.TrimLeft(port, "0")
	if port == defaultPorts[u.Scheme] {
		return "", true
	}
	return ":" + port, true
}

var defaultPorts = map[string]string{"http": "80", "https": "443"}

// Parse tells what host, the value of a Host header, names. Labels are compared exactly after
// folding ASCII case; a port is ignored; trailing dots, international names, addresses and
// anything else are ErrInvalidHost. It allocates nothing for the canonical form.
func (h *Hosts) Parse(host string) (Host, error) {
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		if !validPort(host[i+1:]) {
			return Host{}, ErrInvalidHost
		}
		host = host[:i]
	}
	if len(host) > 253 || !isASCIIName(host) {
		return Host{}, ErrInvalidHost
	}
	host = strings.ToLower(host)
	if host == h.console {
		return Host{Kind: HostConsole}, nil
	}
	label, ok := strings.CutSuffix(host, h.suffix)
	if !ok {
		return Host{}, ErrInvalidHost
	}
	return h.ParseLabel(label)
}

// ParseOrigin tells what host an Origin header names: ErrInvalidHost unless it is, letter for letter,
// the origin of a host of this installation.
func (h *Hosts) ParseOrigin(origin string) (Host, error) {
	name, ok := strings.CutPrefix(origin, h.scheme+"://")
	if !ok {
		return Host{}, ErrInvalidHost
	}
	host, err := h.Parse(name)
	if err != nil || h.Origin(host) != origin {
		return Host{}, ErrInvalidHost
	}
	return host, nil
}

// ParseLabel parses the first label of a workspace host, exactly as [Host.Label] writes it.
func (*Hosts) ParseLabel(label string) (Host, error) {
	port, id, preview := strings.Cut(label, "-")
	if !preview {
		id = label
	}
	parsed, err := ParseID(id)
	if err != nil {
		return Host{}, ErrInvalidHost
	}
	if !preview {
		return Host{Kind: HostIDE, ID: parsed}, nil
	}
	n, ok := previewPort(port)
	if !ok {
		return Host{}, ErrInvalidHost
	}
	return Host{Kind: HostPreview, ID: parsed, Port: n}, nil
}

// previewPort parses the decimal port of a preview host: 1024–65535 in its shortest form, but not
// one of ours.
func previewPort(s string) (int, bool) {
	if len(s) < 4 || len(s) > 5 || s[0] == '0' {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, IsPreviewPort(n)
}

func validPort(s string) bool {
	if s == "" || len(s) > 5 {
		return false
	}
	n, err := strconv.Atoi(s)
	return err == nil && s[0] >= '0' && s[0] <= '9' && n >= 1 && n <= 65535
}

func isASCIIName(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '.':
		default:
			return false
		}
	}
	return true
}

// validName reports whether s is a lower-case DNS name and no address: browsers take every name
// whose last label is a number, such as 127.1 or 0x7f.1, for an IPv4 address.
func validName(s string) bool {
	if !isASCIIName(s) || len(s) > 253 {
		return false
	}
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		last = label
	}
	return last[0] >= 'a' && last[0] <= 'z'
}

// Secure reports whether the installation is reached over https.
func (h *Hosts) Secure() bool { return h.scheme == "https" }

// SameSite reports whether console and workspaces are one site to a browser: whether they share a
// registrable domain. Where they do not, VS Code in the console's pane is third-party content, and
// gets cookies only if they are partitioned.
func (h *Hosts) SameSite() bool { return h.sameSite }

// Console returns the console's origin, e.g. "http://kalpana.localhost:8080", without a slash.
func (h *Hosts) Console() string { return h.scheme + "://" + h.console + h.port }

// ConsoleHost returns the console's host and port as a browser sends it in Host.
func (h *Hosts) ConsoleHost() string { return h.console + h.port }

// WorkspaceOrigins returns the pattern that covers every workspace host, for a Content-Security-Policy.
func (h *Hosts) WorkspaceOrigins() string { return h.scheme + "://*" + h.suffix + h.port }

// WorkspaceDomain returns the parent domain of every workspace host, e.g. "ws.kalpana.example.com".
func (h *Hosts) WorkspaceDomain() string { return h.suffix[1:] }

// Label returns the first label of t's host: "<id>" or "<port>-<id>". A site's is its whole name in
// a form that is no label, e.g. "@grafana_example_com:8443": what is for a site is so never taken
// for a workspace's, or the other way round. It has no dot in any case.
func (t Host) Label() string {
	switch t.Kind {
	case HostPreview:
		return strconv.Itoa(t.Port) + "-" + string(t.ID)
	case HostSite:
		return sitePrefix + strings.ReplaceAll(t.Site, ".", "_")
	default:
		return string(t.ID)
	}
}

const sitePrefix = "@"

// SiteOfLabel returns the Host header that a label of a site stands for, or "".
func SiteOfLabel(label string) string {
	name, ok := strings.CutPrefix(label, sitePrefix)
	if !ok {
		return ""
	}
	return strings.ReplaceAll(name, "_", ".")
}

// Origin returns t's origin, e.g. "http://abcdefghij.ws.kalpana.localhost:8080", without a slash.
func (h *Hosts) Origin(t Host) string {
	switch t.Kind {
	case HostConsole:
		return h.Console()
	case HostSite:
		return h.scheme + "://" + t.Site
	}
	return h.scheme + "://" + t.Label() + h.suffix + h.port
}

// URL returns the address of VS Code of workspace id, with a slash at its end.
func (h *Hosts) URL(id ID) string { return h.Origin(Host{Kind: HostIDE, ID: id}) + "/" }

// PreviewTemplate returns the address of id's previews with "{{port}}" for the port, the form
// that VS Code takes in VSCODE_PROXY_URI.
func (h *Hosts) PreviewTemplate(id ID) string {
	return h.scheme + "://{{port}}-" + string(id) + h.suffix + h.port + "/"
}
