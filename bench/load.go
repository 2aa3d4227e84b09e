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
	"sync/atomic"
	"time"
)

const (
	connections = 32
	bodySize    = 1 << 10 // bytes, of the back end's answer
	warmUp      = 500 * time.Millisecond
)

// load is what one run found.
type load struct {
	requests int64
	wall     time.Duration
	cpu      time.Duration // of the process that was watched
}

func (l load) rate() float64      { return float64(l.requests) / l.wall.Seconds() }
func (l load) cpuMicros() float64 { return float64(l.cpu.Microseconds()) / float64(l.requests) }

// generate sends the same request over and over, on keep-alive connections, for a while. Each answer
// must be 200 with 1 KiB. It reads HTTP by itself: net/http would compete with the proxy for the
// processor.
func generate(ctx context.Context, addr string, request []byte, watched *process, d time.Duration) (load, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		done [connections]struct {
			atomic.Int64
			_ [56]byte // a cache line each
		}
		workers sync.WaitGroup
	)
	for i := range connections {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return load{}, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		workers.Go(func() {
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 8<<10)
			for {
				_, err := conn.Write(request)
				if err == nil {
					err = readAnswer(in)
				}
				if err != nil {
					cancel(err) // has no effect at the end of the run
					return
				}
				done[i].Add(1)
			}
		})
	}
	type moment struct {
		at       time.Time
		requests int64
		cpu      time.Duration
	}
	look := func() (m moment, err error) {
		if watched != nil {
			m.cpu, err = watched.cpuTime()
		}
		for i := range done {
			m.requests += done[i].Load()
		}
		m.at = time.Now()
		return m, err
	}
	measure := func() (load, error) {
		if err := pause(ctx, warmUp); err != nil {
			return load{}, err
		}
		from, err := look()
		if err != nil {
			return load{}, err
		}
		if err := pause(ctx, d); err != nil {
			return load{}, err
		}
		to, err := look()
		return load{to.requests - from.requests, to.at.Sub(from.at), to.cpu - from.cpu}, err
	}
	l, err := measure()
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(nil)
	workers.Wait()
	return l, err
}

var lengthName = []byte("content-length:")

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
