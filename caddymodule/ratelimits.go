package caddymodule

import (
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/ratelimit"
)

// RateLimits bound how often people and programs may ask. Whoever asks more gets 429 with
// Retry-After. An address is one of IPv4, or a /64 network of IPv6, as Caddy's trusted_proxies tell
// it. A request on a workspace that the browser has a grant for is never limited.
type RateLimits struct {
	// No limits at all.
	Off bool `json:"off,omitempty"`
	// Attempts to sign in, by address. Default: 10 a minute.
	SignIn *RateLimit `json:"sign_in,omitempty"`
	// Attempts to sign in that fail, of all addresses together. Beyond it nobody can sign in until
	// they become fewer. Default: 300 a minute.
	FailedSignIns *RateLimit `json:"failed_sign_ins,omitempty"`
	// Openings of workspace hosts that a browser has no grant for: by address on the workspace host,
	// then by session on the console. Default: 60 a minute each.
	HandOff *RateLimit `json:"hand_off,omitempty"`
	// Requests of the console's API: by person or API token, and by address where nobody is signed
	// in. Default: 600 a minute, 100 at once.
	API *RateLimit `json:"api,omitempty"`
}

// RateLimit allows so many events in a period.
type RateLimit struct {
	Events int            `json:"events,omitempty"` // -1 is any number
	Per    caddy.Duration `json:"per,omitempty"`
	Burst  int            `json:"burst,omitempty"` // at once; the number of events if left out
}

// UnmarshalCaddyfile sets up the limits; see [App.UnmarshalCaddyfile].
func (l *RateLimits) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if args := d.RemainingArgs(); len(args) > 0 {
		if len(args) > 1 || (args[0] != "on" && args[0] != "off") {
			return d.Errf("rate_limits %s: write on, off, or a block", strings.Join(args, " "))
		}
		l.Off = args[0] == "off"
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		into, ok := map[string]**RateLimit{
			"sign_in": &l.SignIn, "failed_sign_ins": &l.FailedSignIns, "hand_off": &l.HandOff, "api": &l.API,
		}[d.Val()]
		if !ok {
			return d.Errf("unrecognized option of rate_limits: %s", d.Val())
		}
		*into = new(RateLimit)
		if err := (*into).unmarshalCaddyfile(d); err != nil {
			return err
		}
	}
	return nil
}

func (l *RateLimit) unmarshalCaddyfile(d *caddyfile.Dispenser) error {
	name, args := d.Val(), d.RemainingArgs()
	if len(args) == 1 && args[0] == "off" {
		l.Events = -1
		return nil
	}
	if len(args) == 0 || len(args) > 2 {
		return d.ArgErr()
	}
	number, duration, ok := strings.Cut(args[0], "/")
	events, err1 := strconv.Atoi(number)
	per, err2 := caddy.ParseDuration(duration)
	burst, err3 := 0, error(nil)
	if len(args) == 2 {
		if burst, err3 = strconv.Atoi(args[1]); burst < 1 {
			ok = false
		}
	}
	if !ok || err1 != nil || err2 != nil || err3 != nil || events < 1 || per <= 0 {
		return d.Errf("%s %s: write a rate like 10/1m, a rate and how many at once like 600/1m 100, or off", name, strings.Join(args, " "))
	}
	*l = RateLimit{Events: events, Per: caddy.Duration(per), Burst: burst}
	return nil
}

// limiters are those of one installation.
type limiters struct{ signIn, failedSignIns, openings, handOff, api *ratelimit.Limiter }

// limiters returns what the configuration says; nil means the defaults.
func (l *RateLimits) limiters() limiters {
	if l == nil {
		l = new(RateLimits)
	}
	if l.Off {
		return limiters{}
	}
	return limiters{
		signIn: l.SignIn.limiter(10, 10), failedSignIns: l.FailedSignIns.limiter(300, 300),
		openings: l.HandOff.limiter(60, 60), handOff: l.HandOff.limiter(60, 60), api: l.API.limiter(600, 100),
	}
}

// limiter returns l's, or one with so many events a minute and at once.
func (l *RateLimit) limiter(events, burst int) *ratelimit.Limiter {
	switch {
	case l == nil || l.Events == 0:
		return ratelimit.New(events, time.Minute, burst)
	case l.Events < 0:
		return nil
	}
	per, burst := time.Duration(l.Per), l.Burst
	if per <= 0 {
		per = time.Minute
	}
	if burst <= 0 {
		burst = l.Events
	}
	return ratelimit.New(l.Events, per, burst)
}

var _ caddyfile.Unmarshaler = (*RateLimits)(nil)
