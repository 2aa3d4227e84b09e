package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// callSlack is what a call may take beyond the time that its method has, before the client cancels it.
const callSlack = 15 * time.Second

// Health asks how the container is. Like every call it ends by itself when the container does not answer.
func (c *Client) Health(ctx context.Context) (*HealthResult, error) {
	return ask(ctx, c, MethodHealth, 0, &HealthParams{}, (*HealthResult).check)
}

// ReadFile reads a regular file, or a part of it. See ReadFileParams and the named errors.
func (c *Client) ReadFile(ctx context.Context, p ReadFileParams) (*ReadFileResult, error) {
	return ask(ctx, c, MethodReadFile, 0, &p, func(r *ReadFileResult) error { return r.check(&p) })
}

// WriteFile replaces or makes a file.
func (c *Client) WriteFile(ctx context.Context, p WriteFileParams) (*WriteFileResult, error) {
	content, err := DecodeContent(p.Content, p.Encoding)
	if err != nil {
		return nil, err
	}
	p.Content, p.Encoding = EncodeContent(content)
	return ask(ctx, c, MethodWriteFile, 0, &p, func(r *WriteFileResult) error {
		if r.Size != int64(len(content)) {
			return fmt.Errorf("wrote %d bytes of %d", r.Size, len(content))
		}
		return checkVersion(r.Version)
	})
}

// EditFile replaces exact texts in a file, all or none. An edit that cannot be made is ErrInvalid, with the
// reason; a file that is not as it was read is ErrChanged.
func (c *Client) EditFile(ctx context.Context, p EditFileParams) (*EditFileResult, error) {
	return ask(ctx, c, MethodEditFile, 0, &p, (*EditFileResult).check)
}

// Glob finds files by their names.
func (c *Client) Glob(ctx context.Context, p GlobParams) (*GlobResult, error) {
	return ask(ctx, c, MethodGlob, 30*time.Second, &p, func(r *GlobResult) error {
		return checkEntries(r.Entries, p.Limit)
	})
}

// ListFiles lists a folder.
func (c *Client) ListFiles(ctx context.Context, p ListFilesParams) (*ListFilesResult, error) {
	return ask(ctx, c, MethodListFiles, 30*time.Second, &p, func(r *ListFilesResult) error { return r.check(&p) })
}

// RunCommand runs a command and waits for its end. A command that fails is no error: see ExitCode.
func (c *Client) RunCommand(ctx context.Context, p RunCommandParams) (*RunCommandResult, error) {
	limit := time.Duration(p.TimeoutSeconds) * time.Second
	if p.TimeoutSeconds <= 0 || p.TimeoutSeconds > MaxTimeoutSeconds {
		limit = DefaultTimeoutSeconds * time.Second
	}
	return ask(ctx, c, MethodRunCommand, limit, &p, (*RunCommandResult).check)
}

// StartCommand starts a command that nobody waits for.
func (c *Client) StartCommand(ctx context.Context, p StartCommandParams) (*StartCommandResult, error) {
	return ask(ctx, c, MethodStartCommand, 0, &p, func(r *StartCommandResult) error { return checkCommandID(r.ID) })
}

// CommandOutput returns a part of what a started command has printed. One that is not known, or no longer,
// is ErrNotFound.
func (c *Client) CommandOutput(ctx context.Context, p CommandOutputParams) (*CommandOutputResult, error) {
	wait := time.Duration(min(max(p.WaitSeconds, 0), MaxWaitSeconds)) * time.Second
	return ask(ctx, c, MethodCommandOutput, wait, &p, func(r *CommandOutputResult) error { return r.check(&p) })
}

// StopCommand ends a started command.
func (c *Client) StopCommand(ctx context.Context, p StopCommandParams) (*StopCommandResult, error) {
	return ask(ctx, c, MethodStopCommand, 10*time.Second, &p, func(r *StopCommandResult) error { return checkExitCode(r.ExitCode) })
}

// ListCommands lists started commands.
func (c *Client) ListCommands(ctx context.Context) (*ListCommandsResult, error) {
	return ask(ctx, c, MethodListCommands, 0, &ListCommandsParams{}, (*ListCommandsResult).check)
}

// CreateTerminal starts a program in a terminal.
func (c *Client) CreateTerminal(ctx context.Context, p CreateTerminalParams) (*CreateTerminalResult, error) {
	return ask(ctx, c, MethodCreateTerminal, 0, &p, func(r *CreateTerminalResult) error { return checkCommandID(r.ID) })
}

// CloseTerminal ends a terminal.
func (c *Client) CloseTerminal(ctx context.Context, p CloseTerminalParams) (*CloseTerminalResult, error) {
	return ask(ctx, c, MethodCloseTerminal, 10*time.Second, &p, func(*CloseTerminalResult) error { return nil })
}

// ListTerminals lists the terminals that are open.
func (c *Client) ListTerminals(ctx context.Context) (*ListTerminalsResult, error) {
	return ask(ctx, c, MethodListTerminals, 0, &ListTerminalsParams{}, (*ListTerminalsResult).check)
}

// SearchCode searches the contents of files. A query that is not a valid expression is ErrInvalid, with
// ripgrep's reason.
func (c *Client) SearchCode(ctx context.Context, p SearchCodeParams) (*SearchCodeResult, error) {
	limit := time.Duration(p.TimeoutSeconds) * time.Second
	if p.TimeoutSeconds <= 0 || p.TimeoutSeconds > MaxSearchSeconds {
		limit = DefaultSearchSeconds * time.Second
	}
	return ask(ctx, c, MethodSearchCode, limit, &p, func(r *SearchCodeResult) error { return r.check(&p) })
}

// ask makes a call that ends within its method's time, from when it has a place, and checks the result. Limit is 0
// for a method that is answered at once.
func ask[P, R any](ctx context.Context, c *Client, method string, limit time.Duration, params *P, check func(*R) error) (*R, error) {
	give, err := c.take(ctx, limit > 0)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit+callSlack)
	defer cancel()
	result := new(R)
	if err := c.call(ctx, give, method, params, result); err != nil {
		if errors.Is(err, ErrUnknownMethod) { // the container's answer: each name here is in this side's table
			err = fmt.Errorf("%w: %s: %w", ErrOldBridge, method, err)
		}
		return nil, err
	}
	if err := check(result); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrBadAnswer, method, err)
	}
	return result, nil
}

// The checks below look at what a container answered: nothing in it has been true just because it is there.

func (r *HelloResult) check() error {
	if len(r.Methods) > maxNames || len(r.Features) > maxNames {
		return errors.New("too many names")
	}
	r.Version = Printable(r.Version, 64)
	for _, names := range [][]string{r.Methods, r.Features} {
		for i, name := range names {
			names[i] = Printable(name, 64)
		}
	}
	return nil
}

// maxNames bounds the lists of a HelloResult.
const maxNames = 200

func (r *HealthResult) check() error {
	r.Version = Printable(r.Version, 64)
	switch r.Editor {
	case EditorStarting, EditorRunning, EditorFailed:
	default:
		return fmt.Errorf("no such editor state")
	}
	return notNegative(r.UptimeSeconds)
}

func (r *ReadFileResult) check(p *ReadFileParams) error {
	content, err := r.Bytes()
	if err != nil {
		return err
	}
	if p.Limit > 0 && int64(len(content)) > p.Limit {
		return fmt.Errorf("%d bytes where %d were asked for", len(content), p.Limit)
	}
	if err := checkVersion(r.Version); err != nil {
		return err
	}
	return errors.Join(notNegative(r.Size), notNegative(int64(r.TotalLines)))
}

// checkVersion looks at the form of a file's version.
func checkVersion(v string) error {
	if v == "" || len(v) > 128 || Printable(v, 128) != v {
		return errors.New("no version of a file")
	}
	return nil
}

func (r *EditFileResult) check() error {
	if len(r.Diff) > MaxDiff {
		return errors.New("a diff above the limit")
	}
	if r.Replaced < 1 {
		return errors.New("nothing was replaced")
	}
	if err := checkVersion(r.Version); err != nil {
		return err
	}
	return notNegative(r.Size)
}

func (r *ListFilesResult) check(p *ListFilesParams) error { return checkEntries(r.Entries, p.Limit) }

func checkEntries(entries []FileEntry, limit int) error {
	if err := count(len(entries), limit, DefaultEntries, MaxEntries); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		var err error
		if e.Path, err = checkPath(e.Path); err != nil {
			return err
		}
		switch e.Type {
		case TypeFile, TypeDir, TypeSymlink, TypeOther:
		default:
			return fmt.Errorf("no such type of file")
		}
		if err := notNegative(e.Size); err != nil {
			return err
		}
	}
	return nil
}

func (r *RunCommandResult) check() error {
	if len(r.Stdout) > maxOutputText || len(r.Stderr) > maxOutputText {
		return fmt.Errorf("output above the limit")
	}
	if r.Log != "" {
		if err := checkCommandID(r.Log); err != nil {
			return err
		}
	}
	return errors.Join(checkExitCode(r.ExitCode), notNegative(r.DurationMs))
}

func checkExitCode(code int) error {
	if code < -1 || code > 255 {
		return fmt.Errorf("exit code %d", code)
	}
	return nil
}

func checkCommandID(id string) error {
	if id == "" || len(id) > 64 || Printable(id, 64) != id {
		return errors.New("no id of a command")
	}
	return nil
}

func (r *CommandOutputResult) check(p *CommandOutputParams) error {
	content, err := r.Bytes()
	if err != nil {
		return err
	}
	limit := p.Limit
	if limit <= 0 {
		limit = MaxOutput
	}
	switch {
	case len(content) > limit:
		return fmt.Errorf("%d bytes where %d were asked for", len(content), limit)
	case r.Offset < max(p.Offset, 0) && r.Offset != r.Size, r.Next != r.Offset+int64(len(content)), r.Size < r.Next:
		return errors.New("a part that is not of the whole")
	}
	return checkExitCode(r.ExitCode)
}

func (r *ListTerminalsResult) check() error {
	if len(r.Terminals) > MaxTerminals {
		return fmt.Errorf("%d terminals", len(r.Terminals))
	}
	for i := range r.Terminals {
		t := &r.Terminals[i]
		t.Command = Printable(t.Command, MaxCommandText)
		if err := errors.Join(checkCommandID(t.ID), notNegative(int64(t.Viewers))); err != nil {
			return err
		}
	}
	return nil
}

func (r *ListCommandsResult) check() error {
	if len(r.Commands) > 2*MaxCommands {
		return fmt.Errorf("%d commands", len(r.Commands))
	}
	for i := range r.Commands {
		c := &r.Commands[i]
		c.Command = Printable(c.Command, MaxCommandText)
		if err := errors.Join(checkCommandID(c.ID), checkExitCode(c.ExitCode), notNegative(c.Size)); err != nil {
			return err
		}
	}
	return nil
}

// maxOutputText is MaxOutput and the line about what is missing.
const maxOutputText = MaxOutput + 128

func (r *SearchCodeResult) check(p *SearchCodeParams) error {
	if err := count(len(r.Matches), p.Limit, DefaultMatches, MaxMatches); err != nil {
		return err
	}
	for i := range r.Matches {
		m := &r.Matches[i]
		var err error
		if m.Path, err = checkPath(m.Path); err != nil {
			return err
		}
		if m.Line < 1 || m.Column < 1 {
			return fmt.Errorf("line %d, column %d", m.Line, m.Column)
		}
		if len(m.Text) > MaxMatchText {
			return fmt.Errorf("text above the limit")
		}
		m.Text = printable(m.Text, MaxMatchText, "\t")
		for _, lines := range [][]string{m.Before, m.After} {
			if len(lines) > p.Context {
				return fmt.Errorf("%d lines around a match where %d were asked for", len(lines), p.Context)
			}
			for i, line := range lines {
				if len(line) > MaxMatchText {
					return fmt.Errorf("a line above the limit")
				}
				lines[i] = printable(line, MaxMatchText, "\t")
			}
		}
	}
	return nil
}

func notNegative(n int64) error {
	if n < 0 {
		return fmt.Errorf("a negative number")
	}
	return nil
}

// count checks the length of a list against the limit that was asked for.
func count(n, limit, byDefault, most int) error {
	if limit <= 0 {
		limit = byDefault
	}
	if n > min(limit, most) {
		return fmt.Errorf("%d entries where %d were asked for", n, min(limit, most))
	}
	return nil
}

// checkPath returns a relative path inside the workspace folder, fit to be shown.
func checkPath(p string) (string, error) {
	if p == "" || len(p) > MaxPath || p[0] == '/' || p == ".." || strings.HasPrefix(p, "../") ||
		strings.HasSuffix(p, "/..") || strings.Contains(p, "/../") {
		return "", fmt.Errorf("a path outside the workspace")
	}
	return Printable(p, MaxPath), nil
}
