package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// page is VS Code's, with a folder open.
	page = "/?folder=/home/dev/workspace"
	// pollEvery is the pause between two attempts of whoever waits for docker start.
	pollEvery = 5 * time.Millisecond
	// settle is how long both ends rest after a stop: the engine still tidies up.
	settle = time.Second
)

// sleeper is one workspace of the real image, which can be started in two ways: by Kalpana, and by
// the engine as a container that is the same in everything, volume and ports included.
type sleeper struct {
	bench     *bench
	client    *client
	workspace workspaceView
	box       *box
	twin      string
}

// sleeper sets it up, once, and leaves it stopped.
func (b *bench) sleeper(ctx context.Context) (*sleeper, error) {
	if b.asleep != nil {
		return b.asleep, nil
	}
	b.quiet()
	i, w, box, err := b.workspace(ctx, b.image)
	if err != nil {
		return nil, err
	}
	if err := i.client.stop(ctx, w.ID); err != nil {
		return nil, err
	}
	twin, err := b.engine.twin(ctx, box)
	if err != nil {
		return nil, err
	}
	b.asleep = &sleeper{bench: b, client: i.client, workspace: w, box: box, twin: twin}
	return b.asleep, nil
}

// start is docker start without the time that the docker command itself takes, and a poll until
// VS Code's page is there.
func (s *sleeper) start(ctx context.Context) error {
	if err := s.bench.engine.ContainerStart(ctx, s.twin, container.StartOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	text, err := s.poll(ctx, page)
	if err != nil {
		return err
	}
	return isPage(text)
}

// poll asks the published port until it answers 200, and returns the answer.
func (s *sleeper) poll(ctx context.Context, path string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.box.addr+path, nil)
		if err != nil {
			return "", err
		}
		r.Header.Set("X-Kalpana-Token", s.box.token)
		r.Header.Set("Accept-Encoding", encodings(path))
		if resp, err := client.Do(r); err == nil {
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil && resp.StatusCode == http.StatusOK {
				return string(text), nil
			}
		}
		if err := pause(ctx, pollEvery); err != nil {
			return "", err
		}
	}
}

// mainScript finds the path of the workbench in VS Code's page.
var mainScript = regexp.MustCompile(`src="([^"]+/workbench\.js[^"]*)"`)

// encodings are what a client of the benchmark takes: for scripts what a browser does on https, else none.
func encodings(path string) string {
	if strings.Contains(path, ".js") {
		return "gzip, deflate, br, zstd"
	}
	return "identity"
}

// hit is a program's request on the stopped workspace, which is held until VS Code answers it.
func (s *sleeper) hit(ctx context.Context) error {
	resp, text, err := s.client.do(ctx, http.MethodGet, strings.TrimSuffix(s.workspace.URL, "/")+page, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the first hit got %s: %.300s", resp.Status, text)
	}
	return isPage(text)
}

func isPage(text string) error {
	if !strings.Contains(text, "workbench") {
		return fmt.Errorf("that is not VS Code's page: %.300s", text)
	}
	return nil
}

func (s *sleeper) stopKalpana(ctx context.Context) error {
	if err := s.client.stop(ctx, s.workspace.ID); err != nil {
		return err
	}
	return pause(ctx, settle)
}

func (s *sleeper) stopTwin(ctx context.Context) error {
	if err := s.bench.engine.stop(ctx, s.twin); err != nil {
		return err
	}
	return pause(ctx, settle)
}

// benchWake measures the first hit of a program.
func (b *bench) benchWake(ctx context.Context) ([]line, error) {
	s, err := b.sleeper(ctx)
	if err != nil {
		return nil, err
	}
	l := line{
		Name: "wake", Unit: "ms", Peer: "docker start", Bar: 1.10,
		What: "first hit on a stopped workspace until the first 200 of VS Code's page (a held request, body read),\n" +
			"against starting the same container through the engine's API and asking the same port, with the token, every 5 ms",
	}
	one := func(work, after func(context.Context) error, figures *[]float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			start := time.Now()
			err := work(ctx)
			took := since(start)
			if err == nil {
				*figures = append(*figures, took)
			}
			return fmt.Sprintf("%.0f ms", took), errors.Join(err, after(ctx))
		}
	}
	// What a first start does once (caches, the page cache of the kernel) is not measured.
	var ignored []float64
	if _, err := one(s.hit, s.stopKalpana, &ignored)(ctx); err != nil {
		return nil, err
	}
	if _, err := one(s.start, s.stopTwin, &ignored)(ctx); err != nil {
		return nil, err
	}
	err = b.alternate(ctx, "wake",
		end{"Kalpana", one(s.hit, s.stopKalpana, &l.Ours)},
		end{"docker start", one(s.start, s.stopTwin, &l.Theirs)},
	)
	return []line{l}, err
}

// parts are those of a start, in their order.
var parts = [...]string{
	"start: until the engine has started the container",
	"ready: from then until VS Code's server answers",
	"page: from then until it has VS Code's page",
	"script: from then until it has the page's main script, compressed as a browser asks for it",
	"all of it",
}

// benchWakeParts shows where the time of a start goes, and where it goes with another image.
func (b *bench) benchWakeParts(ctx context.Context) ([]line, error) {
	s, err := b.sleeper(ctx)
	if err != nil {
		return nil, err
	}
	lines := make([]line, len(parts))
	for i, part := range parts {
		lines[i] = line{Name: "wake-parts", Unit: "ms", Left: "this image", Peer: b.before, What: part}
	}
	ends := []end{{"this image", s.parted(s.twin, lines, func(l *line) *[]float64 { return &l.Ours })}}
	if b.before != "" {
		other := *s.box.Config
		other.Image = b.before
		box := *s.box
		box.Config = &other
		twin, err := b.engine.twin(ctx, &box)
		if err != nil {
			return nil, err
		}
		ends = append(ends, end{b.before, s.parted(twin, lines, func(l *line) *[]float64 { return &l.Theirs })})
	}
	for _, end := range ends { // what a first start does once
		if _, err := end.run(ctx); err != nil {
			return nil, err
		}
	}
	for i := range lines {
		lines[i].Ours, lines[i].Theirs = nil, nil
	}
	return lines, b.alternate(ctx, "wake-parts", ends...)
}

// parted starts a container once, notes how long each part took, and stops it.
func (s *sleeper) parted(id string, lines []line, figures func(*line) *[]float64) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		begun := time.Now()
		if err := s.bench.engine.ContainerStart(ctx, id, container.StartOptions{}); err != nil {
			return "", err
		}
		took := []float64{since(begun)}
		timed := func(path string) (text string, err error) {
			start := time.Now()
			text, err = s.poll(ctx, path)
			took = append(took, since(start))
			return text, err
		}
		if _, err := timed(bridge.ReadyPath); err != nil {
			return "", err
		}
		text, err := timed(page)
		if err != nil {
			return "", err
		}
		script := mainScript.FindStringSubmatch(text)
		if script == nil {
			return "", errors.New("VS Code's page names no main script")
		}
		if _, err := timed("/" + script[1]); err != nil {
			return "", err
		}
		took = append(took, since(begun))
		for i, ms := range took {
			f := figures(&lines[i])
			*f = append(*f, ms)
		}
		if err := s.bench.engine.stop(ctx, id); err != nil {
			return "", err
		}
		return fmt.Sprintf("start %.0f ms, ready %.0f ms later, page %.0f ms later, script %.0f ms later", took[0], took[1], took[2], took[3]), pause(ctx, settle)
	}
}

// since is in milliseconds.
func since(start time.Time) float64 { return float64(time.Since(start).Microseconds()) / 1000 }

// benchWakeChromium measures the same as a person sees it.
func (b *bench) benchWakeChromium(ctx context.Context) ([]line, error) {
	s, err := b.sleeper(ctx)
	if err != nil {
		return nil, err
	}
	direct, err := tokenProxy(s.box.addr, s.box.token)
	if err != nil {
		return nil, err
	}
	b.atEnd(func() { _ = direct.Close() })
	chromium, err := startChromium(ctx)
	if err != nil {
		return nil, err
	}
	b.atEnd(chromium.stop)

	what := "a navigation to a stopped workspace in Chromium (warm browser, fresh profile) until the workbench is visible,\n" +
		"against starting the same container, asking its port every 5 ms until the page is there, and then navigating to it;\n" +
		"a browser cannot send the token, so a small reverse proxy in the benchmark adds it"
	visible := line{Name: "wake-chromium", Unit: "ms", Peer: "docker start", Bar: 1.25, What: what}
	filled := line{Name: "wake-chromium", Unit: "ms", Peer: "docker start", Bar: 1.25, What: "the same until the explorer shows the workspace's files"}

	u, err := url.Parse(s.workspace.URL)
	if err != nil {
		return nil, err
	}
	ours := func(visible, filled *[]float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			if err := chromium.prepare(u.Hostname(), s.client.cookies[u.Hostname()]); err != nil {
				return "", err
			}
			start := time.Now()
			said, err := chromium.visit(start, "http://"+u.Host+page, visible, filled)
			return said, errors.Join(err, chromium.close(), s.stopKalpana(ctx))
		}
	}
	theirs := func(visible, filled *[]float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (said string, err error) {
			if err := chromium.prepare("", nil); err != nil {
				return "", err
			}
			start := time.Now()
			if err = s.start(ctx); err == nil {
				said, err = chromium.visit(start, "http://direct.localhost:"+direct.port+page, visible, filled)
			}
			return said, errors.Join(err, chromium.close(), s.stopTwin(ctx))
		}
	}
	var ignored []float64
	if _, err := ours(&ignored, &ignored)(ctx); err != nil {
		return nil, err
	}
	if _, err := theirs(&ignored, &ignored)(ctx); err != nil {
		return nil, err
	}
	err = b.alternate(ctx, "wake-chromium",
		end{"Kalpana", ours(&visible.Ours, &filled.Ours)},
		end{"docker start", theirs(&visible.Theirs, &filled.Theirs)},
	)
	return []line{visible, filled}, err
}

// directProxy passes everything on to a published port and adds the token.
type directProxy struct {
	*http.Server
	port string
}

func tokenProxy(addr, token string) (*directProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", addr, r.In.Host
			r.Out.Header.Set("X-Kalpana-Token", token)
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // a closed tab is no fault
		Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 256},
	}
	p := &directProxy{Server: &http.Server{Handler: proxy}, port: port}
	go func() { _ = p.Serve(listener) }()
	return p, nil
}
