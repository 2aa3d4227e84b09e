package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/caddyserver/xcaddy"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// plan is a checked config turned into what xcaddy wants.
type plan struct {
	goCmd   string
	builder xcaddy.Builder
	version string   // of Kalpana, as it is embedded
	from    string   // where Kalpana comes from, for people
	require []string // module@version that xcaddy would leave to chance
	expect  []module.Version
	env     map[string]string
	console string // the checkout whose console is built in, if there is one
}

// newPlan asks go for a version only where Kalpana is wanted at a branch, a commit or latest.
func newPlan(ctx context.Context, cfg *config, goCmd string) (*plan, error) {
	p := &plan{goCmd: goCmd, env: maps.Clone(cfg.Build.Env)}
	if p.env == nil {
		p.env = map[string]string{}
	}
	// The build happens in a directory of its own, which no workspace of the person's could know.
	if p.env["GOWORK"] == "" {
		p.env["GOWORK"] = "off"
	}

	p.expect = append(p.expect, module.Version{Path: caddyModule, Version: cfg.Caddy})
	for _, r := range cfg.replace {
		p.builder.Replacements = append(p.builder.Replacements, xcaddy.NewReplace(r.old, r.new))
	}
	for _, m := range cfg.modules {
		p.addModule(m)
	}
	if err := p.addRequirements(ctx, cfg.modules); err != nil {
		return nil, err
	}

	if err := p.setVersion(ctx, cfg.modules[0]); err != nil {
		return nil, err
	}

	b := cfg.Build
	p.builder.CaddyVersion = cfg.Caddy
	p.builder.Platform = xcaddy.Platform{OS: b.OS, Arch: b.Arch, ARM: b.ARM}
	p.builder.Cgo = b.Cgo
	p.builder.BuildFlags = p.buildFlags(b)
	for name, value := range map[string]string{"GOOS": b.OS, "GOARCH": b.Arch, "GOARM": b.ARM} {
		if value != "" {
			p.env[name] = value // xcaddy reads some of these from the environment only
		}
	}
	return p, nil
}

// addModule tells xcaddy of one plugin. A replacement is always one of the module, never of a package in it.
func (p *plan) addModule(m plugin) {
	dep := xcaddy.Dependency{PackagePath: m.Package, Version: m.Version}
	switch {
	case m.Replace != "":
		with := m.Replace
		if m.dir != "" {
			with = m.dir
		}
		p.builder.Replacements = append(p.builder.Replacements, xcaddy.NewReplace(m.Module, with))
		if m.Version == "" && m.Package == m.Module {
			// Else go would ask the proxy for the latest release of what is replaced anyway.
			dep.Version = anyVersion(m.Module)
		}
		if manglesPath(m) {
			dep.Version = ""
		}
	case manglesPath(m):
		p.builder.Replacements = append(p.builder.Replacements, xcaddy.NewReplace(m.Module, m.Module+"@"+m.Version))
		dep.Version = ""
	}
	if m.Replace == "" && semver.IsValid(m.Version) {
		p.expect = append(p.expect, module.Version{Path: m.Module, Version: m.Version})
	}
	p.builder.Plugins = append(p.builder.Plugins, dep)
}

// manglesPath tells whether xcaddy would append the major version to the path, though that version
// belongs elsewhere: it takes every package for the root of its module.
func manglesPath(m plugin) bool {
	major := semver.Major(m.Version)
	return major != "" && major != "v0" && major != "v1" && !strings.HasSuffix(m.Package, "/"+major)
}

// anyVersion is the version that go itself gives to a module that is replaced and has no other.
func anyVersion(modulePath string) string {
	_, major, _ := module.SplitPathVersion(modulePath)
	return module.ZeroPseudoVersion(module.PathMajorPrefix(major))
}

// addRequirements pins the modules that xcaddy does not: it skips every plugin below a replaced path, and
// leaves it to a last `go get` to find the module for the package. That asks the proxy for the longest
// path first, github.com/kalpana-dev/kalpana/caddymodule, and gives up unless the answer is a clean 404:
// so without a network, and behind a proxy that refuses what it does not know. With the requirement in
// go.mod there is nothing to find.
func (p *plan) addRequirements(ctx context.Context, modules []plugin) error {
	for _, m := range modules {
		skipped := slices.ContainsFunc(p.builder.Replacements, func(r xcaddy.Replace) bool {
			return strings.HasPrefix(m.Package, r.Old.String()+"/")
		})
		if !skipped {
			continue
		}
		version := m.Version
		switch {
		case semver.IsValid(version):
		case m.Replace != "":
			version = anyVersion(m.Module)
		case version == "":
			continue
		default:
			var err error
			if version, err = p.resolve(ctx, m.Module, version); err != nil {
				return err
			}
		}
		p.require = append(p.require, m.Module+"@"+version)
	}
	return nil
}

// setVersion finds the version to embed, and what to call the place it comes from.
func (p *plan) setVersion(ctx context.Context, ours plugin) (err error) {
	p.version = ours.Version
	if ours.dir != "" {
		p.from, p.console = ours.dir, ours.dir
		if p.version == "" {
			p.version = describe(ctx, ours.dir)
		}
		return nil
	}
	path, query := ours.Module, ours.Version
	if ours.Replace != "" {
		path, query, _ = strings.Cut(ours.Replace, "@")
	}
	p.from, p.version = path, query
	if !semver.IsValid(query) {
		p.version, err = p.resolve(ctx, path, query)
	}
	return err
}

// resolve asks go which version a branch, a commit or "latest" means.
func (p *plan) resolve(ctx context.Context, path, query string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, p.goCmd, "list", "-m", "-f", "{{.Version}}", path+"@"+query)
	cmd.Dir = os.TempDir()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Env = os.Environ()
	for name, value := range p.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", fmt.Errorf("finding version %s of %s failed:\n%s", query, path, relevant(strings.Split(stderr.String(), "\n")))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// describe names the state of a checkout as git does, or "devel" where git does not know.
func describe(ctx context.Context, dir string) string {
	out, err := exec.CommandContext(ctx, "git", "-C", dir, "describe", "--tags", "--always", "--dirty").Output()
	if version := strings.TrimSpace(string(out)); err == nil && version != "" {
		return version
	}
	return "devel"
}

func (p *plan) buildFlags(b buildOptions) string {
	// The -X goes last: it must survive whatever is written before it.
	ldflags := strings.TrimSpace(b.Ldflags + " -X " + ourPackage + ".Version=" + p.version)
	flags := []string{"-ldflags", ldflags}
	if b.Trimpath {
		flags = append(flags, "-trimpath")
	}
	if len(b.Tags) > 0 {
		flags = append(flags, "-tags", strings.Join(b.Tags, ","))
	}
	flags = append(flags, b.Flags...)
	for i, f := range flags {
		flags[i] = shellQuote(f)
	}
	return strings.Join(flags, " ")
}

func (p *plan) defaultOutput() string {
	goos := p.builder.OS
	if goos == "" {
		goos = os.Getenv("GOOS")
	}
	if goos == "windows" || goos == "" && runtime.GOOS == "windows" {
		return "kalpana.exe"
	}
	return "kalpana"
}

// command is the xcaddy command line for the same build.
func (p *plan) command(output string) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(p.env)) {
		lines = append(lines, name+"="+shellQuote(p.env[name]))
	}
	if p.builder.Cgo {
		lines = append(lines, "CGO_ENABLED=1")
	}
	lines = append(lines, "XCADDY_GO_BUILD_FLAGS="+shellQuote(p.builder.BuildFlags),
		"xcaddy build "+shellQuote(p.builder.CaddyVersion))
	for _, dep := range p.builder.Plugins {
		lines = append(lines, "  --with "+shellQuote(dep.String()))
	}
	for _, r := range p.builder.Replacements {
		lines = append(lines, "  --replace "+shellQuote(r.Old.String()+"="+r.New.String()))
	}
	lines = append(lines, "  --output "+shellQuote(filepath.ToSlash(output)))
	return strings.Join(lines, " \\\n") + "\n"
}

const plainInShell = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=.,:/@%"

func shellQuote(word string) string {
	if word != "" && strings.Trim(word, plainInShell) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
