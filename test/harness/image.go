package harness

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
)

// Image is an image for tests, of a few megabytes: a program of this module, and programs of this
// machine with their libraries.
type Image struct {
	Entrypoint string            // path of the program that a container runs; it is in Files
	Files      map[string]string // path in the image → path here
}

// App builds test/gateway/app, which stands in for what runs in a workspace's container, into dir, and
// returns an image of it. With it are what the proof of the firewall needs: bash, timeout and iptables.
func App(dir string) (*Image, error) {
	app := filepath.Join(dir, "app")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", app, "./test/gateway/app")
	build.Dir = Root()
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("test/gateway/app does not build: %w\n%s", err, out)
	}
	i := &Image{Entrypoint: "/app", Files: map[string]string{"/app": app}}
	i.AddShell()
	return i, nil
}

// AddShell adds bash, sh, timeout, sleep and iptables.
func (i *Image) AddShell() {
	for _, program := range []string{"/bin/bash", "/bin/sh", "/usr/bin/timeout", "/bin/sleep", "/usr/sbin/iptables"} {
		i.Add(program)
	}
	for _, match := range []string{"conntrack", "comment", "tcp", "udp", "standard"} {
		found, _ := filepath.Glob("/usr/lib/*/xtables/libxt_" + match + ".so")
		for _, path := range found {
			i.Add(path)
		}
	}
}

var library = regexp.MustCompile(`/[^ )]+\.so[^ )]*`)

// Add adds a program of this machine, and the libraries that it is linked with.
func (i *Image) Add(program string) {
	i.Files[program] = program
	out, _ := exec.Command("ldd", program).Output() // fails for static programs
	for _, lib := range library.FindAllString(string(out), -1) {
		i.Files[lib] = lib
	}
}

// Import makes the image on an engine.
func (i *Image) Import(ctx context.Context, api *client.Client, ref string) error {
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for inside, here := range i.Files {
		content, err := os.ReadFile(here)
		if err != nil {
			return err
		}
		_ = w.WriteHeader(&tar.Header{Name: strings.TrimPrefix(inside, "/"), Mode: 0o755, Size: int64(len(content))})
		_, _ = w.Write(content)
	}
	for _, dir := range []string{"run/", "tmp/", "home/dev/"} {
		_ = w.WriteHeader(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755})
	}
	skeleton := "from the image"
	_ = w.WriteHeader(&tar.Header{Name: "home/dev/skeleton", Mode: 0o644, Size: int64(len(skeleton))})
	_, _ = w.Write([]byte(skeleton))
	if err := w.Close(); err != nil {
		return err
	}
	out, err := api.ImageImport(ctx, image.ImportSource{Source: &layer, SourceName: "-"}, ref,
		image.ImportOptions{Changes: []string{fmt.Sprintf(`CMD [%q]`, i.Entrypoint)}})
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(io.Discard, out)
	return err
}
