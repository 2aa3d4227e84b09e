package docker

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Bounds of what Logs returns.
const (
	maxLogBytes = 64 << 10
	maxLogLines = 2000
)

// Logs returns the end of a container's output; see [orchestrator.Runtime].
func (r *Runtime) Logs(ctx context.Context, id string, lines int) (string, error) {
	if lines < 1 {
		return "", nil
	}
	if err := r.settle(ctx); err != nil {
		return "", err
	}
	if err := r.own(ctx, id); err != nil {
		return "", err
	}
	ctx, cancel := within(ctx, quickTimeout)
	defer cancel()
	out, err := r.api.ContainerLogs(ctx, id, container.LogsOptions{
		ShowStdout: true, ShowStderr: true, Tail: strconv.Itoa(min(lines, maxLogLines)),
	})
	if err != nil {
		return "", fault("read log", err)
	}
	defer out.Close() //nolint:errcheck // read to its end
	var end tail
	if _, err := stdcopy.StdCopy(&end, &end, out); err != nil {
		return "", fault("read log", err)
	}
	return clean(end.buf), nil
}

// tail keeps the last bytes that were written to it, twice maxLogBytes at most.
type tail struct{ buf []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*maxLogBytes {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-maxLogBytes:]...)
	}
	return len(p), nil
}

// escapes are terminal control sequences: CSI, OSC and two-byte ones (ECMA-48).
var escapes = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]?`)

// clean returns the end of a hostile log as at most maxLogBytes of valid UTF-8 in which the only
// control characters are newline and tab, and nothing changes the direction of text.
func clean(log []byte) string {
	text := escapes.ReplaceAllString(strings.ToValidUTF8(string(log), "\ufffd"), "")
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\r': // a progress bar: each state of it is a line
			return '\n'
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
	if len(text) <= maxLogBytes {
		return text
	}
	text = text[len(text)-maxLogBytes:]
	for !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	if _, rest, ok := strings.Cut(text, "\n"); ok && rest != "" {
		text = rest // the first line is only an end
	}
	return text
}
