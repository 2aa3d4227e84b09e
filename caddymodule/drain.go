package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/kalpana-dev/kalpana/orchestrator"
)

// drains keep whether an installation drains, by data directory, until the process ends: a reload, even
// of another configuration, starts nothing in a gateway that is about to be stopped.
var drains sync.Map

func drainOf(dataDir string) *orchestrator.Drain {
	v, _ := drains.LoadOrStore(dataDir, new(orchestrator.Drain))
	return v.(*orchestrator.Drain)
}

// drainAnswer is what the endpoint answers.
type drainAnswer struct {
	Draining   bool `json:"draining"`   // no workspace is started
	Drained    bool `json:"drained"`    // … and nothing is under way: the gateway can be stopped
	Operations int  `json:"operations"` // starts, stops and repairs under way
	Held       int  `json:"held"`       // requests that wait for a start
	Streams    int  `json:"streams"`    // WebSockets and event streams; they end with the gateway and come back to the next
}

func (i *instance) drainState() drainAnswer {
	a := drainAnswer{
		Draining: i.orchestrator.Draining(), Operations: i.orchestrator.Operations(),
		Held: i.gatewayMetrics.Held(), Streams: i.gatewayMetrics.Streams(),
	}
	a.Drained = a.Draining && a.Operations == 0 && a.Held == 0
	return a
}

func (m *Admin) showDrain(app *App, w http.ResponseWriter, _ *http.Request) error {
	return answerJSON(w, app.instance.drainState())
}

func (m *Admin) undoDrain(app *App, w http.ResponseWriter, r *http.Request) error {
	app.audit(r, "", "the drain was undone")
	app.instance.orchestrator.SetDraining(false)
	return answerJSON(w, app.instance.drainState())
}

// The time that a drain may wait for what is under way.
const (
	drainTime    = 5 * time.Minute
	maxDrainTime = time.Hour
	drainLook    = 50 * time.Millisecond // between two looks at what is held
)

func (m *Admin) drain(app *App, w http.ResponseWriter, r *http.Request) error {
	limit := drainTime
	if text := r.FormValue("timeout"); text != "" {
		var err error
		if limit, err = time.ParseDuration(text); err != nil || limit < 0 || limit > maxDrainTime {
			return badRequest("timeout %q: give a duration of at most %v, such as 5m", text, maxDrainTime)
		}
	}
	i := app.instance
	app.audit(r, "", "drain")
	i.orchestrator.SetDraining(true)
	i.logger.Info("draining: no workspace is started any more")
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	i.awaitDrained(ctx)
	return answerJSON(w, i.drainState())
}

// awaitDrained waits until nothing is under way, for ctx, or for the end of the drain.
func (i *instance) awaitDrained(ctx context.Context) {
	tick := time.NewTicker(drainLook)
	defer tick.Stop()
	for {
		if s := i.drainState(); s.Drained || !s.Draining || i.orchestrator.AwaitOperations(ctx) != nil {
			return
		}
		select { // who waited is about to be served
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

var drainCommand = caddycmd.Command{
	Name: "drain", Usage: "[--timeout <duration>] [--undo] [--json] [--address <socket>]",
	Short: "Lets the running gateway start nothing more, so that it can be stopped",
	Long: `
From now on the running gateway wakes no workspace; people who open one that sleeps are told to come
back in a few minutes. Workspaces that run are served as before. The command waits until the starts
that are under way have ended and every request that waited for one is answered: then the gateway
can be stopped, and nothing is lost. Containers run on without it.

It stays so until the gateway is restarted, over reloads too, or until: kalpana drain --undo`,
	CobraFunc: func(cmd *cobra.Command) {
		address := addressFlag(cmd)
		limit := cmd.Flags().Duration("timeout", drainTime, "How long to wait for what is under way")
		undo := cmd.Flags().Bool("undo", false, "Let workspaces be started again")
		asJSON := jsonFlag(cmd)
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			method, path := http.MethodPost, "/kalpana/drain?timeout="+url.QueryEscape(limit.String())
			if *undo {
				method, path = http.MethodDelete, "/kalpana/drain"
			}
			var answer drainAnswer
			if err := askGateway(*address, method, path, &answer); err != nil {
				return err
			}
			if *asJSON {
				if err := printJSON(cmd.OutOrStdout(), answer); err != nil {
					return err
				}
			} else {
				answer.print(cmd.OutOrStdout())
			}
			if answer.Draining && !answer.Drained {
				return errors.New("something is still under way; run this again to wait on, or see: kalpana workspaces list --state starting")
			}
			return nil
		}
	},
}

func (a drainAnswer) print(out io.Writer) {
	switch {
	case !a.Draining:
		fmt.Fprintln(out, "The gateway starts workspaces.")
	case a.Drained:
		fmt.Fprintf(out, "Drained: the gateway can be stopped. Open streams: %d; browsers connect again by themselves.\n", a.Streams)
	default:
		fmt.Fprintf(out, "Draining. Under way: %d. Requests that wait: %d.\n", a.Operations, a.Held)
	}
}
