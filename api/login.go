package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/kalpana-dev/kalpana/identity"
)

// Method is one way to sign in.
type Method struct {
	Name  string `json:"name" doc:"Names it in addresses."`
	Title string `json:"title"`
	Kind  string `json:"kind" enum:"link,github,oidc"`
}

// Methods is a list of ways to sign in.
type Methods struct {
	Methods []Method `json:"methods" nullable:"false"`
}

// LoginStart is how a sign-in at a provider begins.
type LoginStart struct {
	Next       string `json:"next,omitempty" maxLength:"2048" doc:"Path of the console to go on to."`
	Invitation string `json:"invitation,omitempty" maxLength:"128" doc:"What follows # in the invitation's address."`
	Connect    bool   `json:"connect,omitempty" doc:"Connect the account to who is signed in, instead of signing in."`
}

// LoginAddress is where a sign-in goes on.
type LoginAddress struct {
	URL string `json:"url" doc:"Of the provider; open it in this browser."`
}

type loginInput struct {
	Provider string `path:"provider" maxLength:"64"`
	Body     LoginStart
}

type loginOutput struct {
	SetCookie []string `header:"Set-Cookie"`
	Body      LoginAddress
}

type requestKey struct{}

// withRequest passes the request on to operations that look at its cookies.
func withRequest(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	next(huma.WithValue(ctx, requestKey{}, r))
}

func requestOf(ctx context.Context) *http.Request { return ctx.Value(requestKey{}).(*http.Request) }

func (h *Handler) loginRoutes() {
	const tag = "session"
	if !h.cfg.Links {
		h.mux.HandleFunc("POST /api/login/link", noLinks)
	}
	op := public(h.operation("GET", "/api/login", "listLogins", "List the ways to sign in", 200, tag))
	huma.Register(h.huma, op, func(context.Context, *struct{}) (*struct{ Body Methods }, error) {
		return &struct{ Body Methods }{Methods{h.methods()}}, nil
	})
	op = public(h.operation("POST", "/api/login/{provider}", "beginLogin", "Begin to sign in at a provider", 200, tag))
	op.Middlewares = huma.Middlewares{withRequest}
	huma.Register(h.huma, op, func(ctx context.Context, in *loginInput) (*loginOutput, error) {
		r := requestOf(ctx)
		start := identity.LoginStart{Provider: in.Provider, Next: in.Body.Next, Invitation: in.Body.Invitation}
		if in.Body.Connect {
			caller, err := h.cfg.Identity.Authenticate(r)
			if err != nil {
				return nil, h.problem(err)
			}
			start.Connect = &caller
		}
		address, cookies, err := h.cfg.Identity.BeginLogin(r, start)
		if err != nil {
			return nil, h.problem(err)
		}
		out := &loginOutput{Body: LoginAddress{URL: address}}
		for _, c := range cookies {
			out.SetCookie = append(out.SetCookie, c.String())
		}
		return out, nil
	})
}

// noLinks answers where a link's secret is sent though links are off: link is no provider's name.
func noLinks(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, http.StatusNotFound, "Sign-in by link is off here. Sign in another way.")
}

func (h *Handler) methods() []Method {
	list := []Method{}
	for _, p := range h.cfg.Identity.Providers() {
		list = append(list, Method{Name: p.Name(), Title: p.Title(), Kind: p.Kind()})
	}
	if h.cfg.Links {
		list = append(list, Method{Name: "link", Title: "Sign-in link", Kind: "link"})
	}
	return list
}

// LoginCallback returns the provider in the path that providers send browsers back to:
// /login/{provider}/callback.
func LoginCallback(path string) (provider string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/login/")
	if !ok {
		return "", false
	}
	provider, ok = strings.CutSuffix(rest, "/callback")
	return provider, ok && provider != "" && !strings.Contains(provider, "/")
}

// CompleteLogin serves the path of a [LoginCallback]. It comes from another site, and has an effect
// only for the browser that began the sign-in; it answers with 303 in any case.
func (h *Handler) CompleteLogin(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	dest := r.Header.Get("Sec-Fetch-Dest")
	provider, _ := LoginCallback(r.URL.Path)
	if r.Method != http.MethodGet || (dest != "" && dest != "document") {
		writeProblem(w, http.StatusForbidden, "This address is a step of signing in and opens in a browser only.")
		return
	}
	// Who is stopped here may reload: the provider's code is still good.
	h.attempt(w, r, tooManyPage, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.completeLogin(w, r, provider) }))
}

func (h *Handler) completeLogin(w http.ResponseWriter, r *http.Request, provider string) {
	login, err := h.cfg.Identity.CompleteLogin(r, provider)
	for _, c := range login.Cookies {
		http.SetCookie(w, c)
	}
	if err == nil {
		seeOther(w, login.Next)
		return
	}
	code := loginError(err)
	if code == "provider" || code == "unavailable" || code == "failed" { // what the operator can mend; the rest is in the audit log
		h.cfg.Log.Error("a sign-in failed", "provider", provider, "error", err)
	}
	if login.Connecting {
		seeOther(w, withQuery(login.Next, "error", code))
		return
	}
	query := url.Values{"error": {code}}
	if login.Next != "/" {
		query.Set("next", login.Next)
	}
	seeOther(w, "/login?"+query.Encode())
}

// withQuery adds a parameter to a path that may have a query.
func withQuery(path, name, value string) string {
	path, _, _ = strings.Cut(path, "#")
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return path + separator + url.Values{name: {value}}.Encode()
}

// loginErrors are the codes by which the console's pages tell why a sign-in failed.
var loginErrors = []struct {
	err  error
	code string
}{
	{identity.ErrUnknownProvider, "unknown"},
	{identity.ErrAttempt, "expired"},
	{identity.ErrDenied, "denied"},
	{identity.ErrProviderDown, "unavailable"},
	{identity.ErrProvider, "provider"},
	{identity.ErrUnverifiedEmail, "unverified-email"},
	{identity.ErrNotAllowed, "not-allowed"},
	{identity.ErrDisabled, "disabled"},
	{identity.ErrInvitation, "invitation"},
	{identity.ErrTaken, "taken"},
}

func loginError(err error) string {
	for _, e := range loginErrors {
		if errors.Is(err, e.err) {
			return e.code
		}
	}
	return "failed"
}
