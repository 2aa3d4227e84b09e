package gateway

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Where console and workspaces are different sites to a browser, a frame gets what follows for its
// cookies to work. In the console's pane the hand-off goes as always, with cookies that are
// partitioned. A preview that VS Code frames (its Simple Browser) cannot reach the console's session
// from there: an ancestor of its frame is of another site. So the workspace's own host, which the
// frame's ancestors have a grant on, gives the code in the console's place:
//
//	preview     sets a nonce cookie and sends the frame to VS Code's host
//	VS Code     has its grant checked, and sends it back with a code; without a grant, on to the console
//	preview     takes the code
//
// The person and what they may are read from the store, as the console does.

// vouchPath is where VS Code's host stands in for the console.
const vouchPath = "/.kalpana/vouch"

// isFrame reports whether a frame is navigated.
func isFrame(r *http.Request) bool {
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "iframe" || dest == "frame"
}

// beginHandoff returns the nonce cookie and the address that the navigation is sent on to.
func (h *Handler) beginHandoff(v *visit) (*http.Cookie, string) {
	path := v.r.URL.RequestURI()
	if h.cfg.Hosts.SameSite() || v.host.Kind == workspace.HostSite || !isFrame(v.r) {
		return h.cfg.Identity.BeginHandoff(v.host, path, v.r.Header["Cookie"]...)
	}
	cookie, target := h.cfg.Identity.BeginFramedHandoff(v.host, path, v.r.Header["Cookie"]...)
	if v.host.Kind == workspace.HostPreview {
		if console, err := url.Parse(target); err == nil {
			target = h.cfg.Hosts.Origin(workspace.Host{Kind: workspace.HostIDE, ID: v.host.ID}) + vouchPath + "?" + console.RawQuery
		}
	}
	return cookie, target
}

// vouch serves vouchPath. It is a GET with an effect, and so only for frames.
func (h *Handler) vouch(v *visit) {
	query := v.r.URL.Query()
	challenge := query.Get("challenge")
	preview, err := h.cfg.Hosts.ParseLabel(query.Get("host"))
	if v.r.Method != http.MethodGet || !isFrame(v.r) || v.kind() != navigation || h.cfg.Hosts.SameSite() ||
		err != nil || preview.Kind != workspace.HostPreview || preview.ID != v.host.ID || v.host.Kind != workspace.HostIDE || len(challenge) != identity.ChallengeLength {
		h.problem(v, http.StatusNotFound, "There is nothing at this address.")
		return
	}
	caller, err := h.holder(v, preview)
	switch {
	case errors.Is(err, identity.ErrNoSession):
		redirect(&v.w, h.cfg.Hosts.Console()+identity.HandoffPath+"?"+url.Values{"host": {preview.Label()}, "challenge": {challenge}}.Encode())
		return
	case err != nil:
		h.fault(v, err)
		return
	}
	if wait := h.cfg.Handoffs.Take(h.addressKey(v), time.Now()); wait > 0 {
		h.tooMany(v, wait)
		return
	}
	target, err := h.cfg.Identity.ApproveHandoff(v.r.Context(), caller, preview, challenge)
	if err != nil {
		h.fault(v, err)
		return
	}
	redirect(&v.w, target)
}

// holder returns who has a grant on v's host, if they may open the preview too: identity.ErrNoSession if
// there is nobody, workspace.ErrNotFound if they may not.
func (h *Handler) holder(v *visit, preview workspace.Host) (identity.Caller, error) {
	grant, err := h.cfg.Identity.CheckGrant(v.r, v.host)
	if errors.Is(err, identity.ErrNoGrant) {
		return identity.Caller{}, identity.ErrNoSession
	}
	if err != nil {
		return identity.Caller{}, err
	}
	caller, err := h.cfg.Identity.Holder(v.r.Context(), grant)
	if err != nil {
		return identity.Caller{}, err
	}
	access, err := h.cfg.Orchestrator.ReadAccess(v.r.Context(), preview)
	if err == nil && !access.Admits(caller.Person.ID) {
		err = workspace.ErrNotFound
	}
	return caller, err
}
