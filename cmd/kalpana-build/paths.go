package main

import (
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// isDir tells a directory from a module, as go.mod does.
func isDir(replace string) bool {
	return modfile.IsDirectoryPath(replace)
}

// within tells whether a package path lies in a module of that path.
func within(pkg, mod string) bool {
	return pkg == mod || strings.HasPrefix(pkg, mod+"/")
}

func checkPackage(path string) error {
	if _, rest, ok := strings.Cut(path, "://"); ok {
		return fmt.Errorf("%q is a URL: write the import path, %q", path, strings.TrimRight(rest, "/"))
	}
	if bare, version, ok := strings.Cut(path, "@"); ok {
		return fmt.Errorf("%q holds a version: write package = %q and version = %q", path, bare, version)
	}
	if err := module.CheckImportPath(path); err != nil {
		return err
	}
	if host, _, _ := strings.Cut(path, "/"); !strings.Contains(host, ".") {
		return fmt.Errorf("%q is no import path that go could fetch: its first part must be a host name", path)
	}
	return nil
}

// checkModuleVersion checks what replaces a module when it is not a directory.
func checkModuleVersion(replace string) error {
	path, version, ok := strings.Cut(replace, "@")
	if !ok {
		return fmt.Errorf("%q is neither a directory (./…, ../… or absolute) nor a module with a version (path@version)", replace)
	}
	if err := module.CheckPath(path); err != nil {
		return err
	}
	return checkVersion(version)
}

var (
	revision     = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*$`)
	bareVersion  = regexp.MustCompile(`^[0-9]{1,4}(\.|$)`) // longer ones may be commits
	shortVersion = regexp.MustCompile(`^v[0-9]+(\.[0-9]+)?$`)
)

// checkVersion accepts a full version, a branch, a commit or "latest". What starts with a v is a version
// to xcaddy, and must be a whole one.
func checkVersion(v string) error {
	switch {
	case v == "" || !revision.MatchString(strings.Replace(v, "+", "", 1)) || v == "none":
		return fmt.Errorf("%q is no version: write one such as v1.2.3, a branch, a commit, or latest", v)
	case bareVersion.MatchString(v):
		like := semver.Canonical("v" + v)
		if like == "" {
			like = "v1.2.3"
		}
		return fmt.Errorf("%q is no version: Go's versions start with a v, as in %q", v, like)
	case shortVersion.MatchString(v):
		return fmt.Errorf("%q is not a whole version: write all three numbers, as in %q", v, semver.Canonical(v))
	case strings.HasPrefix(v, "v") && module.CanonicalVersion(v) != v:
		return fmt.Errorf("%q is no version: one that starts with v must read vX.Y.Z", v)
	}
	return nil
}
