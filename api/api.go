// Package api is the console's JSON API, its OpenAPI description, and the console's end of the
// hand-off to workspace hosts.
//
// Errors are RFC 9457 problems. Everything under /api/ answers to the console's own pages and to
// programs only: a request that a browser marks as coming from another origin is refused, whatever
// its method, since workspaces are siblings that serve anything.
package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/credential"
	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/ratelimit"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Template is what a new workspace may start from.
type Template struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Ports       []int  `json:"ports" nullable:"false"`
}

// Config is what a Handler is made of.
type Config struct {
	Hosts        *workspace.Hosts
	Identity     *identity.Service
	Orchestrator *orchestrator.Orchestrator
	Templates    []Template
	// Site returns the site that Kalpana protects under a Host header, and whether there is one. nil
	// means that there is none.
	Site func(host string) (workspace.Host, bool)
	// Committer is told when a person has changed in whose name they commit; nil is told nothing.
	Committer func(person string)
	// Bridge connects to the bridge of a workspace; nil connects to none.
	Bridge func(context.Context, workspace.ID) (*bridge.Client, error)
	// Credentials asks people which repositories their workspaces may sign in at; nil asks nobody.
	Credentials *credential.Broker
	// Links is whether people can sign in by link.
	Links bool
	Log   *slog.Logger
	// Limits bound how often people and programs may ask.
	Limits Limits
	// Stopping ends event streams before the server shuts down.
	Stopping <-chan struct{}
	Agent    AgentConfig
	MCP      MCPConfig
}

// Handler serves /api/, the hand-off, and the end of a sign-in at a provider.
type Handler struct {
	cfg     Config
	mux     *http.ServeMux
	huma    huma.API
	seen    seen
	streams streams
	calls   *ratelimit.Limiter // of pages to bridges, by person
}

// bodyLimit bounds a request's body, in bytes; bodyTimeout the time it may take.
const (
	bodyLimit   = 64 << 10
	bodyTimeout = 10 * time.Second
)

// A field in other letters than documented is an unknown one: with {"name": …, "NAME": …} the
// check would look at one and the decoder take the other.
func init() { huma.ValidateStrictCasing = true }

// New returns a Handler.
func New(cfg Config) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Handler{cfg: cfg, mux: http.NewServeMux(), calls: ratelimit.New(browserCalls, time.Second, browserBurst)}
	config := huma.DefaultConfig("Kalpana", "1")
	config.Info.Description = "The API of the Kalpana console."
	config.OpenAPIPath = "/api/openapi"
	config.DocsPath = "" // its page loads scripts from elsewhere
	config.SchemasPath = ""
	config.CreateHooks = nil // no $schema links in answers
	config.Components.SecuritySchemes = securitySchemes()
	h.huma = humago.New(h.mux, config)
	h.routes()
	h.mux.HandleFunc("/api/", h.nothing)
	return h
}

// ServeHTTP serves a request under /api/.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if wordsFor(r) {
		w = wordsWriter{w}
	}
	if !h.own(r) {
		writeProblem(w, http.StatusForbidden, "This request came from another site, so it is refused.")
		return
	}
	// Caddy's idle timeouts hide a body that was closed early from net/http, which would then take
	// the rest of the body for the next request. A body that is left open it deals with by itself.
	r = h.named(r)
	r.Body = io.NopCloser(r.Body)
	h.limited(w, r, h.mux)
}

// named returns a copy of r that tells sign-in and the audit log where it comes from.
func (h *Handler) named(r *http.Request) *http.Request {
	return r.WithContext(identity.WithClient(r.Context(), h.cfg.Identity.ClientOf(r)))
}

// own reports whether a request comes from the console's own pages, from a person or from a
// program. It is stricter than [Guard], which lets every GET through: what the API answers is nobody
// else's to read.
func (h *Handler) own(r *http.Request) bool {
	return fromConsole(r, h.cfg.Hosts) && Guard(r, h.cfg.Hosts) == nil
}

func fromConsole(r *http.Request, hosts *workspace.Hosts) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "", "none":
		origin := r.Header["Origin"]
		return len(origin) == 0 || (len(origin) == 1 && origin[0] == hosts.Console())
	default:
		return false
	}
}

// ErrCrossOrigin says that a page of another origin made a request that only the console's may make.
var ErrCrossOrigin = errors.New("this request came from another site, so it is refused")

var crossOrigin = http.NewCrossOriginProtection()

// Guard applies the origin rule of every route on the console's host; its error is ErrCrossOrigin.
// Unsafe methods pass net/http's guard, and come from the console where a browser tells their origin
// (the guard does not look at the scheme). A WebSocket, which the guard lets through, names the
// console as its Origin exactly.
func Guard(r *http.Request, hosts *workspace.Hosts) error {
	if len(r.Header["Upgrade"]) > 0 {
		if origin := r.Header["Origin"]; len(origin) != 1 || origin[0] != hosts.Console() {
			return ErrCrossOrigin
		}
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	if crossOrigin.Check(r) != nil || !fromConsole(r, hosts) {
		return ErrCrossOrigin
	}
	return nil
}

// nothing answers where there is no route, or none for the method.
func (h *Handler) nothing(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		_, pattern := h.mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host})
		if strings.HasPrefix(pattern, method+" ") {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		writeProblem(w, http.StatusNotFound, "There is nothing at this address.")
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	writeProblem(w, http.StatusMethodNotAllowed, "This address answers to "+strings.Join(allow, ", ")+" only.")
}

// OpenAPI returns the description of the API as JSON.
func (h *Handler) OpenAPI() ([]byte, error) { return h.huma.OpenAPI().MarshalJSON() }

// permissions takes from the console, and from what it frames, the devices that it has no use for. A
// preview has them in a tab of its own.
const permissions = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=()"

// Protect adds the security headers that every answer of the console carries. A frame of the
// console may pass through the console itself: the hand-off does, on its way to the workspace
// (Chromium applies frame-src to every redirect).
func Protect(hosts *workspace.Hosts, header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "+
		"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; frame-src 'self' "+hosts.WorkspaceOrigins())
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Permissions-Policy", permissions)
	header.Set("Referrer-Policy", "no-referrer")
	if strings.HasPrefix(hosts.Console(), "https:") {
		header.Set("Strict-Transport-Security", "max-age=31536000")
	}
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
}
