package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// spareFiles are the files that a gateway has open for other things.
	spareFiles = 300
	// calm is how long a process rests before its memory is looked at: Go gives it back little by little.
	calm    = 5 * time.Second
	dialers = 32 // at once
)

// benchSockets measures how much memory a WebSocket costs on which nothing happens.
func (b *bench) benchSockets(ctx context.Context) ([]line, error) {
	n := 10_000
	if b.short {
		n = 1000
	}
	n, err := raiseFileLimit(n)
	if err != nil {
		return nil, err
	}
	b.quiet()
	p, err := b.proxied(ctx)
	if err != nil {
		return nil, err
	}
	l := line{
		Name: "sockets", Unit: "KiB each", Peer: "reverse_proxy", Bar: 1,
		What: fmt.Sprintf("%d WebSockets on which nothing happens: by how much they make the gateway's process grow (resident memory after a\n"+
			"garbage collection), in a new process each time, against the same reverse_proxy", n),
	}
	p.gateway.stop()
	p.caddy.stop()
	dir := b.tempDir()
	said := func(each float64, figures *[]float64, err error) (string, error) {
		if err == nil {
			*figures = append(*figures, each)
		}
		return fmt.Sprintf("%.1f KiB each", each), err
	}
	err = b.alternate(ctx, "sockets",
		end{"Kalpana", func(ctx context.Context) (string, error) {
			if err := p.gateway.start(); err != nil {
				return "", err
			}
			defer p.gateway.stop()
			each, err := p.idle(ctx, p.gateway.process, p.kalpana.addr, p.gateway.admin, n)
			return said(each, &l.Ours, err)
		}},
		end{"reverse_proxy", func(ctx context.Context) (string, error) {
			caddy, port, err := startCaddy(ctx, b.binary, dir, toBackend(p.box.own, p.box.token))
			if err != nil {
				return "", err
			}
			defer caddy.stop()
			each, err := p.idle(ctx, caddy, fmt.Sprintf("127.0.0.1:%d", port), filepath.Join(dir, "admin.sock"), n)
			return said(each, &l.Theirs, err)
		}},
	)
	b.quiet() // what others would find is not there any more
	return []line{l}, err
}

// raiseFileLimit lets this process, and those that it starts, open the files that a gateway needs for n
// WebSockets, which are two each; or returns for how many there are enough.
func raiseFileLimit(n int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	need := uint64(2*n + spareFiles)
	if limit.Cur < need {
		raised := syscall.Rlimit{Cur: need, Max: max(limit.Max, need)}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil { // we may not
			limit.Cur = limit.Max
			return min(n, int(limit.Max-spareFiles)/2), syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
		}
	}
	return n, nil
}

// idle opens n WebSockets through a gateway that has just been started, and returns by how much its memory grew for
// each, in KiB.
func (p *proxied) idle(ctx context.Context, gateway *process, addr, admin string, n int) (float64, error) {
	err := gateway.await(ctx, func() error {
		_, err := hitAtOnce(ctx, addr, p.request(""), 1)
		return err
	})
	if err != nil {
		return 0, err
	}
	before, err := gateway.memory(ctx, admin)
	if err != nil {
		return 0, err
	}
	conns := make([]net.Conn, n)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	}()
	request := p.request("Origin: http://" + p.host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: a2FscGFuYS1iZW5jaC1rZXk=\r\n")
	var workers sync.WaitGroup
	faults := make(chan error, dialers)
	for first := range dialers {
		workers.Go(func() {
			for i := first; i < n; i += dialers {
				var err error
				if conns[i], err = openSocket(ctx, addr, request); err != nil {
					faults <- fmt.Errorf("WebSocket %d: %w", i, err)
					return
				}
			}
		})
	}
	workers.Wait()
	select {
	case err := <-faults:
		return 0, err
	default:
	}
	after, err := gateway.memory(ctx, admin)
	return (after - before) / float64(n), err
}

// openSocket makes a connection and has it become a WebSocket.
func openSocket(ctx context.Context, addr string, request []byte) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err = conn.Write(request); err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(bufio.NewReaderSize(conn, 1<<10), nil); err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
			err = fmt.Errorf("answered %s", resp.Status)
		}
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// memory returns the resident memory of a process in KiB, once it has collected its garbage.
func (p *process) memory(ctx context.Context, admin string) (float64, error) {
	for range 2 { // what a finalizer lets go of is collected the second time
		if _, err := heap(ctx, admin); err != nil {
			return 0, err
		}
		if err := pause(ctx, calm/2); err != nil {
			return 0, err
		}
	}
	return p.resident()
}

// resident returns the resident memory of a process in KiB, its garbage included.
func (p *process) resident() (float64, error) {
	for text := range strings.Lines(read(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))) {
		if amount, ok := strings.CutPrefix(text, "VmRSS:"); ok {
			return strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(amount), "kB")), 64)
		}
	}
	return 0, fmt.Errorf("cannot read /proc/%d/status", p.cmd.Process.Pid)
}

// inUse returns what a process uses of its heap and stacks in KiB, once it has collected its garbage.
func (p *process) inUse(ctx context.Context, admin string) (float64, error) {
	text, err := heap(ctx, admin)
	if err != nil {
		return 0, err
	}
	var sum float64
	for line := range strings.Lines(text) {
		for _, name := range []string{"# HeapAlloc = ", "# Stack = "} { // bytes; of stacks those in use, and of the system
			if amount, ok := strings.CutPrefix(line, name); ok {
				amount, _, _ = strings.Cut(strings.TrimSpace(amount), " ")
				n, err := strconv.ParseFloat(amount, 64)
				if err != nil {
					return 0, err
				}
				sum += n / 1024
			}
		}
	}
	if sum == 0 {
		return 0, errors.New("the gateway does not say what it uses")
	}
	return sum, nil
}

// heap has a process collect its garbage, and returns what it says of its heap.
func heap(ctx context.Context, admin string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", admin)
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/debug/pprof/heap?gc=1&debug=1", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
