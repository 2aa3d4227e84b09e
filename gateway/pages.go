package gateway

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/ratelimit"
	"github.com/kalpana-dev/kalpana/workspace"
)

//go:embed page.html page.css wake.js listen.js
var assets embed.FS

var (
	pageTemplate = template.Must(template.ParseFS(assets, "page.html"))
	pageStyle    = mustRead("page.css")
	wakeScript   = mustRead("wake.js")
	listenScript = mustRead("listen.js")
	// The page's own style and scripts are named by hash, so that nothing else runs on it.
	pagePolicy = "default-src 'none'; connect-src 'self'; base-uri 'none'; form-action 'none'; style-src '" +
		sourceHash(pageStyle) + "'; script-src '" + sourceHash(wakeScript) + "' '" + sourceHash(listenScript) + "'; frame-ancestors "
)

func mustRead(name string) string {
	b, err := assets.ReadFile(name)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func sourceHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

type pageData struct {
	Title   string
	Message string
	Detail  string // preformatted
	Action  string // label of the one thing to do
	Href    string // where it leads
	NewTab  bool   // out of the frame that the page is in
	Live    bool   // follows the wake
	Listens bool   // looks again by itself until a program listens
	Console string // "" in a frame: the console, which is around it, lets nothing frame or replace it
	Style   template.CSS
	Script  template.JS
}

// page writes one of the gateway's own pages.
func (h *Handler) page(v *visit, status int, d pageData) {
	d.Console = h.cfg.Hosts.Console()
	if isFrame(v.r) {
		if d.Href == d.Console {
			d.Action = ""
		}
		d.Console = ""
	}
	d.Style = template.CSS(pageStyle) //nolint:gosec // our own file
	switch {
	case d.Live:
		d.Script = template.JS(wakeScript) //nolint:gosec // our own file
	case d.Listens:
		d.Script = template.JS(listenScript) //nolint:gosec // our own file
	}
	header := v.w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", pagePolicy+ancestors(h.cfg.Hosts, v.host))
	setOwnHeaders(header)
	setRetryAfter(header, status)
	v.w.WriteHeader(status)
	if v.r.Method == http.MethodHead {
		return
	}
	if err := pageTemplate.Execute(&v.w, d); err != nil {
		h.cfg.Log.Debug("a page could not be written", "error", err)
	}
}

// ancestors returns who may frame host: itself, the console, and a preview also the VS Code of its
// workspace (its Simple Browser).
func ancestors(hosts *workspace.Hosts, host workspace.Host) string {
	ancestors := "'self' "
	if host.Kind == workspace.HostPreview {
		ancestors += hosts.Origin(workspace.Host{Kind: workspace.HostIDE, ID: host.ID}) + " "
	}
	return ancestors + hosts.Console()
}

// setRetryAfter tells when a 503 may be over, where that was not said yet.
func setRetryAfter(h http.Header, status int) {
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfter)
	}
}

// setOwnHeaders sets what protects an answer of ours. A page sets its own policy.
func setOwnHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	if h.Get("Content-Security-Policy") == "" {
		h.Set("Content-Security-Policy", "default-src 'none'")
	}
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

func (h *Handler) progressPage(v *visit) {
	h.page(v, http.StatusServiceUnavailable, pageData{
		Title: "Waking your workspace", Message: "It opens by itself in a moment.", Live: true,
	})
}

// explain returns what a person should read about a fault of a wake.
func explain(err error) string {
	switch {
	case errors.Is(err, workspace.ErrNotFound):
		return "This workspace does not exist, or no longer."
	case errors.Is(err, context.Canceled):
		err = workspace.ErrBusy
	}
	return orchestrator.Explain(err)
}

// drainRetry is when somebody is told to look again while the gateway is about to be restarted.
const drainRetry = 30 * time.Second

// fault answers with what went wrong and what to do next, as a page to people and as a problem
// (RFC 9457) to programs.
func (h *Handler) fault(v *visit, err error) {
	status := StatusOf(err)
	text := explainTo(v, err)
	if !v.owner { // the log's end is the owner's to read
		text, _, _ = strings.Cut(text, "\n")
	}
	if errors.Is(err, workspace.ErrDraining) {
		ratelimit.SetRetryAfter(v.w.Header(), drainRetry)
	}
	if v.kind() != navigation {
		h.problem(v, status, text)
		return
	}
	message, detail, _ := strings.Cut(text, "\n")
	d := pageData{Title: "The workspace did not start", Message: message, Detail: detail, Action: "Try again", Href: "/"}
	if errors.Is(err, workspace.ErrDraining) {
		d.Title, d.Href = "Back in a few minutes", "" // this very address
	}
	if status == http.StatusNotFound {
		d.Title, d.Action, d.Href = "No such workspace", "Go to your workspaces", h.cfg.Hosts.Console()
	}
	h.page(v, status, d)
}

// tooMany answers a visitor without a grant who asks too often.
func (h *Handler) tooMany(v *visit, wait time.Duration) {
	ratelimit.SetRetryAfter(v.w.Header(), wait)
	const text = "Too many workspaces were opened from your network in a short time. Wait a moment and try again."
	if v.kind() == navigation {
		h.page(v, http.StatusTooManyRequests, pageData{Title: "One moment", Message: text, Action: "Try again", Href: ""})
		return
	}
	h.problem(v, http.StatusTooManyRequests, text)
}

func (h *Handler) unavailable(v *visit, text string) {
	if v.kind() == navigation {
		h.page(v, http.StatusServiceUnavailable, pageData{Title: "Not available right now", Message: text, Action: "Try again", Href: ""}) // this very address
		return
	}
	h.problem(v, http.StatusServiceUnavailable, text)
}

// asleep answers a visitor who may not wake the workspace.
func (h *Handler) asleep(v *visit, text string, retry time.Duration) {
	ratelimit.SetRetryAfter(v.w.Header(), retry)
	if v.kind() == navigation {
		h.page(v, http.StatusServiceUnavailable, pageData{Title: "Asleep", Message: text, Action: "Try again", Href: ""}) // this very address
		return
	}
	h.problem(v, http.StatusServiceUnavailable, text)
}

// noAddress answers on a host that can be no workspace's.
func (h *Handler) noAddress(v *visit) {
	address := h.cfg.Hosts.WorkspaceDomain()
	text := "A workspace is at <id>." + address + ", where the id has ten characters, and a port of it at 3000-<id>." + address +
		". Ports below 1024 cannot be opened, nor 8080 and 3001, which are Kalpana's own: let the program listen on another."
	if v.kind() == navigation {
		h.page(v, http.StatusNotFound, pageData{Title: "No workspace has this address", Message: text})
		return
	}
	h.problem(v, http.StatusNotFound, text)
}

// nothingListens says that no program listens on the preview's port. The page looks again by itself,
// unless what was asked would be done twice.
func (h *Handler) nothingListens(v *visit) {
	port := strconv.Itoa(v.host.Port)
	text := "No program in the workspace listens on port " + port + " yet."
	if v.kind() != navigation {
		h.problem(v, http.StatusBadGateway, text+" Start it, then try again.")
		return
	}
	if v.owner {
		text += " Start it, on 127.0.0.1 or on all addresses."
	}
	d := pageData{Title: "Nothing listens on port " + port, Message: text, Action: "Try again", Href: ""}
	if isRead(v.r.Method) {
		d.Message += " This page opens it by itself once it runs."
		d.Listens = true
	}
	h.page(v, http.StatusBadGateway, d)
}

func (h *Handler) problem(v *visit, status int, text string) {
	if v.kind() == navigation && status != http.StatusUnauthorized {
		h.page(v, status, pageData{Title: http.StatusText(status), Message: text, Action: "Go to your workspaces", Href: h.cfg.Hosts.Console()})
		return
	}
	writeProblem(&v.w, status, text)
}

func writeProblem(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	setOwnHeaders(header)
	setRetryAfter(header, status)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{http.StatusText(status), status, text})
}
