package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
)

// rest is how long everything is left alone after a pause or a stop, so that what is done about it is over.
const rest = 300 * time.Millisecond

// benchPaused measures the first hit on a paused workspace.
func (b *bench) benchPaused(ctx context.Context) ([]line, error) {
	p, err := b.proxied(ctx)
	if err != nil {
		return nil, err
	}
	twin, addr, err := b.engine.runningTwin(ctx, p.box)
	if err != nil {
		return nil, err
	}
	l := line{
		Name: "paused", Unit: "ms", Peer: "unpause", Bar: 1.25, More: 10,
		What: "first hit on a paused workspace of cheap answers until the first byte of its answer, against telling the engine to resume\n" +
			"the same container, and asking it on its own address",
	}
	theirs := p.request("X-Kalpana-Token: " + p.box.token + "\r\n")
	err = b.alternate(ctx, "paused",
		end{"Kalpana", func(ctx context.Context) (string, error) {
			if err := p.pause(ctx); err != nil {
				return "", err
			}
			return noted(&l.Ours)(hitAtOnce(ctx, p.kalpana.addr, p.request(""), 1))
		}},
		end{"unpause", func(ctx context.Context) (string, error) {
			if err := b.engine.ContainerPause(ctx, twin); err != nil {
				return "", err
			}
			if err := pause(ctx, rest); err != nil {
				return "", err
			}
			start := time.Now()
			if err := b.engine.ContainerUnpause(ctx, twin); err != nil {
				return "", err
			}
			_, err := hitAtOnce(ctx, addr, theirs, 1)
			return noted(&l.Theirs)(since(start), err)
		}},
	)
	return []line{l}, errors.Join(err, b.engine.ContainerStop(ctx, twin, container.StopOptions{}))
}

// herd is how many come at once.
const herd = 500

// benchHerd measures when the last of many first hits that come at once is served.
func (b *bench) benchHerd(ctx context.Context) ([]line, error) {
	p, err := b.proxied(ctx)
	if err != nil {
		return nil, err
	}
	run := func(sleep func(context.Context) error, n int, figures *[]float64) func(context.Context) (string, error) {
		return func(ctx context.Context) (string, error) {
			if err := sleep(ctx); err != nil {
				return "", err
			}
			before, err := p.kalpana.cpuTime()
			if err != nil {
				return "", err
			}
			said, err := noted(figures)(hitAtOnce(ctx, p.kalpana.addr, p.request(""), n))
			if err != nil {
				return "", err
			}
			after, err := p.kalpana.cpuTime()
			return fmt.Sprintf("%s, %d ms of CPU in the gateway", said, (after - before).Milliseconds()), err
		}
	}
	var lines []line
	for _, from := range []struct {
		state string
		sleep func(context.Context) error
	}{{"paused", p.pause}, {"stopped", p.stop}} {
		l := line{
			Name: "herd", Unit: "ms", Left: fmt.Sprintf("the last of %d", herd), Peer: "one", Bar: 1.2,
			What: fmt.Sprintf("%d first hits at once on a %s workspace of cheap answers, on connections that are there, until the last has its\n"+
				"whole answer of 1 KiB, against one first hit", herd, from.state),
		}
		var awake, straight, ignored []float64
		if _, err := run(from.sleep, herd, &ignored)(ctx); err != nil { // the memory that so many need is there then
			return nil, err
		}
		err := b.alternate(ctx, "herd "+from.state, end{fmt.Sprint(herd), run(from.sleep, herd, &l.Ours)},
			end{fmt.Sprintf("%d while it runs", herd), run(p.running, herd, &awake)},
			end{fmt.Sprintf("%d without a gateway", herd), func(ctx context.Context) (string, error) {
				box, err := b.engine.find(ctx, p.id) // each start gives it another address
				if err != nil {
					return "", err
				}
				return noted(&straight)(hitAtOnce(ctx, box.own, p.request("X-Kalpana-Token: "+box.token+"\r\n"), herd))
			}}, end{"one", run(from.sleep, 1, &l.Theirs)})
		if err != nil {
			return nil, err
		}
		l.What += fmt.Sprintf("\n(%d at once on the same workspace while it runs: %s ms; straight to its container's address, without a gateway: %s ms)",
			herd, figures(awake), figures(straight))
		lines = append(lines, l)
	}
	return lines, nil
}

// noted adds a figure, in milliseconds, to the others.
func noted(figures *[]float64) func(float64, error) (string, error) {
	return func(took float64, err error) (string, error) {
		if err == nil {
			*figures = append(*figures, took)
		}
		return fmt.Sprintf("%.1f ms", took), err
	}
}

// pause waits until the workspace runs, and pauses it.
func (p *proxied) pause(ctx context.Context) error {
	if err := p.client.await(ctx, p.id, "running"); err != nil {
		return err
	}
	if err := p.client.pause(ctx, p.id); err != nil {
		return err
	}
	return pause(ctx, rest)
}

// running waits until the workspace runs and its wake has been dealt with.
func (p *proxied) running(ctx context.Context) error {
	if err := p.client.await(ctx, p.id, "running"); err != nil {
		return err
	}
	return pause(ctx, rest)
}

func (p *proxied) stop(ctx context.Context) error {
	if err := p.client.stop(ctx, p.id); err != nil {
		return err
	}
	return pause(ctx, settle)
}

// hitAtOnce sends the same request on n connections, and returns how long it took until each had its whole
// answer: 200 with 1 KiB. Connections are made, and whoever reads from them waits, before the clock starts.
func hitAtOnce(ctx context.Context, addr string, request []byte, n int) (took float64, err error) {
	var (
		readers sync.WaitGroup
		conns   []net.Conn
		faults  = make([]error, n)
	)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	})()
	for i := range n {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		conns = append(conns, conn)
		readers.Go(func() { faults[i] = readAnswer(bufio.NewReaderSize(conn, 2<<10)) })
	}
	start := time.Now()
	for _, conn := range conns {
		if _, err := conn.Write(request); err != nil {
			return 0, err
		}
	}
	readers.Wait()
	took = since(start)
	return took, errors.Join(faults...)
}

var lengthName = []byte("content-length:")

// readAnswer reads one answer, which must be 200 with 1 KiB. It reads HTTP by itself: net/http would compete with the
// proxy for the processor.
func readAnswer(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", line)
	}
	length := -1
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= len("\r\n") {
			break
		}
		if n := len(lengthName); len(line) > n && bytes.EqualFold(line[:n], lengthName) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[n:]))); err != nil {
				return err
			}
		}
	}
	if length != bodySize {
		return errors.New("the answer is not 1 KiB")
	}
	_, err = in.Discard(length)
	return err
}
