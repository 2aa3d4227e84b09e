package docker

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLogs_AreCleanAndShort(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	id := run(t, r, spec(t, r, `print \x1b[31mred\x1b[0m\x07\xff\t\u202ebidi\r\n 3`))
	eventually(t, "the container has ended", func() bool { return !inspect(t, id).State.Running })
	log, err := r.Logs(t.Context(), id, 100)
	if err != nil {
		t.Fatal(err)
	}
	const line = "red\ufffd\tbidi\n"
	if strings.Count(log, line) != 3 || strings.Count(log, "err\n") != 1 || len(log) != 3*len(line)+4 {
		t.Errorf("log: %q", log)
	}
	if log, err = r.Logs(t.Context(), id, 2); err != nil || strings.Count(log, "\n") != 2 {
		t.Errorf("two lines: %q, %v", log, err)
	}
	if log, err = r.Logs(t.Context(), id, 0); err != nil || log != "" {
		t.Errorf("no lines: %q, %v", log, err)
	}

	id = run(t, r, spec(t, r, "print 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\\n 4000"))
	eventually(t, "the container has ended", func() bool { return !inspect(t, id).State.Running })
	log, err = r.Logs(t.Context(), id, 100_000)
	if err != nil || len(log) > maxLogBytes || len(log) < maxLogBytes-200 || !utf8.ValidString(log) {
		t.Errorf("a long log: %d bytes, %v", len(log), err)
	}
}

func TestLogs_OfAContainerThatNeverRanAreEmpty(t *testing.T) {
	t.Parallel()
	r := prepared(t)
	if log, err := r.Logs(t.Context(), create(t, r, spec(t, r, "serve")), 10); err != nil || log != "" {
		t.Errorf("%q, %v", log, err)
	}
}

func TestClean_LeavesTextAlone(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                               "",
		"plain\ttext\n":                  "plain\ttext\n",
		"größer 日本 🙂\n":                  "größer 日本 🙂\n",
		"10%\r50%\r100%\r\ndone":         "10%\n50%\n100%\ndone",
		"\x1b]0;title\x07after":          "after",
		"\x1b]8;;http://x\x1b\\link":     "link",
		"\x1b[1;32mgreen\x1b[m":          "green",
		"\x1b(Bcharset \x1b=keypad \x1b": "charset keypad ",
		"\x00nul\x7fdel\u0085c1\u009b":   "nuldelc1",
		"\u202eevil\u2066":               "evil",
		"bad \xc3\x28 \xff\xfe":          "bad \ufffd( \ufffd",
	} {
		if got := clean([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	long := clean([]byte(strings.Repeat("é", maxLogBytes)))
	if len(long) > maxLogBytes || !utf8.ValidString(long) {
		t.Errorf("one long line: %d bytes", len(long))
	}
	if got := clean([]byte("\xff" + strings.Repeat("\xffa", maxLogBytes))); len(got) > maxLogBytes {
		t.Errorf("bad bytes grew to %d", len(got))
	}
}

func FuzzClean(f *testing.F) {
	f.Add([]byte("\x1b[31m\xff\u202e\r\n\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got := clean(in)
		if !utf8.ValidString(got) || len(got) > maxLogBytes {
			t.Fatalf("%d bytes, valid %v", len(got), utf8.ValidString(got))
		}
		for _, r := range got {
			if (r < ' ' && r != '\n' && r != '\t') || (r >= 0x7f && r < 0xa0) {
				t.Fatalf("control character %q", r)
			}
		}
	})
}
