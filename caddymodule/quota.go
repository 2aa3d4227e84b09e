package caddymodule

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/dustin/go-humanize"

	"github.com/kalpana-dev/kalpana/api"
	"github.com/kalpana-dev/kalpana/image"
	"github.com/kalpana-dev/kalpana/orchestrator"
	"github.com/kalpana-dev/kalpana/workspace"
)

// Template is what differs for workspaces of one template.
type Template struct {
	// One of the workspace image's templates, or any other name where an image is given.
	Name string `json:"name,omitempty"`
	// The image of its workspaces. Default: the installation's.
	Image string `json:"image,omitempty"`
	// What each of its workspaces may use: memory, cpus, pids and disk. Default: the installation's.
	Limits *Limits `json:"limits,omitempty"`
	// When its idle workspaces sleep. Default, line by line: the installation's.
	Sleep *Sleep `json:"sleep,omitempty"`
}

// Reserve is what the containers' machine keeps for itself. Nothing is started that would take of it.
// Zero means the default, -1 nothing.
type Reserve struct {
	// Bytes. Default: 512 MiB, but no more than a tenth of what there is.
	Memory int64 `json:"memory,omitempty"`
	// Bytes, where the engine keeps its data. Default: 1 GiB, but no more than a twentieth of what there is.
	Disk int64 `json:"disk,omitempty"`
}

// Defaults of what people are bound by.
const (
	defaultRunningLimit = 3
	defaultDisk         = 20 << 30
)

// defaultStartsAtOnce is how many workspaces are brought up at once: each takes a processor.
func defaultStartsAtOnce() int { return max(2, runtime.NumCPU()) }

func (r *Reserve) resolve() orchestrator.Reserve {
	if r == nil {
		r = new(Reserve)
	}
	pick := func(v int64) int64 {
		switch {
		case v == 0:
			return -1 // the orchestrator's default
		case v < 0:
			return 0
		}
		return v
	}
	return orchestrator.Reserve{Memory: pick(r.Memory), Disk: pick(r.Disk)}
}

// orDefault returns v, the default for zero, and zero for less.
func orDefault[T int64 | float64](v, fallback T) T {
	if v == 0 {
		return fallback
	}
	return max(v, 0)
}

// UnmarshalCaddyfile sets up the reserve; see [App.UnmarshalCaddyfile].
func (r *Reserve) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	return options(d, "reserve", func(name string) (bool, error) {
		switch name {
		case "memory":
			return true, offArg(d, &r.Memory, parseSize)
		case "disk":
			return true, offArg(d, &r.Disk, parseSize)
		}
		return false, nil
	})
}

func parseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	return int64(n), err //nolint:gosec // a size beyond 8 EiB is refused by the engine
}

// UnmarshalCaddyfile sets up a template; see [App.UnmarshalCaddyfile].
func (t *Template) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if err := oneArg(d, &t.Name); err != nil {
		return err
	}
	seen := map[string]bool{}
	return options(d, "template", func(name string) (bool, error) {
		if seen[name] {
			return true, d.Errf("%s is given twice", name)
		}
		seen[name] = true
		switch name {
		case "image":
			return true, oneArg(d, &t.Image)
		case "limits":
			t.Limits = new(Limits)
			if err := t.Limits.UnmarshalCaddyfile(d); err != nil {
				return true, err
			}
			if err := t.Limits.ofTemplate(); err != nil {
				return true, d.WrapErr(err)
			}
			return true, nil
		case "sleep":
			t.Sleep = new(Sleep)
			return true, t.Sleep.UnmarshalCaddyfile(d)
		}
		return false, nil
	})
}

// ofTemplate returns an error where limits say what they cannot say of one template.
func (l *Limits) ofTemplate() error {
	if l != nil && (l.OpenFiles != 0 || l.LogSize != 0) {
		return errors.New("open_files and log_size are the same for all templates: set them in the limits of kalpana")
	}
	return nil
}

var templateName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// checkTemplates returns an error where what is configured of templates makes no sense.
func (a *App) checkTemplates() error {
	seen := map[string]bool{}
	for _, t := range a.Templates {
		_, known := image.Lookup(t.Name)
		switch {
		case !templateName.MatchString(t.Name):
			return fmt.Errorf("kalpana: template %q: a name is made of lower-case letters, digits, dashes and underscores, 64 at most", t.Name)
		case seen[t.Name]:
			return fmt.Errorf("kalpana: template %s is given twice", t.Name)
		case !known && t.Image == "":
			return fmt.Errorf("kalpana: there is no template %s in the workspace image; give it an image, or take one of: %s", t.Name, knownTemplates())
		}
		seen[t.Name] = true
		if err := t.Limits.ofTemplate(); err != nil {
			return fmt.Errorf("kalpana: template %s: %w", t.Name, err)
		}
	}
	return nil
}

func knownTemplates() (names string) {
	for i, t := range image.Templates() {
		if i > 0 {
			names += ", "
		}
		names += t.Name
	}
	return names
}

// configured returns what is said of a template, or nothing.
func (a *App) configured(name string) Template {
	if i := slices.IndexFunc(a.Templates, func(t *Template) bool { return t.Name == name }); i >= 0 {
		return *a.Templates[i]
	}
	return Template{Name: name}
}

// orchestratorTemplates returns all templates, those of the workspace image first.
func (a *App) orchestratorTemplates() []orchestrator.Template {
	var list []orchestrator.Template
	for _, t := range a.templates() {
		c := a.configured(t.Name)
		made := orchestrator.Template{Name: c.Name, Image: c.Image}
		if l := c.Limits; l != nil {
			made.Quota = workspace.Quota{CPUs: l.CPUs, Memory: l.Memory, PIDs: l.PIDs, Disk: l.Disk}
		}
		if c.Sleep != nil {
			sleep := c.Sleep.resolve(a.Sleep.resolve(defaultSleep))
			made.Sleep = &sleep
		}
		list = append(list, made)
	}
	return list
}

// templates returns all templates as people see them, those of the workspace image first.
func (a *App) templates() []api.Template {
	list := templates()
	for _, t := range a.Templates {
		if _, known := image.Lookup(t.Name); !known {
			list = append(list, api.Template{Name: t.Name, Title: t.Name, Description: "From the image " + t.Image + ".", Ports: []int{}})
		}
	}
	return list
}

var (
	_ caddyfile.Unmarshaler = (*Template)(nil)
	_ caddyfile.Unmarshaler = (*Reserve)(nil)
)
