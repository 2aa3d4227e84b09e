package gateway

import (
	"context"
	"net/http"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// SiteRule is what a part of a site demands.
type SiteRule struct {
	Required bool          // of being signed in; where it is not, everybody is let through
	Role     identity.Role // [identity.RoleAdmin], or "" for everybody who is signed in
}

// siteVisit is what is known of a request on a site, once its cookies are gone.
type siteVisit struct {
	grant identity.Grant
	err   error // why there is none
}

type siteKey struct{}

// ServeSite lets a request on another site of the operator's through to next, or answers it itself.
// Our cookies and tokens, and headers that name a person, never come through. next gets the person's grant, nil
// when nobody is signed in there; its context ends when the grant does. ServeSite may run several
// times for one request, with a rule for each part of the site.
func (h *Handler) ServeSite(w http.ResponseWriter, r *http.Request, site workspace.Host, rule SiteRule,
	next func(http.ResponseWriter, *http.Request, *identity.Grant) error,
) error {
	seen, ok := r.Context().Value(siteKey{}).(*siteVisit)
	if !ok {
		if r.URL.Path == identity.CallbackPath {
			h.completeHandoff(newVisit(w, r, site))
			return nil
		}
		seen = new(siteVisit)
		seen.grant, seen.err = h.cfg.Identity.CheckGrant(r, site)
		identity.StripCookies(r.Header)
		identity.StripTokens(r.Header) // they open no site, and are no site's to see
		StripPersonHeaders(r.Header)
		ctx := context.WithValue(r.Context(), siteKey{}, seen)
		if seen.err == nil {
			held, release := h.cfg.Identity.Hold(ctx, seen.grant)
			defer release()
			ctx = held
			if c := h.cfg.Identity.RenewGrant(seen.grant); c != nil {
				http.SetCookie(w, c)
			}
		}
		r = r.WithContext(ctx)
	}
	if rule.Required && !h.admit(newVisit(w, r, site), seen, rule.Role) {
		return nil
	}
	if seen.err != nil || !SameOrigin(r, h.cfg.Hosts.Origin(site)) {
		return next(w, r, nil) // where everybody may, another site's page is nobody
	}
	return next(w, r, &seen.grant)
}

// SiteGrant returns the grant that a request carries for a site, as [Handler.ServeSite] has found it
// before, or finds it now. Errors: identity.ErrNoGrant, workspace.ErrStoreDown.
func (h *Handler) SiteGrant(r *http.Request, site workspace.Host) (identity.Grant, error) {
	if seen, ok := r.Context().Value(siteKey{}).(*siteVisit); ok {
		return seen.grant, seen.err
	}
	return h.cfg.Identity.CheckGrant(r, site)
}

func newVisit(w http.ResponseWriter, r *http.Request, host workspace.Host) *visit {
	return &visit{w: recorder{ResponseWriter: w, status: http.StatusOK}, r: r, host: host}
}

// admit reports whether a request may pass; if not, it was answered.
func (h *Handler) admit(v *visit, seen *siteVisit, role identity.Role) bool {
	switch {
	case seen.err != nil:
		h.refuse(v, seen.err)
	case !SameOrigin(v.r, h.cfg.Hosts.Origin(v.host)):
		h.problem(v, http.StatusForbidden, "This request did not come from this site's own page, so it is refused.")
	case role == identity.RoleAdmin && seen.grant.Claims.Role != identity.RoleAdmin:
		h.problem(v, http.StatusForbidden, "This page is for administrators. Ask one of them if you need it.")
	default:
		return true
	}
	return false
}

// personHeaders begin the names of the headers by which proxies tell applications who somebody is.
var personHeaders = [...]string{
	"x-kalpana", "remote-user", "remote-name", "remote-email", "remote-group", "x-remote-",
	"x-forwarded-user", "x-forwarded-email", "x-forwarded-name", "x-forwarded-group", "x-forwarded-preferred-username",
	"x-auth-request-", "x-webauth-",
}

// StripPersonHeaders removes them, in any spelling that a server on the way might fold to theirs
// (CVE-2025-64484, CVE-2026-30851): what an application reads there must be the operator's word.
func StripPersonHeaders(h http.Header) {
	for name := range h {
		for _, prefix := range personHeaders {
			if foldedPrefix(name, prefix) {
				delete(h, name)
				break
			}
		}
	}
}
