package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

const (
	ourModule   = "github.com/kalpana-dev/kalpana"
	ourPackage  = ourModule + "/caddymodule"
	caddyModule = "github.com/caddyserver/caddy/v2"
)

// config is what xcaddy.toml says, with paths as written there.
type config struct {
	Caddy        string            `toml:"caddy"`
	Kalpana      source            `toml:"kalpana"`
	Plugins      []plugin          `toml:"plugins"`
	Replacements map[string]string `toml:"replacements"`
	Build        buildOptions      `toml:"build"`

	dir     string      // where xcaddy.toml lies; relative paths start here
	modules []plugin    // Kalpana, then Plugins, each with its module and replacement settled
	replace []moduleFor // Replacements, in the order of their keys
}

// source says where a module comes from: a version, a replacement, both, or neither.
type source struct {
	Version string `toml:"version"`
	Replace string `toml:"replace"`
}

type plugin struct {
	Package string `toml:"package"`
	Module  string `toml:"module"`
	Version string `toml:"version"`
	Replace string `toml:"replace"`

	dir string // of a replacement on disk, absolute
}

// moduleFor is one line of go.mod's replace block.
type moduleFor struct{ old, new string }

type buildOptions struct {
	OS       string            `toml:"os"`
	Arch     string            `toml:"arch"`
	ARM      string            `toml:"arm"`
	Cgo      bool              `toml:"cgo"`
	Ldflags  string            `toml:"ldflags"`
	Tags     []string          `toml:"tags"`
	Trimpath bool              `toml:"trimpath"`
	Flags    []string          `toml:"flags"`
	Env      map[string]string `toml:"env"`
}

// defaultBuild is what xcaddy does when it is given no flags. The tags leave out databases that only
// Caddy's certificate authority could use.
func defaultBuild() buildOptions {
	return buildOptions{
		Ldflags:  "-w -s",
		Tags:     []string{"nobadger", "nomysql", "nopgx"},
		Trimpath: true,
	}
}

// readConfig reads and checks file. The error lists every problem found, one a line, as file:line: what.
func readConfig(file string) (*config, error) {
	document, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s does not exist: run this where xcaddy.toml lies, or name it with --config", file)
	}
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return nil, err
	}
	cfg := &config{dir: dir, Build: defaultBuild()}
	found := &problems{file: file}

	decoder := toml.NewDecoder(bytes.NewReader(document)).DisallowUnknownFields()
	var unknown *toml.StrictMissingError
	var refused *toml.DecodeError
	switch err := decoder.Decode(cfg); {
	case err == nil:
	case errors.As(err, &unknown):
		for _, e := range unknown.Errors {
			line, _ := e.Position()
			found.add(line, "unknown key %q: %s", strings.Join(e.Key(), "."), knownKeys(e.Key()))
		}
	case errors.As(err, &refused):
		line, _ := refused.Position()
		found.add(line, "%s", decodeMessage(refused))
		return nil, found
	default:
		return nil, fmt.Errorf("%s: %w", file, err)
	}

	found.lines = indexLines(document)
	cfg.check(found)
	return cfg, found.err()
}

func (c *config) check(found *problems) {
	if c.Caddy == "" {
		found.at("caddy", "caddy is missing: write the version to build, such as caddy = \"v2.11.9\"")
	} else {
		found.check("caddy", checkVersion(c.Caddy))
		if semver.IsValid(c.Caddy) && semver.Major(c.Caddy) != "v2" {
			found.at("caddy", "Kalpana needs Caddy v2, not %s", c.Caddy)
		}
	}
	c.checkKalpana(found)
	for i := range c.Plugins {
		c.checkPlugin(found, fmt.Sprintf("plugins[%d]", i), &c.Plugins[i])
	}
	c.modules = append(c.modules, c.Plugins...)
	c.checkDuplicates(found)
	c.checkReplacements(found)
	c.checkBuild(found)
}

// checkKalpana settles where our own module comes from: what [kalpana] says, else this checkout.
func (c *config) checkKalpana(found *problems) {
	ours := plugin{Package: ourPackage, Module: ourModule, Version: c.Kalpana.Version, Replace: c.Kalpana.Replace}
	if ours.Version == "" && ours.Replace == "" {
		if path, _, err := readModule(c.dir); err != nil || path != ourModule {
			found.at("kalpana", "this file does not lie in a checkout of Kalpana: "+
				"write [kalpana] with version = \"latest\", or replace = \"./path/to/checkout\"")
			return
		}
		ours.Replace = "."
	}
	c.checkSource(found, "kalpana", &ours)
	c.modules = append(c.modules, ours)
}

func (c *config) checkPlugin(found *problems, key string, p *plugin) {
	if p.Package == "" {
		found.at(key, "package is missing: write the plugin's import path, such as package = \"github.com/caddy-dns/cloudflare\"")
		return
	}
	if err := checkPackage(p.Package); err != nil {
		found.check(key+".package", err)
		return
	}
	if p.Module != "" {
		if err := module.CheckPath(p.Module); err != nil {
			found.check(key+".module", err)
			return
		}
		if !within(p.Package, p.Module) {
			found.at(key+".module", "package %s is not in module %s", p.Package, p.Module)
			return
		}
	}
	c.checkSource(found, key, p)
}

// checkSource checks version and replacement, and fills in p.Module and p.dir.
func (c *config) checkSource(found *problems, key string, p *plugin) {
	if isDir(p.Replace) {
		dir, path, err := c.localModule(found, key+".replace", p.Replace)
		if err != nil {
			found.check(key+".replace", err)
			return
		}
		if p.Module == "" {
			p.Module = path
		}
		if path != p.Module || !within(p.Package, path) {
			found.at(key+".replace", "%s is module %s, which does not hold package %s", p.Replace, path, p.Package)
			return
		}
		p.dir = dir
	} else if p.Replace != "" {
		found.check(key+".replace", checkModuleVersion(p.Replace))
	}
	explicit := p.Module != ""
	if !explicit {
		p.Module = p.Package
	}
	if p.Version == "" {
		return
	}
	if err := checkVersion(p.Version); err != nil {
		found.check(key+".version", err)
		return
	}
	if !semver.IsValid(p.Version) {
		return
	}
	if err := module.Check(p.Module, p.Version); err != nil {
		hint := ""
		if !explicit {
			hint = "; if the package lies below the root of its module, write module = \"…\" too"
		}
		found.at(key+".version", "version %s does not fit %s: from v2 on, a module's path ends in its major version%s",
			p.Version, p.Module, hint)
	}
}

func (c *config) checkDuplicates(found *problems) {
	seen := map[string]bool{ourPackage: true}
	for i, p := range c.Plugins {
		if p.Package != "" && seen[p.Package] {
			key := fmt.Sprintf("plugins[%d].package", i)
			if p.Package == ourPackage {
				found.at(key, "%s is always built in; [kalpana] says which", p.Package)
			} else {
				found.at(key, "%s is listed twice", p.Package)
			}
		}
		seen[p.Package] = true
	}
}

func (c *config) checkReplacements(found *problems) {
	replaced := map[string]bool{}
	for _, m := range c.modules {
		if m.Replace != "" {
			replaced[m.Module] = true
		}
	}
	olds := make([]string, 0, len(c.Replacements))
	for old := range c.Replacements {
		olds = append(olds, old)
	}
	slices.Sort(olds)
	for _, old := range olds {
		key, with := "replacements."+old, c.Replacements[old]
		path, version, versioned := strings.Cut(old, "@")
		err := module.CheckPath(path)
		if err == nil && versioned {
			err = checkVersion(version)
		}
		if err != nil {
			found.check(key, err)
			continue
		}
		if replaced[path] {
			found.at(key, "%s is replaced already, where it is named as a plugin", path)
			continue
		}
		if isDir(with) {
			dir, is, err := c.localModule(found, key, with)
			if err == nil && is != path {
				err = fmt.Errorf("%s is module %s, not %s", with, is, path)
			}
			if err != nil {
				found.check(key, err)
				continue
			}
			with = dir
		} else if err := checkModuleVersion(with); err != nil {
			found.check(key, err)
			continue
		}
		c.replace = append(c.replace, moduleFor{old, with})
	}
}

var (
	platformWord = regexp.MustCompile(`^[a-z0-9]+$`)
	envName      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	tagWord      = regexp.MustCompile(`^[\pL\pN_.]+$`)
)

// ownKeys are flags and variables that have a key in [build].
var ownKeys = map[string]string{
	"-ldflags": "ldflags", "-tags": "tags", "-trimpath": "trimpath", "-o": "--output",
	"GOOS": "os", "GOARCH": "arch", "GOARM": "arm", "CGO_ENABLED": "cgo",
}

func (c *config) checkBuild(found *problems) {
	b := c.Build
	for key, word := range map[string]string{"os": b.OS, "arch": b.Arch, "arm": b.ARM} {
		if word != "" && !platformWord.MatchString(word) {
			found.at("build."+key, "%q is no value for %s: `go tool dist list` prints those that exist", word, key)
		}
	}
	for i, tag := range b.Tags {
		if !tagWord.MatchString(tag) {
			found.at(fmt.Sprintf("build.tags[%d]", i), "%q is no build tag", tag)
		}
	}
	for i, f := range b.Flags {
		key := fmt.Sprintf("build.flags[%d]", i)
		name, _, _ := strings.Cut("-"+strings.TrimLeft(f, "-"), "=")
		if !strings.HasPrefix(f, "-") {
			found.at(key, "%q is no flag: write a flag and its value as one word, such as \"-p=1\"", f)
		} else if own := ownKeys[name]; own != "" {
			found.at(key, "%s has a place of its own: %s", name, own)
		}
	}
	for name := range b.Env {
		key := "build.env." + name
		if own := ownKeys[name]; own != "" {
			found.at(key, "%s has a key of its own: build.%s", name, own)
		} else if !envName.MatchString(name) {
			found.at(key, "%q is no name for an environment variable", name)
		}
	}
}

// localModule resolves a replacement on disk: the absolute directory and the module in it. A module that
// needs a newer Caddy than the one asked for would be dropped from the build halfway, so it is refused here.
func (c *config) localModule(found *problems, key, replace string) (dir, path string, err error) {
	dir = replace
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.dir, dir)
	}
	path, needs, err := readModule(dir)
	if err != nil {
		return "", "", fmt.Errorf("cannot replace with %s: %w", replace, err)
	}
	if semver.Major(c.Caddy) == "v2" && semver.Compare(needs, c.Caddy) > 0 {
		found.at("caddy", "caddy %s is too old: %s (%s) needs %s", c.Caddy, path, replace, needs)
	}
	return dir, path, nil
}

// readModule returns the path of the module in dir, and the version of Caddy that it requires, if any.
func readModule(dir string) (path, caddy string, err error) {
	if info, err := os.Stat(dir); err != nil {
		return "", "", err
	} else if !info.IsDir() {
		return "", "", fmt.Errorf("%s is not a directory", dir)
	}
	file := filepath.Join(dir, "go.mod")
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", "", fmt.Errorf("%s has no go.mod; a replacement is the root directory of a module", dir)
	}
	if err != nil {
		return "", "", err
	}
	mod, err := modfile.ParseLax(file, data, nil)
	if err != nil {
		return "", "", err
	}
	if mod.Module == nil {
		return "", "", fmt.Errorf("%s names no module", file)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == caddyModule {
			caddy = r.Mod.Version
		}
	}
	return mod.Module.Mod.Path, caddy, nil
}
