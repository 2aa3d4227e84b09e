package server

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// late is a writer that is not there in time, as on a machine that is busy.
type late struct {
	bytes.Buffer
	slept bool
}

func (l *late) Write(p []byte) (int, error) {
	if !l.slept {
		time.Sleep(leftOpen + 200*time.Millisecond)
		l.slept = true
	}
	return l.Buffer.Write(p)
}

func TestOutlet_WhatACommandPrintedIsNotLostOnABusyMachine(t *testing.T) {
	t.Parallel()
	// The sleeping child has the output open, so that its end does not come.
	cmd := exec.Command("bash", "-c", "sleep 3 & echo first; head -c 60000 /dev/zero | tr '\\0' x; echo last >&2")
	var stdout late
	var stderr bytes.Buffer
	end, err := startWith(cmd, &stdout, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	end()
	if got := stdout.String(); len(got) != 60006 || !strings.HasPrefix(got, "first\nxxx") || stderr.String() != "last\n" {
		t.Errorf("%d bytes, and %q", len(got), stderr.String())
	}
}

func TestOutlet_WhoPrintsForEverInTheBackgroundIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("bash", "-c", "yes & echo $$ >/dev/null")
	var out bytes.Buffer
	end, err := startWith(cmd, &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	end() // it ends: yes gets SIGPIPE
	if out.Len() == 0 {
		t.Error("nothing was printed")
	}
}
