package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kalpana-dev/kalpana/test/harness"
)

// nginxConfig is nginx as its manual shows auth_request, or, tuned, with connections that are kept to both
// the application and the endpoint that is asked. That endpoint is nginx too, and answers at once.
func nginxConfig(dir, backend, token string, port, endpoint int, tuned bool) string {
	keep, upstreams := "", ""
	app, ask := backend, fmt.Sprintf("127.0.0.1:%d", endpoint)
	if tuned {
		keep = "proxy_http_version 1.1; proxy_set_header Connection '';"
		upstreams = fmt.Sprintf("upstream app { server %s; keepalive 64; }\nupstream ask { server %s; keepalive 64; }", app, ask)
		app, ask = "app", "ask"
	}
	return fmt.Sprintf(`worker_processes auto;
daemon off;
error_log stderr crit;
pid %[1]s/nginx.pid;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_requests 1000000;
	client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
	%[2]s
	server {
		listen 127.0.0.1:%[3]d;
		location / {
			auth_request /ask;
			proxy_set_header X-Kalpana-Token %[4]s;
			proxy_set_header Host $host;
			%[5]s
			proxy_pass http://%[6]s;
		}
		location = /ask {
			internal;
			proxy_pass_request_body off;
			proxy_set_header Content-Length "";
			%[5]s
			proxy_pass http://%[7]s;
		}
	}
	server {
		listen 127.0.0.1:%[8]d;
		location / { return 204; }
	}
}
`, dir, upstreams, port, token, keep, app, ask, endpoint)
}

// nginx starts one and returns the ports of the site and of the endpoint that it asks.
func (b *bench) nginx(ctx context.Context, addr, token string, tuned bool) (site, endpoint int, err error) {
	dir := b.tempDir()
	if site, err = harness.FreePort(); err != nil {
		return 0, 0, err
	}
	if endpoint, err = harness.FreePort(); err != nil {
		return 0, 0, err
	}
	// Its workers run as another user.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // holds what everybody may read
		return 0, 0, err
	}
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(nginxConfig(dir, addr, token, site, endpoint, tuned)), 0o600); err != nil {
		return 0, 0, err
	}
	p, err := startProcess(exec.Command("nginx", "-p", dir, "-c", file))
	if err != nil {
		return 0, 0, fmt.Errorf("%w: scripts/deps.sh bench installs nginx", err)
	}
	b.atEnd(p.stop)
	return site, endpoint, p.await(ctx, func() error { return answersOK(ctx, site) })
}

// benchAuth compares with proxies that ask somebody else about each request.
func (b *bench) benchAuth(ctx context.Context) ([]line, error) {
	p, err := b.proxied(ctx)
	if err != nil {
		return nil, err
	}
	plain, endpoint, err := b.nginx(ctx, p.box.addr, p.box.token, false)
	if err != nil {
		return nil, err
	}
	tuned, _, err := b.nginx(ctx, p.box.own, p.box.token, true)
	if err != nil {
		return nil, err
	}
	caddy, err := b.forwardAuth(ctx, p.box.addr, p.box.token, endpoint, false)
	if err != nil {
		return nil, err
	}
	keeping, err := b.forwardAuth(ctx, p.box.own, p.box.token, endpoint, true)
	if err != nil {
		return nil, err
	}
	d := 5 * time.Second
	if b.short {
		d = time.Second
	}
	rates := map[string]*[]float64{}
	run := func(name, addr string, connections int) end {
		figures := new([]float64)
		rates[name] = figures
		return end{name, func(ctx context.Context) (string, error) {
			l, err := b.generate(ctx, addr, p.request(""), connections, nil, d)
			*figures = append(*figures, l.rate())
			return fmt.Sprintf("%.0f requests/s", l.rate()), err
		}}
	}
	local := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	const ofFew = " on few"
	err = b.alternate(ctx, "auth", run("Kalpana", p.kalpana.addr, many),
		run("auth_request", local(plain), many), run("auth_request, tuned", local(tuned), many),
		run("forward_auth", local(caddy), many), run("forward_auth, tuned", local(keeping), many),
		run("Kalpana"+ofFew, p.kalpana.addr, few), run("forward_auth"+ofFew, local(caddy), few))
	if err != nil {
		return nil, err
	}
	l := func(ours, peer, about string, bar float64) line {
		return line{
			Name: "auth", Unit: "requests/s", Left: ours, Peer: peer, Bar: bar, AtLeast: true,
			What: "the same GET, authenticated by the gateway itself, against " + about + ",\n" +
				"which asks an endpoint on this machine (nginx, which answers 204) about each request",
			Ours: *rates[ours], Theirs: *rates[peer],
		}
	}
	on := func(connections int) string { return fmt.Sprintf(", on %d keep-alive connections", connections) }
	return []line{
		l("Kalpana", "auth_request", "nginx with auth_request as its manual has it, in front of the published port"+on(many), 1.3),
		l("Kalpana", "auth_request, tuned", "the same nginx with connections kept to the endpoint and to the container's own address (no bar)"+on(many), 0),
		l("Kalpana", "forward_auth", "Caddy's forward_auth as its manual has it, in the same build, in front of the published port"+on(many), 3),
		l("Kalpana", "forward_auth, tuned", "the same with enough connections kept to the endpoint and to the container's own address (no bar)"+on(many), 0),
		l("Kalpana"+ofFew, "forward_auth"+ofFew, "the same forward_auth as its manual has it (no bar)"+on(few)+",\nno more than it keeps", 0),
	}, nil
}

// forwardAuth starts the same build as a proxy that asks an endpoint first, as Caddy's manual has it; or, tuned, with
// as many connections kept as there are to it.
func (b *bench) forwardAuth(ctx context.Context, addr, token string, endpoint int, tuned bool) (int, error) {
	keep := ""
	if tuned {
		keep = fmt.Sprintf("\ttransport http {\n\t\t\tkeepalive_idle_conns_per_host %d\n\t\t}\n", many)
	}
	site := fmt.Sprintf("\tforward_auth 127.0.0.1:%d {\n\t\turi /\n\t%s\t}\n\treverse_proxy %s {\n\t\theader_up X-Kalpana-Token %s\n\t%s\t}",
		endpoint, keep, addr, token, keep)
	p, port, err := startCaddy(ctx, b.binary, b.tempDir(), site)
	if err != nil {
		return 0, err
	}
	b.atEnd(p.stop)
	return port, nil
}
