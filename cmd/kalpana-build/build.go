package main

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/caddyserver/xcaddy"
	"golang.org/x/mod/semver"
)

// findGo returns the path of the go command, which xcaddy lets a person choose by XCADDY_WHICH_GO.
func findGo() (string, error) {
	name := os.Getenv("XCADDY_WHICH_GO")
	if name == "" {
		name = "go"
	}
	path, err := exec.LookPath(name)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", fmt.Errorf("no Go here (%w): install it from https://go.dev/dl/, "+
			"or point PATH or XCADDY_WHICH_GO at it", err)
	}
	return path, nil
}

// build writes the binary to output, or leaves what is there untouched and says why.
func (p *plan) build(ctx context.Context, output string, progress io.Writer, verbose bool) error {
	if err := p.checkConsole(); err != nil {
		return err
	}
	if info, err := os.Stat(output); err == nil && info.IsDir() {
		return fmt.Errorf("cannot write %s: it is a directory; name a file with --output", output)
	}
	// Next to the output, so that moving it into place is one step.
	dir, err := os.MkdirTemp(filepath.Dir(output), ".kalpana-build-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", output, err)
	}
	defer os.RemoveAll(dir)
	built := filepath.Join(dir, filepath.Base(output))

	started := time.Now()
	fmt.Fprintf(progress, "Kalpana %s (%s), Caddy %s, further plugins: %d\n",
		p.version, p.from, p.builder.CaddyVersion, len(p.builder.Plugins)-1)
	if err := p.runXcaddy(ctx, built, progress, verbose); err != nil {
		return err
	}
	info, err := buildinfo.ReadFile(built)
	if err != nil {
		return fmt.Errorf("reading what was built: %w", err)
	}
	if err := p.checkVersions(info); err != nil {
		return err
	}
	if err := os.Rename(built, output); err != nil {
		return err
	}
	fmt.Fprintf(progress, "built %s in %s\n", output, time.Since(started).Round(time.Second))
	return nil
}

// checkConsole refuses a checkout whose console has not been built: the binary would serve none.
func (p *plan) checkConsole() error {
	if p.console == "" {
		return nil
	}
	index := filepath.Join(p.console, "web", "dist", "index.html")
	if _, err := os.Stat(index); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the console is not built: %s is missing; run `npm ci && npm run build` in %s first",
			index, filepath.Join(p.console, "web"))
	} else if err != nil {
		return err
	}
	return nil
}

// checkVersions compares what was asked for with what is in the binary: go raises a version without a
// word when another module needs a newer one.
func (p *plan) checkVersions(info *debug.BuildInfo) error {
	in := map[string]*debug.Module{}
	for _, dep := range info.Deps {
		in[dep.Path] = dep
	}
	for _, want := range p.expect {
		got := in[want.Path]
		if got == nil || got.Replace != nil || !semver.IsValid(want.Version) || got.Version == want.Version {
			continue
		}
		return fmt.Errorf("%s %s was asked for, but another module needs %s: ask for that version, or leave it out",
			want.Path, want.Version, got.Version)
	}
	return nil
}

// runXcaddy runs the builder with everything it and go print turned into a few lines of progress and, on
// failure, into an error. xcaddy hands os.Stderr and the standard logger to all it does, so these are
// redirected while it runs; nothing else here writes to them then.
func (p *plan) runXcaddy(ctx context.Context, output string, progress io.Writer, verbose bool) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	env := map[string]string{
		"XCADDY_WHICH_GO": self,
		envRealGo:         p.goCmd,
		envRequire:        strings.Join(p.require, " "),
	}
	for name, value := range p.env {
		env[name] = value
	}
	defer setEnv(env)()

	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer reader.Close()
	stdout, stderr, logger, logFlags := os.Stdout, os.Stderr, log.Writer(), log.Flags()
	os.Stdout, os.Stderr = writer, writer
	log.SetOutput(writer)
	log.SetFlags(0)
	transcript := &transcript{progress: progress, verbose: verbose}
	read := make(chan struct{})
	go func() {
		defer close(read)
		transcript.read(reader)
	}()

	buildErr := p.xcaddyBuild(ctx, output)

	os.Stdout, os.Stderr = stdout, stderr
	log.SetOutput(logger)
	log.SetFlags(logFlags)
	writer.Close()
	<-read

	var exit *exec.ExitError
	switch {
	case buildErr == nil:
		return nil
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.As(buildErr, &exit):
		return transcript.failure()
	default:
		return buildErr
	}
}

// xcaddyBuild works on copies, because Build changes the plugins in place.
func (p *plan) xcaddyBuild(ctx context.Context, output string) error {
	builder := p.builder
	builder.Plugins = append([]xcaddy.Dependency(nil), p.builder.Plugins...)
	return builder.Build(ctx, output)
}

// setEnv sets variables and returns what puts the old ones back.
func setEnv(env map[string]string) (restore func()) {
	old := map[string]string{}
	var unset []string
	for name, value := range env {
		if before, ok := os.LookupEnv(name); ok {
			old[name] = before
		} else {
			unset = append(unset, name)
		}
		os.Setenv(name, value)
	}
	return func() {
		for name, value := range old {
			os.Setenv(name, value)
		}
		for _, name := range unset {
			os.Unsetenv(name)
		}
	}
}

// transcript follows what xcaddy and go print, and keeps what the latest command said.
type transcript struct {
	progress io.Writer
	verbose  bool
	doing    string
	said     []string
}

// steps names, for people, what a go command run by xcaddy does.
var steps = []struct{ command, doing string }{
	{" mod init ", "preparing"},
	{" mod edit ", "preparing"},
	{" get ", "finding versions"},
	{" mod tidy ", "finding versions"},
	{" list ", "finding versions"},
	{" build ", "compiling"},
}

func (t *transcript) read(r io.Reader) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		t.line(scanner.Text())
	}
	// Whatever ended the scan, go must never block on a full pipe.
	_, _ = io.Copy(io.Discard, r)
}

func (t *transcript) line(line string) {
	if t.verbose {
		fmt.Fprintln(t.progress, line)
	}
	command, isCommand := strings.CutPrefix(line, "[INFO] exec ")
	if !isCommand {
		t.said = append(t.said, line)
		return
	}
	t.said = nil
	for _, s := range steps {
		if !strings.Contains(command, s.command) {
			continue
		}
		if t.doing != s.doing {
			t.doing = s.doing
			fmt.Fprintf(t.progress, "%s …\n", s.doing)
		}
		break
	}
}

func (t *transcript) failure() error {
	return fmt.Errorf("%s failed:\n%s", t.doing, relevant(t.said))
}

const maxErrorLines = 20

// chatter is what go prints when all is well.
var chatter = regexp.MustCompile(`^(\[(INFO|WARNING)\] |go: (downloading|added|finding|upgraded|downgraded|found|creating) |` +
	`go: to add module requirements|\tgo mod tidy$|get ".*": )`)

// relevant reduces what a go command said to the lines that say why it failed.
func relevant(lines []string) string {
	var kept []string
	for _, line := range lines {
		if strings.TrimSpace(line) != "" && !chatter.MatchString(line) {
			kept = append(kept, "  "+line)
		}
	}
	if more := len(kept) - maxErrorLines; more > 0 {
		kept = append(kept[:maxErrorLines], fmt.Sprintf("  … and %d more lines; --verbose shows them", more))
	}
	if len(kept) == 0 {
		return "  go said nothing more; --verbose shows all of its output"
	}
	return strings.Join(kept, "\n")
}
