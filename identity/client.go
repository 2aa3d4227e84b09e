package identity

import (
	"context"
	"net"
	"net/http"
)

// Client is where a request comes from.
type Client struct {
	Address   string // IP address
	UserAgent string // as it came: the client's own words
	session   string // the browser's session cookie, which a sign-in replaces
}

// ClientOf returns where r comes from.
func (s *Service) ClientOf(r *http.Request) Client {
	c := Client{Address: s.AddressOf(r), UserAgent: r.UserAgent()}
	c.session, _ = cookieValue(r.Header["Cookie"], SessionCookie)
	return c
}

// AddressOf returns the IP address that r comes from: the connection's, or what a proxy says that the operator
// trusts.
func (s *Service) AddressOf(r *http.Request) (address string) {
	if s.cfg.ClientAddress != nil {
		address = s.cfg.ClientAddress(r)
	}
	if address == "" {
		address = r.RemoteAddr
	}
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}

type clientKey struct{}

// WithClient returns a context that tells sign-in and the audit log where a request comes from.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

func clientFrom(ctx context.Context) Client {
	c, _ := ctx.Value(clientKey{}).(Client)
	return c
}
