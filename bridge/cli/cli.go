// Package cli is the command "kalpana" inside a workspace. It speaks with the bridge of its container alone.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const help = `kalpana works on the workspace that it runs in.

  kalpana keep-alive <time>   keep this workspace awake for so long, whatever happens: 30m, 2h, 1h30m, 1d
  kalpana keep-alive off      no longer: it sleeps again when nobody uses it
  kalpana status              what it was used for last, and how long it is kept awake
  kalpana help                this text

A workspace is kept awake for 24 hours at most, and never longer than your operator lets it be (max_awake).
Stopping it ends that too.
`

// timeout bounds one question to the bridge.
const timeout = 10 * time.Second

// answerLimit bounds what the bridge may answer, in bytes.
const answerLimit = 64 << 10

// usageError says that the arguments are not to be understood.
type usageError string

func (e usageError) Error() string { return string(e) }

// Run runs the command with its arguments, against the bridge on the Unix socket, and returns its exit code: 0, 1
// when it did not work, 2 when it was not understood.
func Run(args []string, socket string, stdin io.Reader, stdout, stderr io.Writer) int {
	text, err := run(args, local{socket}, stdin)
	var usage usageError
	switch {
	case err == nil:
		_, _ = io.WriteString(stdout, text)
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "kalpana: %s\n\n%s", usage, help)
		return 2
	default:
		fmt.Fprintf(stderr, "kalpana: %v\n", err)
		return 1
	}
}

func run(args []string, at local, stdin io.Reader) (string, error) {
	if len(args) == 0 {
		return help, nil
	}
	switch command, args := args[0], args[1:]; {
	case command == "help" || command == "--help" || command == "-h":
		return help, nil
	case command == "status" && len(args) == 0:
		s, err := ask[bridge.LocalStatus](at, timeout, http.MethodGet, bridge.LocalStatusPath, nil)
		if err != nil {
			return "", err
		}
		return status(s, time.Now()), nil
	case command == "git-credential" && len(args) == 1: // git's, not people's
		return gitCredential(at, args[0], stdin)
	case command == "keep-alive" && len(args) == 1:
		return keepAlive(at, args[0])
	case command == "keep-alive":
		return "", usageError("keep-alive needs a time, such as 2h, or off")
	case command == "status":
		return "", usageError("status takes no arguments")
	default:
		return "", usageError("there is no command " + strconv.Quote(command))
	}
}

func keepAlive(at local, arg string) (string, error) {
	if arg == "off" || arg == "0" {
		if _, err := ask[bridge.LocalStatus](at, timeout, http.MethodDelete, bridge.LocalKeepAlivePath, nil); err != nil {
			return "", err
		}
		return "No longer kept awake: this workspace sleeps again when nobody uses it.\n", nil
	}
	d, err := duration(arg)
	if err != nil {
		return "", err
	}
	s, err := ask[bridge.LocalStatus](at, timeout, http.MethodPut, bridge.LocalKeepAlivePath, bridge.KeepAliveRequest{Seconds: d.Seconds()})
	if err != nil {
		return "", err
	}
	text := keptAwake(s.Activity.KeptAwake(), time.Now()) + "\n"
	if d > bridge.MaxKeepAlive {
		text += "That is the longest there is. Ask again when it is over.\n"
	}
	return text, nil
}

// duration reads a time as people write it: as Go does, and with days in front.
func duration(arg string) (time.Duration, error) {
	wrong := usageError(strconv.Quote(arg) + " is no time: write it as 30m, 2h, 1h30m or 1d, or write off")
	var days time.Duration
	rest := arg
	if before, after, ok := strings.Cut(arg, "d"); ok {
		n, err := strconv.ParseUint(before, 10, 8)
		if err != nil {
			return 0, wrong
		}
		days, rest = time.Duration(n)*24*time.Hour, after //nolint:gosec // eight bits of days
	}
	var d time.Duration
	if rest != "" || days == 0 {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, wrong
		}
	}
	if d += days; d < time.Second {
		return 0, wrong
	}
	return d, nil
}

func status(s *bridge.LocalStatus, now time.Time) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Workspace %s\n", s.Workspace)
	if d := s.Activity.KeptAwake(); d > 0 {
		fmt.Fprintln(&out, keptAwake(d, now))
	}
	if len(s.Activity.Last) == 0 {
		fmt.Fprintln(&out, "Nobody has used VS Code or a terminal since it started.")
	}
	for _, l := range s.Activity.Last {
		fmt.Fprintf(&out, "%-10s %s ago\n", l.Name, short(l.Since()))
	}
	return out.String()
}

func keptAwake(d time.Duration, now time.Time) string {
	return fmt.Sprintf("Kept awake for %s, until %s.", short(d), now.Add(d).Format("15:04 MST"))
}

// short is a duration to the second, and without zero parts at its end.
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// local asks the bridge.
type local struct{ socket string }

func ask[T any](l local, timeout time.Duration, method, path string, in any) (*T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://bridge"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.socket)
	}}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("the workspace's bridge does not answer. This command works inside a Kalpana workspace only (%w)", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("the workspace's bridge broke off its answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		reason := strings.TrimSpace(bridge.Printable(string(bytes.TrimSpace(text)), 600))
		if resp.StatusCode == http.StatusForbidden { // a person's or the gateway's word, in a sentence
			return nil, errors.New(reason)
		}
		return nil, fmt.Errorf("the workspace's bridge refused: %s", reason)
	}
	s := new(T)
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("the workspace's bridge gave an answer that is not to be understood: %w", err)
	}
	return s, nil
}
