package api

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Handoff serves identity.HandoffPath: it sends a browser that is signed in and may open the
// workspace, or the site, back to its host with a code. It is the only GET with an effect, and so only for
// navigations. notFound serves the console's page with status 404.
func (h *Handler) Handoff(w http.ResponseWriter, r *http.Request, notFound http.Handler) {
	r = h.named(r)
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	dest := r.Header.Get("Sec-Fetch-Dest")
	if r.Method != http.MethodGet || (dest != "document" && dest != "iframe") {
		writeProblem(w, http.StatusForbidden, "This address is a step of signing in and opens in a browser only.")
		return
	}
	if _, ok := identity.BearerToken(r); ok {
		h.refuse(w, errNotForTokens)
		return
	}
	query := r.URL.Query()
	challenge := query.Get("challenge")
	host, err := h.handoffHost(query.Get("host"))
	if err != nil {
		notFound.ServeHTTP(w, r)
		return
	}
	if len(challenge) != identity.ChallengeLength {
		h.refuse(w, identity.ErrHandoff)
		return
	}
	if h.limitHandoff(w, r) {
		return
	}
	caller, err := h.cfg.Identity.Authenticate(r)
	if errors.Is(err, identity.ErrNoSession) {
		h.cfg.Limits.Handoff.Take(h.addressKey(r), time.Now())
		next := identity.HandoffPath + "?" + url.Values{"host": {host.Label()}, "challenge": {challenge}}.Encode()
		seeOther(w, "/login?next="+url.QueryEscape(next))
		return
	}
	if err == nil {
		if limit := h.cfg.Limits.Handoff; !limit.Knows(caller.Session.Hash) {
			limit.Take(caller.Session.Hash, time.Now())
		}
		err = h.mayOpen(r, caller, host)
	}
	if errors.Is(err, workspace.ErrNotFound) {
		notFound.ServeHTTP(w, r)
		return
	}
	var target string
	if err == nil {
		target, err = h.cfg.Identity.ApproveHandoff(r.Context(), caller, host, challenge)
	}
	if err != nil {
		h.refuse(w, err)
		return
	}
	seeOther(w, target)
}

// handoffHost parses the label of a host that a grant can be had for.
func (h *Handler) handoffHost(label string) (workspace.Host, error) {
	if name := workspace.SiteOfLabel(label); name != "" && h.cfg.Site != nil {
		if site, ok := h.cfg.Site(name); ok && site.Label() == label {
			return site, nil
		}
		return workspace.Host{}, workspace.ErrInvalidHost
	}
	return h.cfg.Hosts.ParseLabel(label)
}

// mayOpen returns workspace.ErrNotFound where caller may not open host. A site is open to everybody
// who is signed in; what more it demands it checks itself. A workspace that is being
// deleted opens no more: its grants are revoked already.
func (h *Handler) mayOpen(r *http.Request, caller identity.Caller, host workspace.Host) error {
	if host.Kind == workspace.HostSite {
		return nil
	}
	access, err := h.cfg.Orchestrator.ReadAccess(r.Context(), host)
	if err == nil && !access.Admits(caller.Person.ID) {
		h.notTheirs(r.Context(), caller, host.ID)
		err = workspace.ErrNotFound
	}
	return err
}

func seeOther(w http.ResponseWriter, target string) {
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusSeeOther)
}
