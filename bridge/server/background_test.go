package server

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// printed reads a started command's output to its end.
func printed(t *testing.T, cl *bridge.Client, id string) (text string, code int) {
	t.Helper()
	var all []byte
	for {
		r, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: id, Offset: int64(len(all)), WaitSeconds: 30})
		if err != nil {
			t.Fatal(err)
		}
		part, _ := r.Bytes()
		all = append(all, part...)
		if !r.Running && r.Next == r.Size {
			return string(all), r.ExitCode
		}
	}
}

func started(t *testing.T, cl *bridge.Client, command string, env ...string) string {
	t.Helper()
	r, err := cl.StartCommand(t.Context(), bridge.StartCommandParams{Command: command, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

func TestBackground_ACommandOutlivesTheConnectionThatStartedIt(t *testing.T) {
	c := start(t, "serve")
	first := c.dial()
	id := started(t, first, `echo one; while [ ! -e go ]; do sleep 0.01; done; echo "two $WORD" >&2; exit 3`, "WORD=words")
	if r, err := first.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: id, WaitSeconds: 30}); err != nil || r.Content != "one\n" || !r.Running {
		t.Fatalf("%+v, %v", r, err)
	}
	_ = first.Close()
	cl := c.dial()
	c.write("go", "")
	if text, code := printed(t, cl, id); text != "one\ntwo words\n" || code != 3 {
		t.Errorf("%q, code %d", text, code)
	}
	r, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: id, Offset: -6, Limit: 5})
	if err != nil || r.Content != "words" || r.Offset != 8 || r.Next != 13 || r.Size != 14 {
		t.Errorf("the end: %+v, %v", r, err)
	}
	list, err := cl.ListCommands(t.Context())
	if err != nil || len(list.Commands) != 1 || list.Commands[0].ID != id || list.Commands[0].Running || list.Commands[0].ExitCode != 3 || !strings.Contains(list.Commands[0].Command, "echo one") {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestBackground_StopEndsTheWholeGroup(t *testing.T) {
	t.Parallel()
	c := start(t, "serve")
	cl := c.dial()
	for name, command := range map[string]string{
		"one that heeds SIGTERM":  `sleep 1000 & echo $!; wait`,
		"one that does not":       `trap "" TERM; sleep 1000 & echo $!; while :; do wait; done`,
		"one that leaves a child": `(trap "" TERM; sleep 1000) & echo $!; trap "exit 7" TERM; while :; do sleep 0.01; done`,
	} {
		t.Run(name, func(t *testing.T) {
			id := started(t, cl, command)
			r, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: id, WaitSeconds: 30})
			if err != nil {
				t.Fatal(err)
			}
			child, err := strconv.Atoi(strings.TrimSpace(r.Content))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cl.StopCommand(t.Context(), bridge.StopCommandParams{ID: id}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "its child ends", func() bool { return !alive(procDir, child) })
			if r, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: id}); err != nil || r.Running || r.ExitCode == 0 {
				t.Errorf("%+v, %v", r, err)
			}
			if _, err := cl.StopCommand(t.Context(), bridge.StopCommandParams{ID: id}); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestBackground_NothingOutlivesTheBridge(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := started(t, cl, `trap "" TERM; echo $$; sleep 1000`)
	r, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: id, WaitSeconds: 30})
	if err != nil {
		t.Fatal(err)
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(r.Content))
	if err := c.stop(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it ends", func() bool { return pid > 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) })
	if left, _ := filepath.Glob(filepath.Join(c.cfg.RunDir, "kalpana-commands-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBackground_ParametersAreChecked(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := started(t, cl, "true")
	begin := func(p bridge.StartCommandParams) error { _, err := cl.StartCommand(t.Context(), p); return err }
	output := func(p bridge.CommandOutputParams) error { _, err := cl.CommandOutput(t.Context(), p); return err }
	_, stop := cl.StopCommand(t.Context(), bridge.StopCommandParams{ID: "nope"})
	for name, tc := range map[string]struct{ got, want error }{
		"nothing to start":     {begin(bridge.StartCommandParams{}), bridge.ErrInvalid},
		"no such program":      {begin(bridge.StartCommandParams{Argv: []string{"no-such-program"}}), bridge.ErrNotFound},
		"outside":              {begin(bridge.StartCommandParams{Command: "pwd", Cwd: ".."}), bridge.ErrOutside},
		"a variable without =": {begin(bridge.StartCommandParams{Command: "true", Env: []string{"A"}}), bridge.ErrInvalid},
		"a variable with NUL":  {begin(bridge.StartCommandParams{Command: "true", Env: []string{"A=\x00"}}), bridge.ErrInvalid},
		"many variables":       {begin(bridge.StartCommandParams{Command: "true", Env: make([]string, bridge.MaxEnv+1)}), bridge.ErrTooLarge},
		"output of none":       {output(bridge.CommandOutputParams{ID: "nope\n"}), bridge.ErrNotFound},
		"a long wait":          {output(bridge.CommandOutputParams{ID: id, WaitSeconds: bridge.MaxWaitSeconds + 1}), bridge.ErrInvalid},
		"too much at a time":   {output(bridge.CommandOutputParams{ID: id, Limit: bridge.MaxOutput + 1}), bridge.ErrInvalid},
		"stop of none":         {stop, bridge.ErrNotFound},
	} {
		if !errors.Is(tc.got, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.got, tc.want)
		}
	}
	if list, err := cl.ListCommands(t.Context()); err != nil || len(list.Commands) != 1 {
		t.Errorf("commands that did not start are listed: %+v, %v", list, err)
	}
}

func TestBackground_ThereIsALimitAndTheOldestThatEndedGoes(t *testing.T) {
	t.Parallel()
	c := start(t, "serve")
	cl := c.dial()
	ended := started(t, cl, "true")
	printed(t, cl, ended)
	var ids []string
	for range bridge.MaxCommands {
		r, err := cl.StartCommand(t.Context(), bridge.StartCommandParams{Argv: []string{"sleep", "1000"}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	if _, err := cl.StartCommand(t.Context(), bridge.StartCommandParams{Argv: []string{"true"}}); !errors.Is(err, bridge.ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	var all sync.WaitGroup
	for _, id := range ids {
		all.Go(func() {
			own := c.dial()
			if _, err := own.StopCommand(t.Context(), bridge.StopCommandParams{ID: id}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := cl.StartCommand(t.Context(), bridge.StartCommandParams{Argv: []string{"true"}}); err != nil {
		t.Error(err)
	}
	if _, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: ended}); !errors.Is(err, bridge.ErrNotFound) {
		t.Errorf("the oldest: %v", err)
	}
}

func TestCommandLog_KeepsTheStartAndTheEnd(t *testing.T) {
	for name, limit := range map[string]int64{"in memory": 1000, "in a file": 2 * logMemory} {
		path := filepath.Join(t.TempDir(), "log")
		l := newCommandLog(path)
		l.limit = limit
		var want bytes.Buffer
		for i := range 100_000 {
			line := fmt.Sprintf("%d\n", i)
			want.WriteString(line)
			if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
				t.Fatalf("%d, %v", n, err)
			}
		}
		total := int64(want.Len())
		for _, tc := range []struct{ offset, at, n int64 }{
			{0, 0, limit},
			{limit - 10, limit - 10, 10},
			{limit, total - bridge.MaxOutput, bridge.MaxOutput}, // what is between is gone
			{total - 5, total - 5, 5},
			{-5, total - 5, 5},
			{total + 10, total, 0},
			{-total - 10, 0, limit},
		} {
			part, at, size, _, err := l.read(tc.offset, bridge.MaxOutput)
			if err != nil || at != tc.at || size != total || string(part) != want.String()[tc.at:tc.at+tc.n] {
				t.Errorf("%s, from %d: %d bytes at %d of %d, %v; want %d at %d of %d", name, tc.offset, len(part), at, size, err, tc.n, tc.at, total)
			}
		}
		info, err := os.Stat(path)
		if limit > logMemory && (err != nil || info.Size() != limit) || limit < logMemory && err == nil {
			t.Errorf("%s: the file: %v, %v", name, info, err)
		}
		l.remove()
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: it is still there", name)
		}
	}
}

func TestCommandLog_WithoutADiskMemoryHasToDo(t *testing.T) {
	l := newCommandLog("")
	defer l.remove()
	for range 100 {
		if n, err := l.Write(make([]byte, logMemory)); n != logMemory || err != nil {
			t.Fatal(err)
		}
	}
	if part, at, size, _, err := l.read(-3, 10); err != nil || len(part) != 3 || at != size-3 || size != 100*logMemory {
		t.Errorf("%d bytes at %d of %d, %v", len(part), at, size, err)
	}
}

func TestBackground_AGigabyteOfOutputHoldsUpNobody(t *testing.T) {
	c := start(t, "serve")
	cl := c.dial()
	id := started(t, cl, "head -c 1G /dev/zero; echo end")
	for begin := time.Now(); ; {
		if _, err := cl.Health(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := cl.CommandOutput(t.Context(), bridge.CommandOutputParams{ID: id, Offset: -4})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Running {
			if r.Size != 1<<30+4 || r.Content != "end\n" {
				t.Errorf("%d bytes, ending with %q", r.Size, r.Content)
			}
			return
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("%d bytes in a minute", r.Size)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
