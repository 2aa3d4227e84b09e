package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/kalpana-dev/kalpana/workspace"
)

// preflightAge is how long a browser may rely on the answer to a preflight.
const preflightAge = 10 * time.Minute

// serveCORS lets the other previews of a workspace call one whose owner turned that on: it sets v.cors,
// and what the answer says about it (Fetch Standard, CORS protocol). It answers a preflight itself and
// returns true, since a preflight never carries a cookie. Neither VS Code's origin, nor another
// workspace's, nor the console's is ever let in.
func (h *Handler) serveCORS(v *visit) (answered bool) {
	if !v.share.CORS || v.host.Kind != workspace.HostPreview {
		return false
	}
	header := v.w.Header()
	header.Add("Vary", "Origin")
	origins := v.r.Header["Origin"]
	if len(origins) != 1 {
		return false
	}
	from, err := h.cfg.Hosts.ParseOrigin(origins[0])
	if err != nil || from.Kind != workspace.HostPreview || from.ID != v.host.ID || from.Port == v.host.Port {
		return false
	}
	// The cookie comes along from every page of the site, but a page can only say this of itself.
	if site := v.r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-site" {
		return false
	}
	v.cors = true
	header.Set("Access-Control-Allow-Origin", origins[0])
	header.Set("Access-Control-Allow-Credentials", "true")
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

// withoutCORS removes what an app says where the gateway speaks for it: two such answers are none.
func withoutCORS(h http.Header) {
	h.Del("Access-Control-Allow-Origin")
	h.Del("Access-Control-Allow-Credentials")
}
