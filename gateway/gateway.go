package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/ratelimit"
	"github.com/kalpana-dev/kalpana/workspace"
)

// HoldTime is how long a request waits by default for a wake before it is answered with 503.
const HoldTime = 50 * time.Second

// retryAfter is what we tell clients to wait, in seconds.
const retryAfter = "2"

// Config is what a Handler is made of; Hosts, Identity, Orchestrator and Transport are needed.
type Config struct {
	Hosts        *workspace.Hosts
	Identity     *identity.Service
	Orchestrator *orchestrator.Orchestrator
	Transport    http.RoundTripper
	Metrics      *Metrics
	Log          *slog.Logger
	// HoldTime is how long a request waits for a wake; 0 means [HoldTime].
	HoldTime time.Duration
	// Handoffs bounds by address how often a visitor without a grant is sent to sign in, and how
	// often that fails; nil does not.
	Handoffs *ratelimit.Limiter
	// Stopping ends when the server reloads or shuts down: streams of our own end then, so that
	// they do not hold it up. Proxied streams are not ended.
	Stopping <-chan struct{}
}

// Handler serves workspace hosts.
type Handler struct {
	cfg   Config
	proxy *proxy
	wakes visitorWakes
}

// New returns a Handler.
func New(cfg Config) *Handler {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if cfg.HoldTime == 0 {
		cfg.HoldTime = HoldTime
	}
	return &Handler{cfg: cfg, proxy: newProxy(cfg), wakes: newVisitorWakes()}
}

// strictTransport keeps browsers on https for a year, on this host.
var strictTransport = []string{"max-age=31536000"}

// visit is one request on its way through the gateway.
type visit struct {
	w     recorder
	r     *http.Request
	ctx   context.Context //nolint:containedctx // the request's, once it is held: ends with it or with the right to be here
	host  workspace.Host
	share workspace.Share // of the host's port, as far as it is known
	grant identity.Grant  // a visitor's on a public preview
	owner bool            // the grant is the workspace's owner's
	cors  string          // origin of a preview that may call this one, if it comes from there

	wakes int // so often it was woken for this request, and went to sleep before it was served

	// Of an attempt to proxy it.
	route   *orchestrator.Route
	outcome outcome
}

func (v *visit) kind() requestKind { return kindOf(v.r) }

// ServeHTTP answers a request on a workspace host. Every other host is 404.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, err := h.cfg.Hosts.Parse(r.Host)
	if err != nil || host.Kind == workspace.HostConsole {
		h.cfg.Metrics.count(0, http.StatusNotFound)
		h.noAddress(&visit{w: recorder{ResponseWriter: w, status: http.StatusOK}, r: r})
		return
	}
	if h.proxy.scheme == "https" {
		w.Header()["Strict-Transport-Security"] = strictTransport
	}
	v := &visit{w: recorder{ResponseWriter: w, status: http.StatusOK}, r: r, host: host}
	v.w.streams = h.cfg.Metrics.streamsOf(host.Kind)
	defer func() {
		v.w.over()
		h.cfg.Metrics.count(host.Kind, v.w.status)
	}()
	h.serve(v)
}

func (h *Handler) serve(v *visit) {
	if v.r.URL.Path == identity.CallbackPath {
		h.completeHandoff(v)
		return
	}
	if v.r.URL.Path == vouchPath {
		h.vouch(v)
		return
	}
	access, err := h.cfg.Orchestrator.Access(v.r.Context(), v.host)
	if err != nil && !errors.Is(err, workspace.ErrNotFound) {
		h.refuse(v, workspace.ErrStoreDown)
		return
	}
	v.share = access.Share
	if h.serveCORS(v) {
		return
	}
	if !h.open(v, access) {
		return
	}
	if v.r.URL.Path == wakePath && v.r.Method == http.MethodPost {
		h.serveWake(v) // has an origin rule of its own
		return
	}
	// What a grant authorises must come from the host's own pages; a public preview authorises nobody.
	if v.grant.Token == "" && !v.grant.IsVisitor() && v.cors == "" && !SameOrigin(v.r, h.cfg.Hosts.Origin(v.host)) {
		h.problem(v, http.StatusForbidden, "This request did not come from the workspace's own page, so it is refused.")
		return
	}
	if strings.HasPrefix(v.r.URL.Path, "/.kalpana/") {
		h.serveOwn(v)
		return
	}
	ctx, release := h.hold(v)
	defer release()
	if ctx.Err() != nil {
		h.ended(v) // and nothing is woken
		return
	}
	v.ctx = ctx
	h.forward(v)
}

// open gives the request its grant, or answers it and returns false.
func (h *Handler) open(v *visit, access orchestrator.Access) bool {
	if text, ok := identity.BearerToken(v.r); ok && v.host.Kind == workspace.HostIDE {
		if !h.openByToken(v, text) {
			return false
		}
	} else {
		var err error
		if access.Public() {
			v.grant, err = h.cfg.Identity.Visitor(v.host)
		} else {
			v.grant, err = h.cfg.Identity.CheckGrant(v.r, v.host)
		}
		if err != nil {
			h.refuse(v, err)
			return false
		}
	}
	if v.grant.IsVisitor() {
		return true
	}
	if err := h.mayOpen(v, access); err != nil {
		h.fault(v, err)
		return false
	}
	return true
}

// mayOpen returns workspace.ErrNotFound where the grant's person may not open the host, or no longer,
// and else completes v. What memory says against them is looked up once more: another gateway may
// have shared the port, or made the workspace, just now.
func (h *Handler) mayOpen(v *visit, access orchestrator.Access) (err error) {
	if !access.Admits(v.grant.Person) {
		if access, err = h.cfg.Orchestrator.ReadAccess(v.r.Context(), v.host); err != nil {
			return err
		}
		if !access.Admits(v.grant.Person) {
			e := v.grant.Event(identity.ActionRefusal)
			e.Outcome, e.Detail = identity.OutcomeRefused, v.host.Label()+" is not shared with them any more"
			h.cfg.Identity.Audit(identity.WithClient(v.r.Context(), h.cfg.Identity.ClientOf(v.r)), e)
			return workspace.ErrNotFound
		}
		v.share = access.Share
	}
	v.owner = v.grant.Person == access.Owner
	return nil
}

// hold returns a context that ends when the right to be here does. A visitor's is looked at again once
// it is held: until then nothing would have ended it.
func (h *Handler) hold(v *visit) (context.Context, func()) {
	ctx, release := h.cfg.Identity.Hold(v.r.Context(), v.grant)
	if !v.grant.IsVisitor() {
		return ctx, release
	}
	if access, err := h.cfg.Orchestrator.Access(ctx, v.host); err != nil || !access.Public() {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return ended, release
	}
	return ctx, release
}

// ended answers a request whose right to be here ended on the way.
func (h *Handler) ended(v *visit) {
	text := "The request was ended: you signed out, or lost access to this workspace."
	if v.grant.IsVisitor() {
		text = "The request was ended: this preview is no longer shared with everybody."
	}
	h.problem(v, http.StatusServiceUnavailable, text)
}

// forward proxies the request; when nothing can be reached any more at a route that seemed good, it
// wakes the workspace and serves the same request: no byte of its body was read for a connection
// that did not come about.
func (h *Handler) forward(v *visit) {
	for attempt := 0; ; attempt++ {
		if v.route = h.cfg.Orchestrator.Route(v.host.ID); v.route == nil {
			if v.route = h.awaken(v); v.route == nil {
				return
			}
		}
		result, entered := h.carry(v)
		if !entered {
			attempt-- // it was about to sleep; whoever may wakes it
			continue
		}
		switch result {
		case answered:
			return
		case unreachable:
			h.cfg.Orchestrator.Lost(v.route)
			if attempt > 0 {
				h.unavailable(v, "The workspace does not answer.")
				return
			}
		case broken:
			h.problem(v, http.StatusBadGateway, "The workspace broke off its answer. Try again; reload the page if it stays so.")
			return
		case over:
			h.ended(v)
			return
		case nothingListens:
			h.nothingListens(v)
			return
		case appFailed:
			h.problem(v, http.StatusBadGateway, fmt.Sprintf("The program on port %d broke off its answer, or does not speak HTTP. Look at its output, then try again.", v.host.Port))
			return
		}
	}
}

// maxWakes is how often a workspace is woken again for one request.
const maxWakes = 5

// awaken returns the route once the workspace runs, or answers the request itself and returns nil.
func (h *Handler) awaken(v *visit) *orchestrator.Route {
	op := h.cfg.Orchestrator.Waking(v.host.ID)
	kind := v.kind()
	first := op == nil && kind != background
	switch {
	case first:
		if op = h.wake(v); op == nil {
			return nil
		}
	case op == nil:
		if route := h.asItIs(v); route != nil {
			return route
		}
		h.unavailable(v, "The workspace sleeps. Open or reload its page to wake it.")
		return nil
	}
	if first || kind == navigation {
		err, ended := h.settled(v, op)
		if first {
			h.noteStart(v, err)
		}
		switch {
		case kind != navigation:
		case err != nil:
			h.fault(v, err)
			return nil
		case !ended: // what is decided at once needs no page of progress
			h.progressPage(v)
			return nil
		}
	}
	rc := http.NewResponseController(&v.w)
	_ = rc.SetReadDeadline(time.Time{}) // the server's limits do not fit a wait
	_ = rc.SetWriteDeadline(time.Time{})
	ctx, cancel := context.WithTimeout(v.ctx, h.cfg.HoldTime)
	defer cancel()
	h.cfg.Metrics.held.Add(1)
	err := op.AwaitRoute(ctx)
	h.cfg.Metrics.held.Add(-1)
	switch {
	case err == nil:
		if route := h.cfg.Orchestrator.Route(v.host.ID); route != nil {
			return route
		}
		// Perhaps it is looked at once more, since the engine reported something; or it was idle for a
		// moment before the request got its turn.
		if s := h.cfg.Orchestrator.State(v.host.ID); (s == workspace.StateRunning || h.isPaused(v.host.ID)) && v.wakes < maxWakes {
			v.wakes++
			return h.awaken(v)
		}
		h.unavailable(v, "The workspace was stopped again at once.")
	case v.ctx.Err() != nil:
		h.ended(v)
	case errors.Is(err, context.DeadlineExceeded):
		h.unavailable(v, "The workspace is still starting.")
	default:
		h.fault(v, err)
	}
	return nil
}

// asItIs returns the route for a request that wakes nothing, if the workspace runs after all: one that is
// just about to sleep may be needed elsewhere, and another gateway may have woken it.
func (h *Handler) asItIs(v *visit) *orchestrator.Route {
	ctx, cancel := context.WithTimeout(v.ctx, h.cfg.HoldTime)
	defer cancel()
	if decided := h.cfg.Orchestrator.Settling(v.host.ID); decided != nil {
		select {
		case <-decided:
		case <-ctx.Done():
		}
		return h.cfg.Orchestrator.Route(v.host.ID)
	}
	return h.cfg.Orchestrator.Find(ctx, v.host.ID)
}

// wake starts a wake in the name of whoever makes the request, or answers why they may not and returns
// nil.
func (h *Handler) wake(v *visit) *orchestrator.Operation {
	if v.grant.IsVisitor() {
		if !v.share.Wakes {
			h.asleep(v, "The workspace behind this preview sleeps, and visitors do not wake it. Ask its owner to start it, then reload.", asleepRetry)
			return nil
		}
		if wait := h.wakes.take(v.host.ID, h.addressKey(v)); wait > 0 {
			h.asleep(v, "The workspace behind this preview sleeps, and visitors have woken it often already. Try again later.", wait)
			return nil
		}
	}
	return h.cfg.Orchestrator.Wake(v.host.ID)
}

// noteStart tells the audit log of a wake, which err kept from starting anything.
func (h *Handler) noteStart(v *visit, err error) {
	e := v.grant.Event(identity.ActionStart)
	if err != nil && v.r.Context().Err() == nil {
		why, _, _ := strings.Cut(explain(err), "\n")
		e.Outcome, e.Detail = identity.OutcomeRefused, strings.TrimPrefix(e.Detail+": "+why, ": ")
	}
	h.cfg.Identity.Audit(identity.WithClient(v.r.Context(), h.cfg.Identity.ClientOf(v.r)), e)
}

// settled waits until the operation has ended, or has begun to start a container. What needs no start
// is so answered on the same request: a refusal, a workspace that was found running, and one that is
// paused.
func (h *Handler) settled(v *visit, op *orchestrator.Operation) (error, bool) {
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		select {
		case <-op.Running():
			return nil, true
		default:
		}
		stage, changed := op.Stage()
		switch stage {
		case orchestrator.StageQueued:
			if place, _ := op.Place(); place > 0 {
				return nil, false
			}
		case orchestrator.StageReady, orchestrator.StageFailed:
			<-op.Done()
			return op.Err(), true
		default:
			if !op.Resumes() {
				return nil, false
			}
			timer.Stop() // it is bounded by itself
		}
		select {
		case <-op.Running():
			return nil, true
		case <-changed:
		case <-v.r.Context().Done():
			return v.r.Context().Err(), true
		case <-timer.C:
			if !h.isPaused(v.host.ID) { // else the machine is busy, and it is a matter of moments
				return nil, false
			}
			timer.Reset(time.Second)
		}
	}
}

// isPaused reports whether a workspace is paused, or about to be, as far as this process has heard.
func (h *Handler) isPaused(id workspace.ID) bool {
	s := h.cfg.Orchestrator.State(id)
	return s == workspace.StatePausing || s == workspace.StatePaused
}

// refuse answers a request without a good grant. Whether the workspace exists makes no difference.
func (h *Handler) refuse(v *visit, err error) {
	if errors.Is(err, workspace.ErrStoreDown) {
		h.unavailable(v, "Access cannot be checked right now, since the store does not answer.")
		return
	}
	if v.kind() != navigation || !isRead(v.r.Method) {
		h.problem(v, http.StatusUnauthorized, "This browser has no access to "+thisHost(v.host)+". Open its page first, or sign in at "+h.cfg.Hosts.Console()+".")
		return
	}
	if wait := h.cfg.Handoffs.Take(h.addressKey(v), time.Now()); wait > 0 {
		h.tooMany(v, wait)
		return
	}
	cookie, target := h.beginHandoff(v)
	http.SetCookie(&v.w, cookie)
	redirect(&v.w, target)
}

// addressKey returns the key of the address that the request comes from.
func (h *Handler) addressKey(v *visit) string {
	return ratelimit.AddressKey(h.cfg.Identity.AddressOf(v.r))
}

// thisHost names a host to people.
func thisHost(host workspace.Host) string {
	if host.Kind == workspace.HostSite {
		return "this site"
	}
	return "this workspace"
}

// completeHandoff is where the console sends a browser back to.
func (h *Handler) completeHandoff(v *visit) {
	if v.r.Method != http.MethodGet || v.kind() != navigation {
		h.problem(v, http.StatusBadRequest, "This address is a step of signing in and opens in a browser only.")
		return
	}
	if wait := h.cfg.Handoffs.Wait(h.addressKey(v), time.Now()); wait > 0 {
		h.tooMany(v, wait)
		return
	}
	grant, clearNonce, path, err := h.cfg.Identity.CompleteHandoff(v.r, v.host)
	if err != nil {
		if errors.Is(err, identity.ErrOvertaken) {
			h.beginAgain(v, path)
			return
		}
		h.cfg.Handoffs.Take(h.addressKey(v), time.Now())
		if _, e := h.cfg.Identity.CheckGrant(v.r, v.host); e == nil {
			redirect(&v.w, "/") // another tab was quicker
			return
		}
		if errors.Is(err, identity.ErrHandoff) && isFrame(v.r) && !h.cfg.Hosts.SameSite() {
			h.page(v, http.StatusBadRequest, pageData{
				Title: "Open it in a tab of its own", Message: "This browser keeps no cookies for the workspace inside the console's page, or this step of signing in was used already.",
				Action: "Open " + thisHost(v.host), Href: h.cfg.Hosts.Origin(v.host) + "/", NewTab: true,
			})
			return
		}
		if errors.Is(err, identity.ErrHandoff) {
			h.page(v, http.StatusBadRequest, pageData{
				Title: "That link is used up", Message: "This step of signing in was used already, is too old, or began in another browser.",
				Action: "Open " + thisHost(v.host), Href: "/",
			})
			return
		}
		h.fault(v, err)
		return
	}
	http.SetCookie(&v.w, grant)
	http.SetCookie(&v.w, clearNonce)
	redirect(&v.w, path)
}

// beginAgain sends a browser back to where it came from, once the narrowing of a share that came between
// concerns no new grant: the owner is still welcome. Who is not any more is told so by the console.
func (h *Handler) beginAgain(v *visit, path string) {
	pause := time.NewTimer(identity.OvertakenPause)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-v.r.Context().Done():
	}
	redirect(&v.w, path)
}

// redirect answers 303 with an address that is remembered and passed on nowhere.
func redirect(w http.ResponseWriter, target string) {
	header := w.Header()
	header.Set("Location", target)
	setOwnHeaders(header)
	w.WriteHeader(http.StatusSeeOther)
}

// StatusOf maps the faults that a wake can have to HTTP.
func StatusOf(err error) int {
	switch {
	case errors.Is(err, workspace.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, workspace.ErrStorageFull):
		return http.StatusInsufficientStorage
	case errors.Is(err, workspace.ErrRunningLimit):
		return http.StatusConflict
	default:
		return http.StatusServiceUnavailable
	}
}
