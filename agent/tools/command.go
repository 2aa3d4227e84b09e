package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	defaultCommandSeconds = 120
	maxCommandSeconds     = 600
	// rawPart is how much of a command's raw output is read for the head and for the tail of what a model gets, in
	// bytes: escape sequences and progress bars make less of it.
	rawPart = 128 << 10
	// stopTime is what a command gets to end after a person has stopped the run.
	stopTime = 15 * time.Second
)

// commandEnv keeps commands from asking somebody, paging, or printing for a terminal.
var commandEnv = []string{
	"TERM=dumb", "NO_COLOR=1", "PAGER=cat", "GIT_PAGER=cat", "MANPAGER=cat", "SYSTEMD_PAGER=", "LESS=-FRX",
	"GIT_TERMINAL_PROMPT=0", "GIT_EDITOR=true", "GIT_SEQUENCE_EDITOR=true", "EDITOR=true", "VISUAL=true",
	"DEBIAN_FRONTEND=noninteractive", "PIP_NO_INPUT=1", "PIP_PROGRESS_BAR=off", "PYTHONUNBUFFERED=1", "npm_config_yes=true",
	"npm_config_progress=false", "npm_config_fund=false", "COREPACK_ENABLE_DOWNLOAD_PROMPT=0",
}

type runCommandInput struct {
	Command        string `json:"command"`
	Cwd            string `json:"cwd,omitempty"`
	TimeoutSeconds int    `json:"timeoutSeconds,omitempty"`
	Background     bool   `json:"background,omitempty"`
	KillOnTimeout  bool   `json:"killOnTimeout,omitempty"`
}

func runCommand() Tool {
	return define(Tool{
		Name: "runCommand",
		Description: "Runs a command with bash in the workspace and returns its output and exit code. Nobody can answer prompts: give flags such as --yes. " +
			"One that takes longer than timeoutSeconds goes on in the background; commandOutput waits for it. Start servers and watchers with background. " +
			"Each call is a new shell: cd and export do not last.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"command":{"type":"string","description":"The command line."},
"cwd":{"type":"string","description":"Folder to run it in, relative to the workspace folder. Default: the workspace folder."},
"timeoutSeconds":{"type":"integer","minimum":1,"maximum":600,"description":"How long to wait for its end. Default 120."},
"background":{"type":"boolean","description":"Do not wait: return an id for commandOutput and stopCommand. Default false."},
"killOnTimeout":{"type":"boolean","description":"End the command when timeoutSeconds are over. Default false."}},
"required":["command"],"additionalProperties":false}`),
	}, func(p *runCommandInput) string {
		if p.Background {
			return "Start " + firstLine(p.Command)
		}
		return "Run " + firstLine(p.Command)
	}, runRunCommand)
}

func firstLine(s string) string {
	line, rest, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if rest != "" {
		line += " …"
	}
	return line
}

func runRunCommand(ctx context.Context, env *Env, call Call, p *runCommandInput) (*Result, error) {
	switch {
	case strings.TrimSpace(p.Command) == "":
		return nil, required("runCommand", "command")
	case p.TimeoutSeconds < 0 || p.TimeoutSeconds > maxCommandSeconds:
		return nil, fmt.Errorf("invalid input for runCommand: timeoutSeconds is from 1 to %d; what takes longer goes on in the background by itself", maxCommandSeconds)
	case p.TimeoutSeconds == 0:
		p.TimeoutSeconds = defaultCommandSeconds
	}
	started := time.Now()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	starting := context.WithoutCancel(ctx) // else it could run without anybody knowing its id
	cmd, err := once(starting, env, func(cl *bridge.Client) (*bridge.StartCommandResult, error) {
		return cl.StartCommand(starting, bridge.StartCommandParams{Command: p.Command, Cwd: p.Cwd, Env: env.commandEnv()})
	})
	if errors.Is(err, bridge.ErrNotFound) {
		return nil, fmt.Errorf("cannot run in %s: there is no such folder", shown(p.Cwd))
	}
	if err != nil {
		return nil, err
	}
	w := &watch{env: env, id: cmd.ID, call: call.ID, started: started}
	wait := time.Duration(p.TimeoutSeconds) * time.Second
	if p.Background {
		wait = backgroundStart
	}
	state, err := w.follow(ctx, wait)
	if err != nil {
		if ctx.Err() != nil {
			w.stop(ctx)
		}
		return nil, err
	}
	if state.Running && p.KillOnTimeout && !p.Background {
		stopped, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.StopCommandResult, error) {
			return cl.StopCommand(ctx, bridge.StopCommandParams{ID: w.id})
		})
		if err != nil {
			return nil, err
		}
		result, err := w.result(ctx, false, stopped.ExitCode)
		if err != nil {
			return nil, err
		}
		result.Output.(*Output).Stopped = true
		result.Text = fmt.Sprintf("Stopped, since its %d seconds were over. ", p.TimeoutSeconds) + result.Text
		return result, nil
	}
	return w.result(ctx, state.Running, state.ExitCode)
}

// backgroundStart is how long a command that is started in the background is looked at, for those that fail at once.
const backgroundStart = time.Second

// commandEnv is what is added to a command's environment.
func (env *Env) commandEnv() []string {
	vars := commandEnv[:len(commandEnv):len(commandEnv)]
	if name, email := identity(env.Name), identity(env.Email); name != "" && email != "" {
		vars = append(vars, "GIT_AUTHOR_NAME="+name, "GIT_AUTHOR_EMAIL="+email, "GIT_COMMITTER_NAME="+name, "GIT_COMMITTER_EMAIL="+email)
	}
	return vars
}

// identity is a name or address as git takes it.
func identity(s string) string {
	return strings.TrimSpace(strings.NewReplacer("<", "", ">", "", "\uFFFD", "").Replace(bridge.Printable(s, 200)))
}

// watch follows one command.
type watch struct {
	env     *Env
	id      string
	call    string // the call's id, for what is shown
	started time.Time
}

const (
	// showEvery is the least pause between two parts of output that are shown.
	showEvery = 100 * time.Millisecond
	// showPart and showAll bound what is shown of a command as it runs: of one part, and in all; in bytes.
	showPart = 8 << 10
	showAll  = 256 << 10
)

// follow shows what the command prints until it ends or the time is over. It goes on over connections that are cut.
func (w *watch) follow(ctx context.Context, limit time.Duration) (*bridge.CommandOutputResult, error) {
	end := w.started.Add(limit)
	var next int64
	var clean cleaner
	var came time.Time // the last output
	left := showAll
	for {
		wait := min(max(time.Until(end), 0), bridge.MaxWaitSeconds*time.Second)
		// Whole seconds are what the bridge waits for; the last part of one is waited for here.
		seconds := int(wait / time.Second)
		if seconds == 0 && wait > 0 {
			if err := pause(ctx, min(wait, showEvery)); err != nil {
				return nil, err
			}
		}
		r, err := w.output(ctx, next, showAll/4, seconds)
		if err != nil {
			return nil, err
		}
		if content, err := r.Bytes(); err == nil && len(content) > 0 {
			text := ""
			if r.Offset > next {
				text = fmt.Sprintf("%s\n[… %s skipped …]\n", clean.end(), size(r.Offset-next))
			}
			text += clean.feed(content)
			if r.Next == r.Size || !r.Running {
				text += clean.end()
			}
			left = w.show(text, left)
		}
		if next = r.Next; r.Size-next > showAll/4 {
			next = r.Size - showPart // it prints faster than anybody reads
		}
		switch {
		case !r.Running && r.Next == r.Size, !r.Running && left == 0:
			return r, nil
		case r.Running && !time.Now().Before(end):
			return r, nil
		}
		if since := time.Since(came); since < showEvery {
			if err := pause(ctx, showEvery-since); err != nil {
				return nil, err
			}
		}
		if len(r.Content) > 0 {
			came = time.Now()
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// show sends a part of the output to whoever watches, and returns how much more may be shown.
func (w *watch) show(text string, left int) int {
	if text == "" || left == 0 || w.env.Show == nil {
		return left
	}
	if len(text) > showPart {
		text = fmt.Sprintf("[… %s skipped …]\n", size(int64(len(text)-showPart))) + cutStart(text, showPart)
	}
	if left -= len(text); left <= 0 {
		text, left = "[… more than is shown here …]\n", 0
	}
	w.env.Show("terminal", map[string]string{"callId": w.call, "text": text})
	return left
}

// output reads a part of what the command has printed.
func (w *watch) output(ctx context.Context, offset int64, limit, wait int) (*bridge.CommandOutputResult, error) {
	r, err := ask(ctx, w.env, func(cl *bridge.Client) (*bridge.CommandOutputResult, error) {
		return cl.CommandOutput(ctx, bridge.CommandOutputParams{ID: w.id, Offset: offset, Limit: limit, WaitSeconds: wait})
	})
	if errors.Is(err, bridge.ErrNotFound) {
		return nil, fmt.Errorf("there is no command %s any more: the workspace was started anew, or too many came after it", shown(w.id))
	}
	return r, err
}

// stop ends the command and its whole process group, though the run is over.
func (w *watch) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	_, _ = ask(ctx, w.env, func(cl *bridge.Client) (*bridge.StopCommandResult, error) {
		return cl.StopCommand(ctx, bridge.StopCommandParams{ID: w.id})
	})
}

// result is what a model and a person get of the command as it is now.
func (w *watch) result(ctx context.Context, running bool, exitCode int) (*Result, error) {
	head, err := w.output(ctx, 0, rawPart, 0)
	if err != nil {
		return nil, err
	}
	raw, err := head.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWorkspace, err)
	}
	part := outputPart{text: plain(raw), next: head.Next, size: head.Size}
	if head.Next < head.Size {
		tail, err := w.output(ctx, max(head.Next, head.Size-rawPart), rawPart, 0)
		if err != nil {
			return nil, err
		}
		if raw, err = tail.Bytes(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrWorkspace, err)
		}
		part.tail, part.gap = plain(raw), true
	}
	took := time.Since(w.started)
	out := &Output{DurationMs: took.Milliseconds()}
	var text string
	switch {
	case running:
		out.Background = w.id
		text = fmt.Sprintf("It goes on in the background after %s, with the id %s: commandOutput waits for more, stopCommand ends it.", seconds(took), w.id)
	default:
		out.ExitCode = &exitCode
		text = fmt.Sprintf("Exit code %d after %s.", exitCode, seconds(took))
		if exitCode > 128 && exitCode < 128+65 {
			text = fmt.Sprintf("Ended by signal %d (exit code %d) after %s.", exitCode-128, exitCode, seconds(took))
		}
	}
	body, cut := part.render(w.id, maxOutput)
	out.Truncated = cut
	out.Text, _ = part.render("", maxTextShown)
	if body == "" {
		if !running {
			text += " It printed nothing."
		} else {
			text += " It has printed nothing yet."
		}
		return &Result{Text: text, Output: out}, nil
	}
	return &Result{Text: text + "\n" + fence("output", "", body), Output: out}, nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

// outputPart is cleaned output: its start, and its end where they do not meet.
type outputPart struct {
	text, tail string
	gap        bool
	next, size int64 // in raw bytes: where text ends, and where all does
}

// render returns what fits of it, head and tail, around a line that says how to read the rest.
func (o *outputPart) render(id string, limit int) (text string, cut bool) {
	if !o.gap {
		head, tail, cut := headAndTail(o.text, limit)
		if !cut {
			return head, false
		}
		left := len(o.text) - len(head) - len(tail)
		return head + o.missing(id, int64(len(head)), int64(left)) + tail, true
	}
	head, tail := cutEnd(o.text, limit*2/3), cutStart(o.tail, limit/3)
	if i := strings.LastIndexByte(head, '\n'); i > len(head)/2 {
		head = head[:i+1]
	}
	if i := strings.IndexByte(tail, '\n'); i >= 0 && i < len(tail)/2 {
		tail = tail[i+1:]
	}
	return head + o.missing(id, int64(len(head)), o.size-int64(len(head)+len(tail))) + tail, true
}

// missing is the line about what is left out, from about the given byte on.
func (o *outputPart) missing(id string, from, left int64) string {
	if id == "" {
		return fmt.Sprintf("\n[… %s left out …]\n", size(left))
	}
	return fmt.Sprintf("\n[… %s left out: commandOutput with id %s and offset %d reads on from here …]\n", size(left), id, from)
}

type commandOutputInput struct {
	ID          string `json:"id"`
	Offset      *int64 `json:"offset,omitempty"`
	WaitSeconds int    `json:"waitSeconds,omitempty"`
}

func commandOutput() Tool {
	t := define(Tool{
		Name:        "commandOutput",
		Description: "Returns output of a command that runCommand started, and whether it still runs. With waitSeconds it waits until the command has ended or that time is over.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"id":{"type":"string","description":"Id of the command, from runCommand."},
"offset":{"type":"integer","description":"First byte of the output; negative counts from its end. Default: the last 20 KB."},
"waitSeconds":{"type":"integer","minimum":0,"maximum":600,"description":"How long to wait for its end. Default 0."}},
"required":["id"],"additionalProperties":false}`),
		Reads: true,
	}, func(p *commandOutputInput) string {
		if p.WaitSeconds > 0 {
			return "Wait for command " + p.ID
		}
		return "Look at command " + p.ID
	}, runCommandOutput)
	t.follows = true
	return t
}

func runCommandOutput(ctx context.Context, env *Env, call Call, p *commandOutputInput) (*Result, error) {
	switch {
	case p.ID == "":
		return nil, required("commandOutput", "id")
	case p.WaitSeconds < 0 || p.WaitSeconds > maxCommandSeconds:
		return nil, fmt.Errorf("invalid input for commandOutput: waitSeconds is from 0 to %d", maxCommandSeconds)
	}
	w := &watch{env: env, id: p.ID, call: call.ID, started: time.Now()}
	const part = 20 << 10
	offset := int64(-part)
	if p.Offset != nil {
		offset = *p.Offset
	}
	end := w.started.Add(time.Duration(p.WaitSeconds) * time.Second)
	var r *bridge.CommandOutputResult
	for {
		// The end of the output, so that the bridge waits for more of it, or for the end of the command.
		from := int64(0)
		if r != nil {
			from = r.Size
		}
		state, err := w.output(ctx, from, 1, int(min(max(time.Until(end), 0), bridge.MaxWaitSeconds*time.Second)/time.Second))
		if err != nil {
			return nil, err
		}
		r = state
		if left := time.Until(end); !r.Running || left < time.Second {
			break
		}
		if err := pause(ctx, 3*showEvery); err != nil {
			return nil, err
		}
	}
	running, code := r.Running, r.ExitCode
	r, err := w.output(ctx, offset, part, 0)
	if err != nil {
		return nil, err
	}
	raw, err := r.Bytes()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWorkspace, err)
	}
	content, out := plain(raw), &Output{}
	text := "It still runs."
	if running {
		out.Background = p.ID
	} else {
		out.ExitCode = &code
		text = fmt.Sprintf("It has ended with exit code %d.", code)
	}
	if len(raw) == 0 {
		if r.Size == 0 {
			return &Result{Text: text + " It has printed nothing.", Output: out}, nil
		}
		return &Result{Text: fmt.Sprintf("%s It has printed nothing after byte %d.", text, r.Size), Output: out}, nil
	}
	out.Text, out.Truncated = cutStart(content, maxTextShown), r.Offset > 0 || r.Next < r.Size
	result := text + "\n" + fence("output", fmt.Sprintf(`bytes="%d-%d" of="%d"`, r.Offset, r.Next, r.Size), content)
	if r.Next < r.Size {
		result += fmt.Sprintf("\n%s more: offset %d reads on.", size(r.Size-r.Next), r.Next)
	}
	return &Result{Text: result, Output: out}, nil
}

type stopCommandInput struct {
	ID string `json:"id"`
}

func stopCommand() Tool {
	t := define(Tool{
		Name:        "stopCommand",
		Description: "Ends a command that runs in the background, with all that it started.",
		Parameters: json.RawMessage(`{"type":"object","properties":{
"id":{"type":"string","description":"Id of the command, from runCommand."}},
"required":["id"],"additionalProperties":false}`),
	}, func(p *stopCommandInput) string { return "Stop command " + p.ID }, func(ctx context.Context, env *Env, _ Call, p *stopCommandInput) (*Result, error) {
		if p.ID == "" {
			return nil, required("stopCommand", "id")
		}
		r, err := ask(ctx, env, func(cl *bridge.Client) (*bridge.StopCommandResult, error) {
			return cl.StopCommand(ctx, bridge.StopCommandParams{ID: p.ID})
		})
		if errors.Is(err, bridge.ErrNotFound) {
			return nil, fmt.Errorf("there is no command %s: it may have ended long ago, or the workspace was started anew", shown(p.ID))
		}
		if err != nil {
			return nil, err
		}
		return &Result{Text: fmt.Sprintf("It has ended with exit code %d.", r.ExitCode), Output: &Output{ExitCode: &r.ExitCode}}, nil
	})
	return t
}
