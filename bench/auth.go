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
	caddy, err := b.forwardAuth(ctx, p.box.addr, p.box.token, endpoint)
	if err != nil {
		return nil, err
	}
	past, err := b.forwardAuth(ctx, p.box.own, p.box.token, endpoint)
	if err != nil {
		return nil, err
	}
	d := 5 * time.Second
	if b.short {
		d = time.Second
	}
	rates := map[string]*[]float64{}
	run := func(name, addr string) end {
		rates[name] = new([]float64)
		return end{name, func(ctx context.Context) (string, error) {
			l, err := generate(ctx, addr, p.request(""), nil, d)
			if err != nil {
				return "", err
			}
			*rates[name] = append(*rates[name], l.rate())
			return fmt.Sprintf("%.0f requests/s", l.rate()), nil
		}}
	}
	local := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	err = b.alternate(ctx, "auth", run("Kalpana", p.kalpana.addr), run("auth_request", local(plain)), run("auth_request, tuned", local(tuned)),
		run("forward_auth", local(caddy)), run("forward_auth, own address", local(past)))
	if err != nil {
		return nil, err
	}
	l := func(peer, about string, bar float64) line {
		return line{
			Name: "auth", Unit: "requests/s", Peer: peer, Bar: bar, AtLeast: true,
			What: "the same GET, authenticated by the gateway itself, against " + about + ",\n" +
				"which asks an endpoint on this machine (nginx, which answers 204) about each request",
			Ours: *rates["Kalpana"], Theirs: *rates[peer],
		}
	}
	return []line{
		l("auth_request", "nginx with auth_request as its manual has it, in front of the published port", 1.3),
		l("auth_request, tuned", "the same nginx with connections kept to the endpoint and to the container's own address (no bar)", 0),
		l("forward_auth", "Caddy's forward_auth in the same build, in front of the published port", 3),
		l("forward_auth, own address", "the same in front of the container's own address (no bar)", 0),
	}, nil
}

// forwardAuth starts the same build as a proxy that asks an endpoint first.
func (b *bench) forwardAuth(ctx context.Context, addr, token string, endpoint int) (int, error) {
	asking := fmt.Sprintf("\tforward_auth 127.0.0.1:%d {\n\t\turi /\n\t}\n", endpoint)
	p, port, err := startCaddy(ctx, b.binary, b.tempDir(), asking+toBackend(addr, token))
	if err != nil {
		return 0, err
	}
	b.atEnd(p.stop)
	return port, nil
}
