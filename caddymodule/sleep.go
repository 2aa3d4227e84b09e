package caddymodule

import (
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// Sleep is when idle workspaces sleep. Zero means the default, -1 turns a part off.
type Sleep struct {
	// Without activity for so long a running workspace is paused: it is frozen and keeps its memory, and
	// goes on within milliseconds. Default: 10m.
	PauseAfter caddy.Duration `json:"pause_after,omitempty"`
	// After so long a paused workspace is stopped; where pause_after is off, a running one without
	// activity for so long. Default: 1h.
	StopAfter caddy.Duration `json:"stop_after,omitempty"`
	// How long what a container claims (keystrokes, terminals, kalpana keep-alive) keeps it awake after
	// somebody came to it last, and the longest time that people may ask to keep it awake for. Default:
	// 24h.
	MaxAwake caddy.Duration `json:"max_awake,omitempty"`
	// Share of its CPU limit from which on a workspace's use of the CPU is activity, above 0 and up to 1.
	// Default: off. A program that spins keeps its workspace awake then, up to max_awake.
	CPU float64 `json:"cpu,omitempty"`
}

// The defaults of [Sleep].
var defaultSleep = orchestrator.Sleep{PauseAfter: 10 * time.Minute, StopAfter: time.Hour, MaxAwake: 24 * time.Hour}

// UnmarshalCaddyfile sets up when workspaces sleep:
//
//	sleep {
//		pause_after <duration>|off
//		stop_after  <duration>|off
//		max_awake   <duration>|unlimited
//		cpu         <percentage>|off
//	}
func (s *Sleep) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch name := d.Val(); name {
		case "pause_after":
			err = offArg(d, &s.PauseAfter, parseDuration)
		case "stop_after":
			err = offArg(d, &s.StopAfter, parseDuration)
		case "max_awake":
			err = numberArg(d, &s.MaxAwake, parseDuration)
		case "cpu":
			err = offArg(d, &s.CPU, func(text string) (float64, error) {
				percent, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
				if !strings.HasSuffix(text, "%") || !(percent > 0 && percent <= 100) { // nor NaN
					return 0, strconv.ErrSyntax
				}
				return percent / 100, err
			})
			if err != nil {
				err = d.Err("cpu: write a percentage of the CPU limit, like 20%, or off")
			}
		default:
			return d.Errf("unrecognized option of sleep: %s", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// offArg is [numberArg] with "off" in the place of "unlimited".
func offArg[T int | int64 | float64 | caddy.Duration](d *caddyfile.Dispenser, into *T, parse func(string) (T, error)) error {
	name := d.Val()
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if text == "off" {
		*into = -1
		return nil
	}
	v, err := parse(text)
	if err != nil || v <= 0 {
		return d.Errf("%s %s: give a positive value, or off", name, text)
	}
	*into = v
	return nil
}

// resolve returns s with otherwise in the place of what it does not say.
func (s *Sleep) resolve(otherwise orchestrator.Sleep) orchestrator.Sleep {
	if s == nil {
		return otherwise
	}
	pick := func(v caddy.Duration, into *time.Duration) {
		if v != 0 {
			*into = max(time.Duration(v), 0)
		}
	}
	pick(s.PauseAfter, &otherwise.PauseAfter)
	pick(s.StopAfter, &otherwise.StopAfter)
	pick(s.MaxAwake, &otherwise.MaxAwake)
	if s.CPU != 0 {
		otherwise.CPU = max(s.CPU, 0)
	}
	return otherwise
}
