package identity

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// The cookies that carry a grant: on a workspace host, and on another site.
const (
	GrantCookie = "__Host-kalpana_grant"
	SiteCookie  = "__Host-kalpana_access"
)

// ErrNoGrant says that a request carries no grant for this host that is still good.
var ErrNoGrant = errors.New("this browser has no grant for this host")

// Grant is the right of one browser to open one workspace host, or one site.
type Grant struct {
	Session string // hash; of an API token, the token's
	Person  string
	Token   string // id of the API token that it came from, "" for a browser's
	Label   string // the host's [workspace.Host.Label]
	// IssuedAt is when access was last known to be there: every later revocation ends the grant.
	IssuedAt time.Time
	// EndsAt is when the session that it came from must end; a renewal never goes past it.
	EndsAt time.Time
	// Framed is whether the grant is for frames in the console's pages alone, where these are of
	// another site.
	Framed bool
	// Claims are who the person was when the grant was issued. Sites alone are told: what changes a
	// role must revoke the person's grants.
	Claims Claims
}

// Claims are what a site is told of a person.
type Claims struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
	Role  Role   `json:"role,omitempty"`
}

// Workspace returns the id in the grant's label, "" on a site.
func (g Grant) Workspace() workspace.ID {
	if workspace.SiteOfLabel(g.Label) != "" {
		return ""
	}
	_, id, ok := strings.Cut(g.Label, "-")
	if !ok {
		id = g.Label
	}
	return workspace.ID(id)
}

// Event returns what the audit log says of an action of whoever holds the grant.
func (g Grant) Event(action string) AuditEvent {
	e := AuditEvent{Action: action, Person: g.Person, Via: "session", Workspace: g.Workspace()}
	switch {
	case g.Token != "":
		e.Via = "token " + g.Token
	case g.IsVisitor():
		e.Via, e.Detail = "", "a visit of the public preview "+g.Label
	}
	return e
}

// The forms of a grant. What is written for one kind of host or frame is read as no other.
const (
	formTop   = "1"
	formFrame = "1f"
	formSite  = "1s"
)

func formOf(g Grant) string {
	switch {
	case workspace.SiteOfLabel(g.Label) != "":
		return formSite
	case g.Framed:
		return formFrame
	default:
		return formTop
	}
}

// issue returns the cookie value: form, session, person, label, issued and end (Unix milliseconds),
// on sites the claims, MAC, joined by dots.
func (s *Service) issue(g Grant) string {
	form := formOf(g)
	text := form + "." + g.Session + "." + g.Person + "." + g.Label + "." +
		strconv.FormatInt(g.IssuedAt.UnixMilli(), 36) + "." + strconv.FormatInt(g.EndsAt.UnixMilli(), 36)
	if form == formSite {
		claims, _ := json.Marshal(g.Claims) // three strings
		text += "." + b64.EncodeToString(claims)
	}
	return s.grants.sign(text)
}

func (s *Service) grantCookie(g Grant) *http.Cookie {
	form := formOf(g)
	if form == formSite {
		return hostCookie(SiteCookie, s.issue(g), GrantLifetime)
	}
	c := hostCookie(GrantCookie, s.issue(g), GrantLifetime)
	if form == formFrame {
		c = framed(c)
	}
	return c
}

// CheckGrant returns the grant that the request carries for host, from memory alone. ErrNoGrant
// when there is none; workspace.ErrStoreDown when revocations could not be read for five minutes.
func (s *Service) CheckGrant(r *http.Request, host workspace.Host) (Grant, error) {
	name := GrantCookie
	if host.Kind == workspace.HostSite {
		name = SiteCookie
	}
	value, ok := cookieValue(r.Header["Cookie"], name)
	if !ok {
		return Grant{}, ErrNoGrant
	}
	g, err := s.parseGrant(value, host)
	if err != nil {
		return Grant{}, err
	}
	if s.silent(s.cfg.Now()) {
		return Grant{}, workspace.ErrStoreDown
	}
	if s.revoked.Load().ends(g) {
		return Grant{}, ErrNoGrant
	}
	return g, nil
}

func (s *Service) parseGrant(value string, host workspace.Host) (Grant, error) {
	text, ok := s.grants.open(value)
	if !ok {
		return Grant{}, ErrNoGrant
	}
	form, text, ok := strings.Cut(text, ".")
	if !ok {
		return Grant{}, ErrNoGrant
	}
	var claims Claims
	if form == formSite { // its claims are the last field
		var encoded string
		if text, encoded, ok = cutLast(text, "."); !ok {
			return Grant{}, ErrNoGrant
		}
		if raw, err := b64.DecodeString(encoded); err != nil || json.Unmarshal(raw, &claims) != nil {
			return Grant{}, ErrNoGrant
		}
	}
	var fields [5]string
	for i := range fields {
		fields[i], text, ok = strings.Cut(text, ".")
		if ok != (i < len(fields)-1) {
			return Grant{}, ErrNoGrant
		}
	}
	issued, err1 := strconv.ParseInt(fields[3], 36, 64)
	ends, err2 := strconv.ParseInt(fields[4], 36, 64)
	if err1 != nil || err2 != nil || fields[2] != host.Label() {
		return Grant{}, ErrNoGrant
	}
	g := Grant{
		Session: fields[0], Person: fields[1], Label: fields[2],
		IssuedAt: time.UnixMilli(issued), EndsAt: time.UnixMilli(ends),
		Framed: form == formFrame, Claims: claims,
	}
	if form != formOf(g) {
		return Grant{}, ErrNoGrant
	}
	now := s.cfg.Now()
	if now.Sub(g.IssuedAt) > GrantLifetime || !now.Before(g.EndsAt) {
		return Grant{}, ErrNoGrant
	}
	return g, nil
}

// RenewGrant returns a fresh cookie for a grant that is more than an hour old, else nil. Work in an
// open tab so keeps its right, until the session must end. A program has no cookie to renew.
//
// The new grant dates from the last reading of revocations, not from now: one that this gateway
// has yet to read must end it too.
func (s *Service) RenewGrant(g Grant) *http.Cookie {
	known := s.readUntil().Add(-pollOverlap)
	if g.Token != "" || known.Sub(g.IssuedAt) < grantRenewal {
		return nil
	}
	g.IssuedAt = known
	s.afar.note(g.Session)
	s.audit.knock()
	return s.grantCookie(g)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// cookieValue finds a cookie without parsing the others: an app's own cookies may be anything.
func cookieValue(headers []string, name string) (string, bool) {
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ";") {
			if k, v, ok := strings.Cut(strings.Trim(part, " \t"), "="); ok && k == name {
				return v, true
			}
		}
	}
	return "", false
}

// ourCookies begins the names of all our cookies.
const ourCookies = "__Host-kalpana_"

// StripCookies removes our cookies from the request's headers, keeping every other byte for byte.
func StripCookies(h http.Header) {
	headers := h["Cookie"]
	kept := headers[:0:0]
	for _, header := range headers {
		if strings.Contains(header, ourCookies) {
			header = withoutOurs(header)
		}
		if header != "" {
			kept = append(kept, header)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func withoutOurs(header string) string {
	var rest strings.Builder
	for part := range strings.SplitSeq(header, ";") {
		switch {
		case strings.HasPrefix(strings.TrimSpace(part), ourCookies):
		case rest.Len() == 0:
			rest.WriteString(strings.TrimLeft(part, " \t"))
		default:
			rest.WriteByte(';')
			rest.WriteString(part)
		}
	}
	return rest.String()
}
