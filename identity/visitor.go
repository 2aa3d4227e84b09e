package identity

import (
	"context"

	"github.com/kalpana-dev/kalpana/workspace"
)

// Visitor returns what a request on a public preview is held under: a grant of nobody. It is ended by
// every revocation that names its host, or workspace, and becomes known while it is held: so hold it
// first, then look whether the preview is public. Like a grant, it needs that revocations are known:
// workspace.ErrStoreDown.
func (s *Service) Visitor(host workspace.Host) (Grant, error) {
	if s.silent(s.cfg.Now()) {
		return Grant{}, workspace.ErrStoreDown
	}
	return Grant{Label: host.Label()}, nil
}

// IsVisitor reports whether g is nobody's; see [Service.Visitor].
func (g Grant) IsVisitor() bool { return g.Session == "" && g.Person == "" }

// endVisitors ends what is held by nobody and named in news.
func (s *Service) endVisitors(news []Revocation) {
	s.streams.cancel(func(g Grant) bool {
		if !g.IsVisitor() {
			return false
		}
		for _, r := range news {
			if t := r.target(); t == targetOf(g).only(t.fields()) {
				return true
			}
		}
		return false
	})
}

// announcement begins the label of revocations that end nothing: no host has it. What follows tells one
// from another, since the clocks of gateways differ.
const announcement = "*"

// Announce tells every gateway, within seconds, that the record of a workspace has changed; see
// [Service.OnRevocation]. It ends no grant.
func (s *Service) Announce(ctx context.Context, id workspace.ID) error {
	return s.Revoke(ctx, Revocation{Workspace: id, Label: announcement + randomText(9)})
}

// OnRevocation has f called with every revocation, or announcement, that becomes known from now on,
// also with this gateway's own, before it ends anything. f must not block. It is set once, before Run.
func (s *Service) OnRevocation(f func(Revocation)) { s.onRevocation = f }
