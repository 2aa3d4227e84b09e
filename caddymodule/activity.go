package caddymodule

import (
	"context"
	"net/http"

	"github.com/kalpana-dev/kalpana/bridge"
	"github.com/kalpana-dev/kalpana/orchestrator"
)

// readActivity returns what asks a container's bridge what was done in it.
func readActivity(transport http.RoundTripper) func(context.Context, *orchestrator.Route) (orchestrator.Activity, error) {
	client := &http.Client{Transport: transport}
	return func(ctx context.Context, r *orchestrator.Route) (orchestrator.Activity, error) {
		said, err := bridge.ReadActivity(ctx, client, "http://"+r.Bridge, r.Token)
		if err != nil {
			return orchestrator.Activity{}, err
		}
		a := orchestrator.Activity{KeepAlive: said.KeptAwake(), CPU: said.CPU}
		for _, last := range said.Last {
			a.Last = append(a.Last, orchestrator.ActivityAt{Name: last.Name, Ago: last.Since()})
		}
		return a, nil
	}
}
