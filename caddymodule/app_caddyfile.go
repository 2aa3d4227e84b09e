package caddymodule

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/kalpana-dev/kalpana/workspace"
)

func parseApp(d *caddyfile.Dispenser, existing any) (any, error) {
	if existing != nil {
		d.Next()
		return nil, d.Err("the global option kalpana may appear once")
	}
	app := new(App)
	if err := app.UnmarshalCaddyfile(d); err != nil {
		return nil, err
	}
	return httpcaddyfile.App{Name: "kalpana", Value: caddyconfig.JSON(app, nil)}, nil
}

// UnmarshalCaddyfile sets up the app from the global option:
//
//	kalpana {
//		console         <address>
//		workspaces      <domain>
//		data_dir        <path>
//		image           <reference>
//		workspace_limit <number>|unlimited
//		running_limit   <number>|unlimited
//		starts_at_once  <number>|unlimited
//		share_limit     private|members|public
//		ports           <first>-<last>
//		start_timeout   <duration>
//		audit_keep      <duration>|unlimited
//		limits {
//			memory     <size>|unlimited
//			cpus       <number>|unlimited
//			pids       <number>|unlimited
//			open_files <number>|unlimited
//			log_size   <size>
//			disk       <size>|unlimited
//		}
//		sleep {
//			pause_after <duration>|off
//			stop_after  <duration>|off
//			max_awake   <duration>|unlimited
//			cpu         <percentage>|off
//		}
//		reserve {
//			memory <size>|off
//			disk   <size>|off
//		}
//		template <name> {
//			image <reference>
//			limits {
//				memory <size>|unlimited
//				cpus   <number>|unlimited
//				pids   <number>|unlimited
//				disk   <size>|unlimited
//			}
//			sleep { … } as above
//		}
//		secrets {
//			key_file    <path>
//			key         <placeholder>
//			keyset_file <path>
//			keyset      <placeholder>
//		}
//		rate_limits on|off {
//			sign_in         <number>/<duration> [<burst>]|off
//			failed_sign_ins <number>/<duration> [<burst>]|off
//			hand_off        <number>/<duration> [<burst>]|off
//			api             <number>/<duration> [<burst>]|off
//		}
//		agent on|off { … } see [Agent.UnmarshalCaddyfile]
//		store   <module> { … }
//		runtime <module> { … }
//		login   <module> { … }
//		access {
//			allow user|email|domain|org|team|group <value>...
//			admin user|email|domain|org|team|group <value>...
//		}
//	}
//
// Every line is optional. login and template may appear several times.
func (a *App) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next()
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := map[string]bool{}
	for d.NextBlock(0) {
		name := d.Val()
		if seen[name] && name != "login" && name != "template" {
			return d.Errf("%s is given twice", name)
		}
		seen[name] = true
		var err error
		switch name {
		case "console":
			err = oneArg(d, &a.Console)
		case "workspaces":
			err = oneArg(d, &a.Workspaces)
		case "data_dir":
			err = oneArg(d, &a.DataDir)
		case "image":
			err = oneArg(d, &a.Image)
		case "workspace_limit":
			err = numberArg(d, &a.WorkspaceLimit, func(s string) (int, error) { return strconv.Atoi(s) })
		case "running_limit":
			err = numberArg(d, &a.RunningLimit, func(s string) (int, error) { return strconv.Atoi(s) })
		case "starts_at_once":
			err = numberArg(d, &a.StartsAtOnce, func(s string) (int, error) { return strconv.Atoi(s) })
		case "reserve":
			a.Reserve = new(Reserve)
			err = a.Reserve.UnmarshalCaddyfile(d)
		case "template":
			t := new(Template)
			err = t.UnmarshalCaddyfile(d)
			a.Templates = append(a.Templates, t)
		case "share_limit":
			err = a.parseShareLimit(d)
		case "ports":
			err = a.parsePorts(d)
		case "start_timeout":
			err = numberArg(d, &a.StartTimeout, parseDuration)
		case "audit_keep":
			err = numberArg(d, &a.AuditKeep, parseDuration)
		case "limits":
			a.Limits = new(Limits)
			err = a.Limits.UnmarshalCaddyfile(d)
		case "sleep":
			a.Sleep = new(Sleep)
			err = a.Sleep.UnmarshalCaddyfile(d)
		case "secrets":
			a.Secrets = new(Secrets)
			err = a.Secrets.UnmarshalCaddyfile(d)
		case "rate_limits":
			a.RateLimits = new(RateLimits)
			err = a.RateLimits.UnmarshalCaddyfile(d)
		case "agent":
			a.Agent = new(Agent)
			err = a.Agent.UnmarshalCaddyfile(d)
		case "store":
			a.StoreRaw, err = guest(d, "kalpana.store", "module")
		case "runtime":
			a.RuntimeRaw, err = guest(d, "kalpana.runtime", "module")
		case "login":
			var raw json.RawMessage
			raw, err = guest(d, "kalpana.login", "method")
			a.LoginsRaw = append(a.LoginsRaw, raw)
		case "access":
			if d.NextArg() {
				return d.ArgErr()
			}
			a.Access = new(Access)
			err = a.Access.UnmarshalCaddyfile(d)
		default:
			return d.Errf("unrecognized option of kalpana: %s", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func parseDuration(s string) (caddy.Duration, error) {
	v, err := caddy.ParseDuration(s)
	return caddy.Duration(v), err
}

func (a *App) parseShareLimit(d *caddyfile.Dispenser) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if a.ShareLimit = workspace.ShareLevel(text); !a.ShareLimit.Valid() {
		return d.Errf("share_limit %s: write private, members or public", text)
	}
	return nil
}

func (a *App) parsePorts(d *caddyfile.Dispenser) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	first, last, ok := strings.Cut(text, "-")
	var err1, err2 error
	a.FirstPort, err1 = strconv.Atoi(first)
	a.LastPort, err2 = strconv.Atoi(last)
	if !ok || err1 != nil || err2 != nil {
		return d.Errf("ports %s: write a range like 40000-50000", text)
	}
	return nil
}

// UnmarshalCaddyfile sets up the limits; see [App.UnmarshalCaddyfile].
func (l *Limits) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	count := func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch name := d.Val(); name {
		case "memory":
			err = numberArg(d, &l.Memory, parseSize)
		case "cpus":
			err = numberArg(d, &l.CPUs, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) })
		case "pids":
			err = numberArg(d, &l.PIDs, count)
		case "open_files":
			err = numberArg(d, &l.OpenFiles, count)
		case "log_size":
			err = numberArg(d, &l.LogSize, parseSize)
		case "disk":
			err = numberArg(d, &l.Disk, parseSize)
		default:
			return d.Errf("unrecognized option of limits: %s", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oneArg takes exactly one argument.
func oneArg(d *caddyfile.Dispenser, into *string) error {
	if !d.AllArgs(into) {
		return d.ArgErr()
	}
	return nil
}

// numberArg takes one positive number, or "unlimited" for -1.
func numberArg[T int | int64 | float64 | caddy.Duration](d *caddyfile.Dispenser, into *T, parse func(string) (T, error)) error {
	name := d.Val()
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	if text == "unlimited" {
		*into = -1
		return nil
	}
	v, err := parse(text)
	if err != nil || v <= 0 {
		return d.Errf("%s %s: give a positive value", name, text)
	}
	*into = v
	return nil
}

// guest reads "<module> { … }" in a namespace, as JSON with the module's name inline.
func guest(d *caddyfile.Dispenser, namespace, key string) (json.RawMessage, error) {
	if !d.NextArg() {
		return nil, d.ArgErr()
	}
	name := d.Val()
	unm, err := caddyfile.UnmarshalModule(d, namespace+"."+name)
	if err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(unm, key, name, nil), nil
}

// someArgs takes one argument or more.
func someArgs(d *caddyfile.Dispenser, into *[]string) error {
	if *into = d.RemainingArgs(); len(*into) == 0 {
		return d.ArgErr()
	}
	return nil
}

// namedBlock is block for a module that may be given a name.
func namedBlock(d *caddyfile.Dispenser, name *string, option func(name string) (known bool, err error)) error {
	d.Next()
	what := d.Val()
	if d.NextArg() {
		*name = d.Val()
	}
	return options(d, what, option)
}

// block reads a module without arguments whose block may hold what option knows.
func block(d *caddyfile.Dispenser, option func(name string) (known bool, err error)) error {
	d.Next()
	return options(d, d.Val(), option)
}

// options reads the block of what is called what.
func options(d *caddyfile.Dispenser, what string, option func(name string) (known bool, err error)) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		known, err := option(name)
		if err != nil {
			return err
		}
		if !known {
			return d.Errf("unrecognized option of %s: %s", what, name)
		}
	}
	return nil
}

var _ caddyfile.Unmarshaler = (*App)(nil)
