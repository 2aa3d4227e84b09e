package caddymodule

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddytls"
	"github.com/spf13/cobra"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// checkTime is how long one check may take.
const checkTime = 5 * time.Second

// checkStatus is what came of a check.
type checkStatus string

const (
	checkOK      checkStatus = "ok"
	checkWarning checkStatus = "warning" // Kalpana runs, but not as it should
	checkFailed  checkStatus = "failed"  // Kalpana does not run, or starts no workspace
)

// checkResult is a line of the doctor's report.
type checkResult struct {
	Name   string      `json:"name"`
	Status checkStatus `json:"status"`
	Found  string      `json:"found"`
	Do     string      `json:"do,omitempty"` // what to do about it
}

func fine(found string, args ...any) checkResult {
	return checkResult{Status: checkOK, Found: fmt.Sprintf(found, args...)}
}

func warning(do, found string, args ...any) checkResult {
	return checkResult{Status: checkWarning, Found: fmt.Sprintf(found, args...), Do: do}
}

func failed(do, found string, args ...any) checkResult {
	return checkResult{Status: checkFailed, Found: fmt.Sprintf(found, args...), Do: do}
}

// report is what the doctor says.
type report struct {
	OK     bool          `json:"ok"` // nothing failed
	Checks []checkResult `json:"checks"`
}

// patient is an installation that is looked at. Nothing of it is changed.
type patient struct {
	app     *App
	store   Store
	runtime orchestrator.Runtime // nil where its options are wrong
	wrong   error
	hosts   *workspace.Hosts
	admin   string         // address of the admin endpoint, "" where it is off
	http    *caddyhttp.App // the sites, as configured
	tls     *caddytls.TLS
	limit   time.Duration

	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	engine func() (orchestrator.Engine, error)
	kept   func() (StoreInfo, error)
}

// check is one thing that is looked at.
type check struct {
	name string
	look func(context.Context, *patient) checkResult
}

var checks = []check{
	{"engine", checkEngine},
	{"runtime", checkRuntime},
	{"cgroups", checkCgroups},
	{"storage", checkStorage},
	{"image", checkImage},
	{"firewall", checkFirewall},
	{"ports", checkPorts},
	{"store", checkStore},
	{"disk", checkDisk},
	{"memory", checkMemory},
	{"sites", checkSites},
	{"listeners", checkListeners},
	{"certificates", checkCertificates},
	{"dns", checkDNS},
	{"keys", checkKeys},
	{"clock", checkClock},
	{"files", checkFiles},
	{"agent", checkAgent},
	{"gateway", checkGateway},
}

// examine adapts a configuration as "run" does and looks at what it needs.
func examine(ctx context.Context, configFile, adapter string) report {
	p, err := admit(ctx, configFile, adapter)
	if err != nil {
		return newReport([]checkResult{{Name: "configuration", Status: checkFailed, Found: err.Error(), Do: "Correct it, then look with: kalpana validate --config <file>"}})
	}
	return p.examine(ctx, checks)
}

func newReport(results []checkResult) report {
	r := report{OK: true, Checks: results}
	for _, c := range results {
		r.OK = r.OK && c.Status != checkFailed
	}
	return r
}

// examine looks at everything at once. A check that hangs is left behind.
func (p *patient) examine(ctx context.Context, checks []check) report {
	results := make([]checkResult, len(checks)+1)
	results[0] = fine("%s, workspaces at *.%s", p.hosts.Console(), p.hosts.WorkspaceDomain())
	results[0].Name = "configuration"
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			results[i+1] = within(ctx, p.limit, func(ctx context.Context) checkResult { return c.look(ctx, p) })
			results[i+1].Name = c.name
		})
	}
	all.Wait()
	return newReport(results)
}

func within(ctx context.Context, limit time.Duration, look func(context.Context) checkResult) checkResult {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan checkResult, 1)
	go func() { done <- look(ctx) }()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
	}
	select { // it may have seen the end itself, and says more
	case r := <-done:
		return r
	case <-time.After(limit / 10):
		return failed("Look at what it asks; something does not answer.", "this check took longer than %v", limit)
	}
}

// admit reads the configuration. It provisions Kalpana's guest modules alone: those of others may open
// files.
func admit(ctx context.Context, configFile, adapter string) (*patient, error) {
	text, _, _, err := caddycmd.LoadConfig(configFile, adapter)
	if err != nil {
		return nil, err
	}
	if len(text) == 0 {
		return nil, errors.New("there is no configuration: name one with --config, or run this beside a Caddyfile")
	}
	var config struct {
		Admin *struct {
			Disabled bool   `json:"disabled"`
			Listen   string `json:"listen"`
		} `json:"admin"`
		Apps struct {
			Kalpana json.RawMessage `json:"kalpana"`
			HTTP    *caddyhttp.App  `json:"http"`
			TLS     *caddytls.TLS   `json:"tls"`
		} `json:"apps"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	if config.Apps.Kalpana == nil {
		return nil, errors.New("this configuration does not run Kalpana: it lacks the global option kalpana")
	}
	p := &patient{app: new(App), http: cmp.Or(config.Apps.HTTP, new(caddyhttp.App)), tls: cmp.Or(config.Apps.TLS, new(caddytls.TLS)), admin: caddy.DefaultAdminListen, lookup: lookup, limit: checkTime}
	if a := config.Admin; a != nil {
		p.admin = caddy.NewReplacer().ReplaceAll(cmp.Or(a.Listen, caddy.DefaultAdminListen), "")
		p.admin, _, _ = strings.Cut(p.admin, "|") // the socket's mode
		if a.Disabled {
			p.admin = ""
		}
	}
	if err := caddy.StrictUnmarshalJSON(config.Apps.Kalpana, p.app); err != nil {
		return nil, fmt.Errorf("kalpana: %w", err)
	}
	if err := p.app.setDefaults(); err != nil {
		return nil, err
	}
	if p.hosts, err = workspace.NewHosts(p.app.Console, p.app.Workspaces); err != nil {
		return nil, fmt.Errorf("kalpana: %w", err)
	}
	if p.app.agent, err = p.app.Agent.resolve(); err != nil {
		return nil, fmt.Errorf("kalpana: agent: %w", err)
	}
	caddyContext, cancel := caddy.NewContext(caddy.Context{Context: ctx})
	defer cancel()
	parts, err := p.app.loadGuests(caddyContext)
	if err != nil {
		return nil, err
	}
	p.store = parts.store
	p.runtime, p.wrong = parts.runtime.Open(RuntimeOptions{Instance: "doctor", Image: p.app.Image, Log: slog.New(slog.DiscardHandler)})
	p.engine = sync.OnceValues(func() (orchestrator.Engine, error) {
		if p.wrong != nil {
			return orchestrator.Engine{}, p.wrong
		}
		inspector, ok := p.runtime.(orchestrator.Inspector)
		if !ok {
			return orchestrator.Engine{}, errors.ErrUnsupported
		}
		ctx, cancel := context.WithTimeout(ctx, p.limit)
		defer cancel()
		return inspector.Inspect(ctx)
	})
	p.kept = sync.OnceValues(func() (StoreInfo, error) {
		inspector, ok := p.store.(StoreInspector)
		if !ok {
			return StoreInfo{}, errors.ErrUnsupported
		}
		ctx, cancel := context.WithTimeout(ctx, p.limit)
		defer cancel()
		return inspector.Inspect(ctx, p.app.DataDir)
	})
	return p, nil
}

func lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

var doctorCommand = caddycmd.Command{
	Name: "doctor", Usage: "[--config <file>] [--adapter <name>] [--json]",
	Short: "Looks for what keeps Kalpana from running as it should",
	Long: `
Reads the same configuration as "run" and looks at what it needs: the container engine, the workspace
image, the firewall, ports, the store, disks, memory, the sites and who else listens there, certificates, DNS, keys, the clock, the limit of open files, the
agent's provider of models, and the running gateway. It starts nothing and writes nothing, and takes ten seconds at most. Run it as the user,
and with the environment, that the gateway has.

Each line is ok, a warning, or failed, with what to do. It exits with 1 where something failed.`,
	CobraFunc: func(cmd *cobra.Command) {
		config := cmd.Flags().StringP("config", "c", "", "Configuration file")
		adapter := cmd.Flags().StringP("adapter", "a", "", "Name of the configuration's adapter")
		asJSON := jsonFlag(cmd)
		cmd.Args = cobra.NoArgs
		cmd.RunE = func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if ctx == nil {
				ctx = context.Background()
			}
			r := examine(ctx, *config, *adapter)
			if *asJSON {
				if err := printJSON(cmd.OutOrStdout(), r); err != nil {
					return err
				}
			} else {
				r.print(cmd.OutOrStdout())
			}
			if n := r.count(checkFailed); n > 0 {
				cmd.SilenceUsage = true
				return fmt.Errorf("failed checks: %d", n)
			}
			return nil
		}
	},
}

func (r report) count(status checkStatus) (n int) {
	for _, c := range r.Checks {
		if c.Status == status {
			n++
		}
	}
	return n
}

// print writes a line for each check, and one for what to do.
func (r report) print(out io.Writer) {
	const indent = "                        "
	for _, c := range r.Checks {
		fmt.Fprintf(out, "%-8s %-14s %s\n", c.Status, c.Name, strings.ReplaceAll(c.Found, "\n", "\n"+indent))
		if c.Do != "" {
			fmt.Fprintf(out, "%s→ %s\n", indent, strings.ReplaceAll(c.Do, "\n", "\n"+indent+"  "))
		}
	}
}

// modeOf returns the permissions of a file, and false where there is none.
func modeOf(path string) (os.FileMode, bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	return info.Mode().Perm(), true, nil
}

// nearest returns the nearest directory of a path that exists.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}
