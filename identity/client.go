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
	c := Client{UserAgent: r.UserAgent()}
	if s.cfg.ClientAddress != nil {
		c.Address = s.cfg.ClientAddress(r)
	}
	if c.Address == "" {
		c.Address = r.RemoteAddr
	}
	if host, _, err := net.SplitHostPort(c.Address); err == nil {
		c.Address = host
	}
	c.session, _ = cookieValue(r.Header["Cookie"], SessionCookie)
	return c
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
