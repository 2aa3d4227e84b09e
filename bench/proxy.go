package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// proxied is a running workspace of cheap answers behind two gateways: Kalpana's, and plain Caddy of
// the same build.
type proxied struct {
	kalpana, caddy gatewayEnd
	gateway        *installation
	client         *client
	box            *box
	id             string
	host           string
	cookies        string
}

// gatewayEnd is one of the two ways to the workspace.
type gatewayEnd struct {
	*process
	addr string
}

// proxied sets both ends up, once.
func (b *bench) proxied(ctx context.Context) (*proxied, error) {
	if b.ends != nil {
		return b.ends, nil
	}
	b.say("building the back end's image")
	image, err := b.engine.buildBackend(ctx, b.tempDir(), b.image)
	if err != nil {
		return nil, err
	}
	i, w, box, err := b.workspace(ctx, image)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return nil, err
	}
	caddy, port, err := startCaddy(ctx, b.binary, b.tempDir(), toBackend(box.own, box.token))
	if err != nil {
		return nil, err
	}
	b.atEnd(caddy.stop)
	b.ends = &proxied{
		kalpana: gatewayEnd{i.process, fmt.Sprintf("127.0.0.1:%d", i.port)},
		caddy:   gatewayEnd{caddy, fmt.Sprintf("127.0.0.1:%d", port)},
		gateway: i, client: i.client, box: box, id: w.ID, host: u.Host, cookies: i.client.cookieHeader(u.Hostname()),
	}
	return b.ends, nil
}

func (p *proxied) header() http.Header {
	return http.Header{"Cookie": {p.cookies}, "Origin": {"http://" + p.host}}
}

// request is the same for both ends; the back end, asked directly, needs the token too.
func (p *proxied) request(extra string) []byte {
	return []byte("GET /kilobyte HTTP/1.1\r\nHost: " + p.host + "\r\nUser-Agent: kalpana-bench\r\nCookie: " + p.cookies + "\r\n" + extra + "\r\n")
}

// benchProxy measures requests a second and CPU time a request.
func (b *bench) benchProxy(ctx context.Context) ([]line, error) {
	p, err := b.proxied(ctx)
	if err != nil {
		return nil, err
	}
	d := 5 * time.Second
	if b.short {
		d = time.Second
	}
	rate := line{
		Name: "proxy", Unit: "requests/s", Peer: "reverse_proxy", Bar: 0.95, AtLeast: true,
		What: fmt.Sprintf("authenticated GET of 1 KiB on a running workspace, %d keep-alive connections, %s a run,\n"+
			"against Caddy's reverse_proxy in the same build to the container's own address (Kalpana connects from inside its network\n"+
			"namespace: either way nothing is in between); both add the token that the container checks",
			few, d),
	}
	cpu := line{Name: "proxy", Unit: "µs of CPU a request", Peer: "reverse_proxy", Bar: 1.05, What: "CPU time that the gateway's process uses for each, user and kernel"}
	// The back end must not be what limits.
	alone := line{
		Name: "proxy", Unit: "requests/s", Left: "back end alone", Peer: "faster of the two", Bar: 3, AtLeast: true,
		What: "the back end asked directly, on the container's own address with the same load: fast enough to tell proxies apart?",
	}
	run := func(addr string, watched *process, request []byte, rates, cpus *[]float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			l, err := b.generate(ctx, addr, request, few, watched, d)
			if err != nil {
				return "", err
			}
			said := fmt.Sprintf("%.0f requests/s", l.rate())
			*rates = append(*rates, l.rate())
			if watched != nil {
				said += fmt.Sprintf(", %.1f µs of CPU each", l.cpuMicros())
				*cpus = append(*cpus, l.cpuMicros())
			}
			return said, nil
		}
	}
	err = b.alternate(ctx, "proxy",
		end{"Kalpana", run(p.kalpana.addr, p.kalpana.process, p.request(""), &rate.Ours, &cpu.Ours)},
		end{"reverse_proxy", run(p.caddy.addr, p.caddy.process, p.request(""), &rate.Theirs, &cpu.Theirs)},
		end{"back end alone", run(p.box.own, nil, p.request("X-Kalpana-Token: "+p.box.token+"\r\n"), &alone.Ours, nil)},
	)
	if err != nil {
		return nil, err
	}
	alone.Theirs = rate.Theirs
	if median(rate.Ours) > median(rate.Theirs) {
		alone.Theirs = rate.Ours
	}
	return []line{rate, cpu, alone}, nil
}

// benchWebSocket measures how long an echo takes.
func (b *bench) benchWebSocket(ctx context.Context) ([]line, error) {
	p, err := b.proxied(ctx)
	if err != nil {
		return nil, err
	}
	trips := 5000
	if b.short {
		trips = 500
	}
	l := line{
		Name: "websocket", Unit: "µs a round trip", Peer: "reverse_proxy", Bar: 1.10,
		What: fmt.Sprintf("echo of 1 KiB over one WebSocket, median of %d round trips a run, against the same reverse_proxy", trips),
	}
	var direct []float64
	run := func(addr string, header http.Header, figures *[]float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			took, err := echo(ctx, addr, p.host, header, trips)
			*figures = append(*figures, took)
			return fmt.Sprintf("%.1f µs", took), err
		}
	}
	err = b.alternate(ctx, "websocket",
		end{"Kalpana", run(p.kalpana.addr, p.header(), &l.Ours)},
		end{"reverse_proxy", run(p.caddy.addr, p.header(), &l.Theirs)},
		end{"back end alone", run(p.box.own, http.Header{"X-Kalpana-Token": {p.box.token}}, &direct)},
	)
	if err != nil {
		return nil, err
	}
	l.What += fmt.Sprintf("\n(the back end asked directly: %s µs)", figures(direct))
	return []line{l}, nil
}

// echo returns the median round trip in microseconds.
func echo(ctx context.Context, addr, host string, header http.Header, trips int) (float64, error) {
	dialer := websocket.Dialer{NetDialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
	conn, resp, err := dialer.DialContext(ctx, "ws://"+host+"/echo", header)
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: %s", err, resp.Status)
		}
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	message := []byte(strings.Repeat("k", bodySize))
	var took []float64
	for i := range trips + trips/10 {
		start := time.Now()
		if err := conn.WriteMessage(websocket.BinaryMessage, message); err != nil {
			return 0, err
		}
		_, back, err := conn.ReadMessage()
		if err != nil {
			return 0, err
		}
		if !slices.Equal(back, message) {
			return 0, fmt.Errorf("the echo came back changed")
		}
		if i >= trips/10 { // the first warm up
			took = append(took, float64(time.Since(start).Nanoseconds())/1000)
		}
	}
	return median(took), nil
}
