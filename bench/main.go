// Command bench measures Kalpana against its peers, side by side on this machine: its gateway against
// Caddy's own reverse_proxy in the same build, and against proxies that ask an endpoint about each
// request, and its wake against docker start. Each line shows both
// figures, their ratio, the bar, and whether it holds.
//
//	go run ./bench [-run name] [-n runs] [-quick] [-json] [-before image]
//
// It needs what "make build image" makes, a container engine, nginx, wrk, and Chromium with Node for one line. It
// runs from the root of the checkout and removes what it made. The exit status is 1 if a bar is
// missed. The figures of a machine that is busy with other things are noise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// bench is one run of the program.
type bench struct {
	binary string
	image  string
	before string // another image, with which parts of a wake are compared
	runs   int
	short  bool

	engine  *engine
	cleanup []func()
	ends    *proxied
	asleep  *sleeper
}

// measurement finds out what one or more lines show.
type measurement struct {
	name string
	run  func(context.Context) ([]line, error)
}

// errMissed says that everything was measured and not every bar holds.
var errMissed = errors.New("not every bar holds")

func main() {
	b := new(bench)
	only := flag.String("run", "", "run only the lines whose name matches this regular expression")
	flag.IntVar(&b.runs, "n", 5, "alternating runs of each line")
	flag.BoolVar(&b.short, "quick", false, "short runs, two unless -n says otherwise: to try the benchmark, not the machine")
	save := flag.Bool("json", false, "write the results to bench/results/latest.json too")
	flag.StringVar(&b.binary, "kalpana", "build/kalpana", "the gateway")
	flag.StringVar(&b.before, "before", "", "another workspace image, to compare the parts of a wake with")
	flag.Parse()
	if set := map[string]bool{}; b.short {
		flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
		if !set["n"] {
			b.runs = 2
		}
	}
	b.image = os.Getenv("KALPANA_IMAGE")
	if b.image == "" {
		b.image = "kalpana/workspace:latest"
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := b.run(ctx, *only, *save)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (b *bench) run(ctx context.Context, only string, save bool) (err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if b.runs < 1 {
		return errors.New("-n must be at least 1")
	}
	if _, err := os.Stat("bench/backend"); err != nil {
		return errors.New("run this from the root of the checkout")
	}
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	if _, err := os.Stat(b.binary); err != nil {
		return fmt.Errorf("%w: make build makes it", err)
	}
	if b.engine, err = openEngine(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.tidy()) }()
	machine, err := b.describe(ctx)
	if err != nil {
		return err
	}
	fmt.Println(machine)

	// What is cheap to set up first; both of a pair share what they measure.
	all := []measurement{
		{"read", b.benchRead},
		{"search", b.benchSearch},
		{"proxy", b.benchProxy},
		{"auth", b.benchAuth},
		{"websocket", b.benchWebSocket},
		{"sockets", b.benchSockets},
		{"paused", b.benchPaused},
		{"herd", b.benchHerd},
		{"wake", b.benchWake},
		{"wake-parts", b.benchWakeParts},
		{"wake-chromium", b.benchWakeChromium},
		{"agent-first", b.benchAgentFirst},
		{"agent-streams", b.benchAgentStreams},
		{"terminal", b.benchTerminal},
		{"reconcile", b.benchReconcile},
		{"list", b.benchList},
	}
	all = slices.DeleteFunc(all, func(m measurement) bool { return !wanted.MatchString(m.name) })
	if len(all) == 0 {
		return fmt.Errorf("no line matches %q", only)
	}
	var lines []line
	for _, m := range all {
		found, err := m.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		for _, line := range found {
			line.print(os.Stdout)
		}
		lines = append(lines, found...)
	}
	if save {
		if err := saveResults(machine, lines); err != nil {
			return err
		}
	}
	for _, l := range lines {
		if !l.holds() {
			return errMissed
		}
	}
	return nil
}

// end is one of the sides of a comparison; run measures it once and says what it found.
type end struct {
	name string
	run  func(context.Context) (string, error)
}

// alternate runs A B A B …, each as often as was asked for.
func (b *bench) alternate(ctx context.Context, name string, ends ...end) error {
	for n := range b.runs {
		for _, end := range ends {
			said, err := end.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", end.name, err)
			}
			b.say("%s %d/%d: %s %s", name, n+1, b.runs, end.name, said)
		}
	}
	return nil
}

// workspace starts an installation with an image and opens one workspace on it.
func (b *bench) workspace(ctx context.Context, image string) (*installation, workspaceView, *box, error) {
	b.say("starting Kalpana with image %s", image)
	i, err := install(ctx, b.binary, b.tempDir(), image)
	if err != nil {
		return nil, workspaceView{}, nil, err
	}
	b.atEnd(func() { i.stop() }) // which may be another process by then
	w, err := i.client.create(ctx)
	if err != nil {
		return nil, w, nil, err
	}
	b.engine.workspaces = append(b.engine.workspaces, w.ID)
	if err := i.client.open(ctx, w); err != nil {
		return nil, w, nil, fmt.Errorf("%w\n%s", err, i.log.Tail())
	}
	box, err := b.engine.find(ctx, w.ID)
	return i, w, box, err
}

// atEnd has something done when it is no longer needed, the last first.
func (b *bench) atEnd(f func()) { b.cleanup = append(b.cleanup, f) }

// quiet ends every process that was started so far, so that none disturbs what comes next.
func (b *bench) quiet() {
	for _, f := range slices.Backward(b.cleanup) {
		f()
	}
	b.cleanup, b.ends, b.asleep = nil, nil, nil
}

// tidy leaves nothing of the benchmark behind.
func (b *bench) tidy() error {
	b.say("cleaning up")
	b.quiet()
	return b.engine.clean()
}

// tempDir makes a directory that goes at the end.
func (b *bench) tempDir() string {
	dir, err := os.MkdirTemp("", "kalpana-bench-")
	if err != nil {
		return filepath.Join(os.TempDir(), "kalpana-bench") // whoever uses it will say what is wrong
	}
	b.atEnd(func() { _ = os.RemoveAll(dir) })
	return dir
}

// say tells of progress; the results go to standard output.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+format+"\n", append([]any{time.Now().Format("15:04:05")}, args...)...)
}
