package gateway

import (
	"net/http"
	"strings"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// carry proxies the request to v.route, and tells of it as a use of the workspace. It reports false, and
// does nothing, where the route is gone.
func (h *Handler) carry(v *visit) (outcome, bool) {
	if !v.route.Enter() {
		return answered, false
	}
	if lasts(v.r) {
		v.route.Leave() // a tab that is open is no use
	} else {
		defer v.route.Leave()
	}
	v.note()
	return h.proxy.serve(v), true
}

// note tells of an activity, where the request is one. Traffic is not: an idle tab of VS Code sends some
// hundred frames a minute. What a page of a preview fetches by itself, and what strangers do, may go on
// for ever with nobody there, so it counts no longer than what a container claims.
func (v *visit) note() {
	kind := v.kind()
	switch {
	case isUpgrade(v.r.Header):
	case v.host.Kind == workspace.HostPreview && (kind == background || v.grant.IsVisitor()):
		v.route.Heard(orchestrator.ActivityPreview)
	case v.host.Kind == workspace.HostPreview:
		v.route.Saw(orchestrator.ActivityPreview)
	case kind != background:
		v.route.Saw(orchestrator.ActivityOpened)
	}
}

// lasts reports whether the request is a stream that is open as long as its tab is.
func lasts(r *http.Request) bool {
	return isUpgrade(r.Header) || strings.HasPrefix(r.Header.Get("Accept"), "text/event-stream")
}
