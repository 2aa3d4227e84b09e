package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// chromium is a running browser that a script drives, one JSON object a line each way.
type chromium struct {
	*process
	in  io.WriteCloser
	out *bufio.Scanner
}

func startChromium(ctx context.Context) (*chromium, error) {
	cmd := exec.Command("node", "bench/chromium/workbench.mjs")
	cmd.Env = os.Environ()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not cmd.StdoutPipe: waiting for the process would close that one too early.
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = write
	c := &chromium{in: in, out: bufio.NewScanner(read)}
	c.process, err = startProcess(cmd)
	_ = write.Close()
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = in.Close() })
	return c, c.answer() // the browser is up
}

// prepare opens a tab of a fresh profile that has the cookies of a host.
func (c *chromium) prepare(host string, cookies map[string]string) error {
	return c.ask(map[string]any{"do": "prepare", "host": host, "cookies": cookies})
}

// visit navigates, and notes when the workbench is visible and when its explorer is filled, in
// milliseconds since start.
func (c *chromium) visit(start time.Time, address string, visible, filled *[]float64) (string, error) {
	if err := c.ask(map[string]any{"do": "visit", "address": address}); err != nil {
		return "", err
	}
	first := since(start)
	if err := c.ask(map[string]any{"do": "fill"}); err != nil {
		return "", err
	}
	second := since(start)
	*visible, *filled = append(*visible, first), append(*filled, second)
	return fmt.Sprintf("%.0f ms, with files %.0f ms", first, second), nil
}

// close closes the tab and forgets its profile.
func (c *chromium) close() error { return c.ask(map[string]any{"do": "close"}) }

func (c *chromium) ask(what map[string]any) error {
	raw, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if _, err := c.in.Write(append(raw, '\n')); err != nil {
		return err
	}
	return c.answer()
}

func (c *chromium) answer() error {
	if !c.out.Scan() {
		<-c.exited
		return fmt.Errorf("the script that drives Chromium ended:\n%s", c.log.Tail())
	}
	var said struct{ Error string }
	if err := json.Unmarshal(c.out.Bytes(), &said); err != nil {
		return err
	}
	if said.Error != "" {
		return errors.New(said.Error)
	}
	return nil
}

// stop closes the browser with the script's input.
func (c *chromium) stop() {
	_ = c.in.Close()
	c.process.stop()
}
