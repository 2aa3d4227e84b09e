package caddymodule

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

func TestSleep_WhatIsNotSaidIsAsOtherwise(t *testing.T) {
	for name, c := range map[string]struct {
		given *Sleep
		want  orchestrator.Sleep
	}{
		"nothing": {nil, defaultSleep},
		"empty":   {new(Sleep), defaultSleep},
		"off":     {&Sleep{PauseAfter: -1, StopAfter: -1, MaxAwake: -1, CPU: -1}, orchestrator.Sleep{}},
		"some": {
			&Sleep{StopAfter: caddy.Duration(time.Minute), CPU: .5},
			orchestrator.Sleep{PauseAfter: 10 * time.Minute, StopAfter: time.Minute, MaxAwake: 24 * time.Hour, CPU: .5},
		},
	} {
		if got := c.given.resolve(defaultSleep); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
