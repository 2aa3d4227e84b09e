package gateway

import (
	"net/http"
	"strings"
)

// A request is one of three kinds, told apart by what browsers say of themselves (Fetch Metadata).
type requestKind int

const (
	// program: neither Sec-Fetch-* nor Upgrade. curl, scripts, tools.
	program requestKind = iota
	// navigation: a person opens or reloads a page.
	navigation
	// background: subresources, fetches, WebSockets, prefetches. A forgotten tab sends them too.
	background
)

func kindOf(r *http.Request) requestKind {
	h := r.Header
	if isUpgrade(h) || isPrefetch(h) {
		return background
	}
	switch mode := h.Get("Sec-Fetch-Mode"); {
	case mode == "navigate":
		switch h.Get("Sec-Fetch-Dest") {
		case "document", "iframe", "frame":
			return navigation
		}
		return background
	case mode != "" || h.Get("Sec-Fetch-Site") != "" || h.Get("Sec-Fetch-Dest") != "":
		return background
	case isRead(r.Method) && strings.Contains(h.Get("Accept"), "text/html"):
		return navigation // a browser without Fetch Metadata
	default:
		return program
	}
}

func isUpgrade(h http.Header) bool {
	return len(h["Upgrade"]) > 0
}

func isPrefetch(h http.Header) bool {
	for _, name := range [...]string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := h.Get(name); v != "" && strings.Contains(strings.ToLower(v), "pre") {
			return true // prefetch, prerender, preview
		}
	}
	return false
}

func isRead(method string) bool { return method == http.MethodGet || method == http.MethodHead }

func isSafe(method string) bool {
	return isRead(method) || method == http.MethodOptions || method == http.MethodTrace
}

// needsOrigin reports whether the origin rule says anything about the request.
func needsOrigin(r *http.Request) bool { return isUpgrade(r.Header) || !isSafe(r.Method) }

// sameOrigin applies the origin rule to a request that needs it, for hosts where our cookie is what
// authorises. origin is the host's own. A WebSocket must come from exactly there. An unsafe method
// must say so by Sec-Fetch-Site, or else by Origin.
//
// Sources: CVE-2023-0957, CVE-2023-26114 (WebSocket Origin), CVE-2026-40864 (no-cors is not
// same-origin).
func sameOrigin(r *http.Request, origin string) bool {
	claimed, has := r.Header["Origin"]
	if len(claimed) > 1 {
		return false
	}
	if isUpgrade(r.Header) {
		return has && claimed[0] == origin
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin"
	}
	return has && claimed[0] == origin
}
