package caddymodule

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/orchestrator/docker"
)

// Runtime is a guest module of the namespace kalpana.runtime.
type Runtime interface {
	Open(RuntimeOptions) (orchestrator.Runtime, error)
}

// RuntimeOptions are what the app tells its runtime.
type RuntimeOptions struct {
	Instance string // labels the containers of this installation
	Image    string // the workspace image
	Log      *slog.Logger
}

// Docker runs workspaces on a Docker Engine (API 1.41 or newer).
type Docker struct {
	// The engine's address. Default: $DOCKER_HOST, or the local socket.
	Host string `json:"host,omitempty"`
	// The ranges that the workspaces' networks are cut from. Default: 10.213.0.0/16.
	Subnets []string `json:"subnets,omitempty"`
	// Lets containers reach private address ranges beyond this machine. Link-local addresses,
	// where clouds keep their metadata, stay closed. Default: false.
	AllowPrivate bool `json:"allow_private,omitempty"`
	// The control group that containers are put in, e.g. workspaces.slice with systemd, so that it can bound
	// all of them together. Default: the engine's.
	CgroupParent string `json:"cgroup_parent,omitempty"`
	// Starts workspaces without fencing them off from this host and its networks. Dangerous: code
	// in a workspace then reaches every service here. Default: false.
	AllowHostAccess bool `json:"allow_host_access,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Docker) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "kalpana.runtime.docker", New: func() caddy.Module { return new(Docker) }}
}

// Open implements Runtime.
func (m *Docker) Open(o RuntimeOptions) (orchestrator.Runtime, error) {
	repl := caddy.NewReplacer()
	var subnets []netip.Prefix
	for _, s := range m.Subnets {
		p, err := netip.ParsePrefix(repl.ReplaceAll(s, ""))
		if err != nil {
			return nil, fmt.Errorf("subnets: %w; write ranges like 10.213.0.0/16", err)
		}
		subnets = append(subnets, p)
	}
	runtime, err := docker.New(docker.Config{
		Host: repl.ReplaceAll(m.Host, ""), Instance: o.Instance, Subnets: subnets,
		CgroupParent: repl.ReplaceAll(m.CgroupParent, ""),
		AllowPrivate: m.AllowPrivate, AllowHostAccess: m.AllowHostAccess, ProbeImage: o.Image,
	}, o.Log)
	if err != nil {
		return nil, err // not a nil *docker.Runtime, which is no nil interface
	}
	return runtime, nil
}

// UnmarshalCaddyfile sets up the runtime:
//
//	runtime docker {
//		host              <address>
//		subnets           <CIDR>...
//		cgroup_parent     <name>
//		allow_private     true|false
//		allow_host_access true|false
//	}
func (m *Docker) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	flag := func(into *bool) error {
		var text string
		if err := oneArg(d, &text); err != nil {
			return err
		}
		v, err := strconv.ParseBool(text)
		if err != nil {
			return d.Errf("%s: write true or false", text)
		}
		*into = v
		return nil
	}
	return block(d, func(name string) (bool, error) {
		switch name {
		case "host":
			return true, oneArg(d, &m.Host)
		case "subnets":
			if m.Subnets = d.RemainingArgs(); len(m.Subnets) == 0 {
				return true, d.ArgErr()
			}
			return true, nil
		case "cgroup_parent":
			return true, oneArg(d, &m.CgroupParent)
		case "allow_private":
			return true, flag(&m.AllowPrivate)
		case "allow_host_access":
			return true, flag(&m.AllowHostAccess)
		}
		return false, nil
	})
}

var (
	_ Runtime               = (*Docker)(nil)
	_ caddyfile.Unmarshaler = (*Docker)(nil)
)
