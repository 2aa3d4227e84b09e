package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// preflightAge is how long a browser may rely on the answer to a preflight.
const preflightAge = 10 * time.Minute

// serveCORS lets the pages of a workspace's other previews call, or show something of, one whose owner turned that on: it sets v.cors,
// and what the answer says about it (Fetch Standard, CORS protocol). It answers a preflight itself and
// returns true, since a preflight never carries a cookie. Neither VS Code's origin, nor another
// workspace's, nor the console's is ever let in.
func (h *Handler) serveCORS(v *visit) (answered bool) {
	if !v.share.CORS || v.host.Kind != workspace.HostPreview {
		return false
	}
	header := v.w.Header()
	header.Add("Vary", "Origin")
	origin := callerOf(v.r)
	from, err := h.cfg.Hosts.ParseOrigin(origin)
	if err != nil || from.Kind != workspace.HostPreview || from.ID != v.host.ID || from.Port == v.host.Port {
		return false
	}
	// The cookie comes along from every page of the site, but a page can only say this of itself.
	if site := v.r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-site" {
		return false
	}
	v.cors = origin
	v.allow()
	asked := v.r.Header["Access-Control-Request-Method"]
	if v.r.Method != http.MethodOptions || len(asked) != 1 {
		return false
	}
	header.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	header.Set("Access-Control-Allow-Methods", asked[0])
	if names := v.r.Header["Access-Control-Request-Headers"]; len(names) == 1 {
		header.Set("Access-Control-Allow-Headers", names[0])
	}
	header.Set("Access-Control-Max-Age", strconv.Itoa(int(preflightAge/time.Second)))
	v.w.WriteHeader(http.StatusNoContent)
	return true
}

// callerOf returns the origin of the page that makes the request, or what is none. Of an image, or another
// thing that a page shows or runs, the Referer alone tells it; a page can leave that out, and not forge it.
func callerOf(r *http.Request) string {
	origins := r.Header["Origin"]
	switch {
	case len(origins) == 1:
		return origins[0]
	case len(origins) > 1 || !isRead(r.Method):
		return ""
	}
	scheme, rest, _ := strings.Cut(r.Referer(), "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// allow says in the answer that the page at v.cors may read it.
func (v *visit) allow() {
	header := v.w.Header()
	header.Set("Access-Control-Allow-Origin", v.cors)
	header.Set("Access-Control-Allow-Credentials", "true")
	if len(header["Vary"]) == 0 {
		header.Set("Vary", "Origin")
	}
}

// withoutCORS removes what an app says where the gateway speaks for it: two such answers are none.
func withoutCORS(h http.Header) {
	h.Del("Access-Control-Allow-Origin")
	h.Del("Access-Control-Allow-Credentials")
}
