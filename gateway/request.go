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
	switch {
	case isOpened(h):
		return navigation
	case h.Get("Sec-Fetch-Mode") != "" || h.Get("Sec-Fetch-Site") != "" || h.Get("Sec-Fetch-Dest") != "":
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

// isOpened reports whether a window or a frame is to show what is asked for.
func isOpened(h http.Header) bool {
	if h.Get("Sec-Fetch-Mode") != "navigate" {
		return false
	}
	switch h.Get("Sec-Fetch-Dest") {
	case "document", "iframe", "frame":
		return true
	}
	return false
}

// SameOrigin applies the origin rule to a request on a host where our cookie is what authorises; origin is
// the host's own. A WebSocket must come from exactly there. An unsafe method must say so by Sec-Fetch-Site,
// or else by Origin. What only reads may also be opened from anywhere, and asked for by a program. But no page of
// another origin gets it for itself: an app that lets every page read (CORS), or answers with scripts, would
// tell a sibling what only this person may see.
//
// Sources: CVE-2023-0957, CVE-2023-26114 (WebSocket Origin), CVE-2026-40864 (no-cors is not
// same-origin), CVE-2025-30359 (another site's page takes a development server's scripts).
func SameOrigin(r *http.Request, origin string) bool {
	claimed, has := r.Header["Origin"]
	exact := len(claimed) == 1 && claimed[0] == origin
	if len(claimed) > 1 || isUpgrade(r.Header) {
		return exact
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "":
		return exact || !has && isSafe(r.Method)
	case "none":
		return isSafe(r.Method)
	default:
		return isRead(r.Method) && isOpened(r.Header)
	}
}
