package bridge

// Protocol is the version of the protocol that this program speaks. It goes up when a client cannot do with an older
// bridge any more; what is only added has a name in HelloResult.
const Protocol = 1

// Methods of the bridge. The table is closed: any other name is ErrUnknownMethod.
const (
	MethodHello      = "hello"
	MethodHealth     = "health"
	MethodReadFile   = "readFile"
	MethodWriteFile  = "writeFile"
	MethodEditFile   = "editFile"
	MethodListFiles  = "listFiles"
	MethodGlob       = "glob"
	MethodRunCommand = "runCommand"
	MethodSearchCode = "searchCode"

	MethodStartCommand  = "startCommand"
	MethodCommandOutput = "commandOutput"
	MethodStopCommand   = "stopCommand"
	MethodListCommands  = "listCommands"

	MethodCreateTerminal = "createTerminal"
	MethodCloseTerminal  = "closeTerminal"
	MethodListTerminals  = "listTerminals"

	// NotifyCancel is a notification with CancelParams. The request that it names is answered with
	// ErrCancelled, unless it was done already; one that is unknown is ignored.
	NotifyCancel = "$/cancelRequest"
)

// Limits of the protocol. Sizes are in bytes.
const (
	// MaxFrame bounds a JSON-RPC frame in either direction; a longer one ends the connection.
	MaxFrame = 1 << 20
	// MaxInFlight bounds the requests of one connection that are being served; one more gets ErrBusy. Client never
	// sends more, and lets at most 24 of them be commands and searches: see Client.
	MaxInFlight = 32
	// MaxString bounds every string that has no limit of its own.
	MaxString = 4096
	// MaxPath bounds a path.
	MaxPath = 4096
	// MaxContent bounds what one readFile or writeFile carries, and runCommand's stdin.
	MaxContent = 512 << 10
	// MaxOutput bounds each of runCommand's two outputs.
	MaxOutput = 256 << 10
	// MaxArgs bounds runCommand's argv, in words.
	MaxArgs = 1024
	// MaxArgBytes bounds runCommand's command, and all words of argv together.
	MaxArgBytes = 64 << 10

	// MaxEnv bounds the variables that are added to a command's environment; each is at most MaxString bytes.
	MaxEnv = 100

	DefaultTimeoutSeconds = 60
	MaxTimeoutSeconds     = 600

	// MaxCommands bounds the commands of startCommand that run at a time, and those that are remembered
	// after their end.
	MaxCommands = 64
	// MaxCommandLog bounds what is kept of the start of one's output, in bytes; of what comes after it the
	// last MaxOutput are kept. All commands together keep eight times as much: what ended first gives way.
	MaxCommandLog = 64 << 20
	// MaxTerminals bounds the terminals that are open at a time, MaxTerminalSide their columns and rows.
	MaxTerminals    = 32
	MaxTerminalSide = 1000
	// TerminalReplay is how much of what a terminal showed is replayed to whoever comes to it, in bytes.
	TerminalReplay = 64 << 10
	// MaxCommandText bounds CommandInfo.Command and TerminalInfo.Command.
	MaxCommandText = 400
	// MaxWaitSeconds bounds CommandOutputParams.WaitSeconds.
	MaxWaitSeconds = 60

	DefaultEntries = 1000
	MaxEntries     = 5000

	// MaxEdits bounds the edits of one editFile.
	MaxEdits = 200
	// MaxDiff bounds the diff that editFile and writeFile return; a longer one is left out.
	MaxDiff = 256 << 10
	// MaxContext bounds the lines around a match of searchCode, on either side.
	MaxContext = 20

	DefaultSearchSeconds = 25
	MaxSearchSeconds     = 120

	DefaultMatches = 200
	MaxMatches     = 1000
	// MaxMatchText bounds SearchMatch.Text.
	MaxMatchText = 400
)

// Values of Encoding.
const (
	EncodingUTF8   = "utf-8"
	EncodingBase64 = "base64"
)

// Values of HealthResult.Editor.
const (
	EditorStarting = "starting"
	EditorRunning  = "running"
	// EditorFailed: it ended three times in a row within half a minute. It is still restarted.
	EditorFailed = "failed"
)

// Values of FileEntry.Type.
const (
	TypeFile    = "file"
	TypeDir     = "dir"
	TypeSymlink = "symlink"
	TypeOther   = "other"
)

// HelloParams are the parameters of MethodHello, which a client calls first.
type HelloParams struct {
	// Protocol is the client's version of the protocol, Version the client's own. They are for people who look.
	Protocol int    `json:"protocol"`
	Version  string `json:"version,omitempty"`
}

// HelloResult is the answer to MethodHello.
type HelloResult struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
	// Methods are the names of all methods, sorted.
	Methods []string `json:"methods"`
	// Features are what there is beside methods: of the Feature constants.
	Features []string `json:"features"`
}

// Values of HelloResult.Features.
const (
	FeatureTerminal = "terminal" // TerminalPath
	FeatureCommand  = "command"  // CommandPath
	FeatureTunnel   = "tunnel"   // TunnelPath
	FeatureWatch    = "watch"    // WatchPath
)

// HealthParams are the parameters of MethodHealth: none.
type HealthParams struct{}

// HealthResult is also the body of an answer on HealthPath.
type HealthResult struct {
	// Ready is what ReadyPath would say.
	Ready         bool   `json:"ready"`
	Version       string `json:"version"`
	UptimeSeconds int64  `json:"uptimeSeconds"`
	// Editor is the state of code-server, one of the Editor constants.
	Editor string `json:"editor"`
}

// ReadFileParams are the parameters of MethodReadFile. Paths of every method are relative to the workspace
// folder (an absolute one inside it is accepted), at most MaxPath bytes without NUL, and are cleaned
// lexically before symlinks are followed. One that leaves the folder, itself or by a symlink, is
// ErrOutside; so is an absolute symlink, wherever it points.
type ReadFileParams struct {
	Path string `json:"path"`
	// Offset is the first byte. Past the end, the content is empty.
	Offset int64 `json:"offset,omitempty"`
	// Limit is the most bytes to return: 0 means MaxContent, which is also the most it can be.
	Limit int64 `json:"limit,omitempty"`
	// Line is the first line, from 1, and Lines how many to return at most; 0 lines are as many as fit. They
	// go without Offset and Limit, for a file of at most MaxLinesFile bytes. Past the end, the content is empty.
	Line  int `json:"line,omitempty"`
	Lines int `json:"lines,omitempty"`
}

// MaxLinesFile bounds the file that is read by lines, in bytes.
const MaxLinesFile = 16 << 20

// ReadFileResult is the answer to MethodReadFile. Only regular files can be read.
type ReadFileResult struct {
	// Content is text as it is, or base64 if Encoding says so: for bytes that are not UTF-8, and for
	// text that JSON would make longer than base64. Text is cut between characters, so it may be up
	// to three bytes shorter than Limit. Bytes returns it decoded.
	Content  string `json:"content"`
	Encoding string `json:"encoding"`
	// Size is the whole file's, in bytes.
	Size int64 `json:"size"`
	// Truncated: the file goes on after Content.
	Truncated bool `json:"truncated"`
	// Binary: what was read holds a NUL byte, or is not UTF-8.
	Binary bool `json:"binary,omitempty"`
	// Version names what the file held when it was read: see WriteFileParams.IfVersion.
	Version string `json:"version"`
	// TotalLines is how many lines the whole file has, where it was read by lines.
	TotalLines int `json:"totalLines,omitempty"`
}

// Bytes returns the content, decoded.
func (r *ReadFileResult) Bytes() ([]byte, error) { return DecodeContent(r.Content, r.Encoding) }

// WriteFileParams are the parameters of MethodWriteFile. The file is replaced at once or not at all; one
// that exists keeps its permissions (a hard link to it keeps the old content), a new one gets 0644, a read-only
// one is ErrDenied. A path that leads through a symlink is ErrInvalid, and so it is for EditFileParams: what was
// allowed is what the path says.
type WriteFileParams struct {
	Path string `json:"path"`
	// Content is at most MaxContent bytes, decoded.
	Content string `json:"content"`
	// Encoding of Content; empty means EncodingUTF8. Client.WriteFile changes it to EncodingBase64
	// where that is shorter.
	Encoding string `json:"encoding,omitempty"`
	// CreateDirs makes missing folders on the way (0755).
	CreateDirs bool `json:"createDirs,omitempty"`
	// IfVersion refuses with ErrChanged where the file does not hold what it held when it was read with
	// that version, and, being VersionNone, where there is a file.
	IfVersion string `json:"ifVersion,omitempty"`
}

// VersionNone is the version of a file that does not exist.
const VersionNone = "none"

// WriteFileResult is the answer to MethodWriteFile.
type WriteFileResult struct {
	// Size of the file, in bytes.
	Size int64 `json:"size"`
	// Version of the file now.
	Version string `json:"version"`
}

// EditFileParams are the parameters of MethodEditFile: exact replacements in a text file of at most
// MaxContent bytes, of which all are made or none. Each is looked for in what those before it left.
type EditFileParams struct {
	Path  string `json:"path"`
	Edits []Edit `json:"edits"`
	// IfVersion as in WriteFileParams.
	IfVersion string `json:"ifVersion,omitempty"`
}

// Edit replaces Old, which must occur, by New. It must occur once only, unless All is set.
type Edit struct {
	Old string `json:"old"`
	New string `json:"new"`
	All bool   `json:"all,omitempty"`
}

// EditFileResult is the answer to MethodEditFile.
type EditFileResult struct {
	// Replaced counts the places that were changed.
	Replaced int    `json:"replaced"`
	Size     int64  `json:"size"`
	Version  string `json:"version"`
	// Diff is what changed, as a unified diff with three lines around each change, or empty where it
	// would be longer than MaxDiff.
	Diff string `json:"diff"`
}

// GlobParams are the parameters of MethodGlob. Ignored files and .git are left out, hidden ones are not.
type GlobParams struct {
	// Pattern is a glob as in .gitignore, at most MaxString bytes on one line: "*.go" is in any folder,
	// "/cmd/**/main.go" from Path on.
	Pattern string `json:"pattern"`
	// Path of a folder; empty means the workspace folder.
	Path string `json:"path,omitempty"`
	// Limit is the most files: 0 means DefaultEntries; at most MaxEntries.
	Limit int `json:"limit,omitempty"`
}

// GlobResult is the answer to MethodGlob.
type GlobResult struct {
	// Entries are the files, what was changed last first.
	Entries []FileEntry `json:"entries"`
	// Truncated: there may be more; the limit or half a minute was reached.
	Truncated bool `json:"truncated"`
}

// ListFilesParams are the parameters of MethodListFiles.
type ListFilesParams struct {
	// Path of a folder; empty means the workspace folder.
	Path string `json:"path"`
	// Recursive goes into folders, nearest first; not into symlinks, .git and node_modules, which
	// are listed themselves.
	Recursive bool `json:"recursive,omitempty"`
	// Limit is the most entries: 0 means DefaultEntries; at most MaxEntries.
	Limit int `json:"limit,omitempty"`
}

// ListFilesResult is the answer to MethodListFiles.
type ListFilesResult struct {
	// Entries are sorted by name within each folder.
	Entries []FileEntry `json:"entries"`
	// Truncated: there is more than the limit, or than fits into a frame.
	Truncated bool `json:"truncated"`
}

// FileEntry is a file, folder or symlink.
type FileEntry struct {
	// Path is relative to the workspace folder, with slashes. Client replaces control characters in
	// it by U+FFFD.
	Path string `json:"path"`
	// Type is one of the Type constants.
	Type string `json:"type"`
	// Size in bytes, of a file; else 0.
	Size int64 `json:"size"`
	// ModTime in milliseconds since 1970, UTC.
	ModTime int64 `json:"mtime"`
}

// RunCommandParams are the parameters of MethodRunCommand. Exactly one of Argv and Command is set. The
// command runs in a process group of its own, which is killed as a whole on timeout, on cancel, and when
// the connection ends. What a command that ended left in the background goes on.
type RunCommandParams struct {
	// Argv is a program and its arguments, run without a shell.
	Argv []string `json:"argv,omitempty"`
	// Command is run by bash -lc.
	Command string `json:"command,omitempty"`
	// Cwd is a folder; empty means the workspace folder.
	Cwd string `json:"cwd,omitempty"`
	// Env is added to the environment, as NAME=value.
	Env []string `json:"env,omitempty"`
	// TimeoutSeconds: 0 means DefaultTimeoutSeconds; at most MaxTimeoutSeconds.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
	// Stdin is at most MaxContent bytes; empty means end of file at once.
	Stdin string `json:"stdin,omitempty"`
	// ID, if it is given, names the command for CommandOutput, StopCommand and CommandPath, from its start until some
	// time after its end: 8 to 64 of a-z and 0-9 that nobody guesses. See Client.RunCommandLive.
	ID string `json:"id,omitempty"`
}

// RunCommandResult is the answer to MethodRunCommand.
type RunCommandResult struct {
	// ExitCode is 128 + n if signal n ended it, as shells have it.
	ExitCode int `json:"exitCode"`
	// Stdout and Stderr are the raw output, escape sequences included: clean it before a person sees
	// it. Bytes that are not UTF-8 are U+FFFD. Of long output, head and tail are kept around a line
	// that says how much is missing.
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	// Truncated: something is missing in one of them.
	Truncated bool `json:"truncated"`
	// Log, where something is missing or an ID was given, is the id under which CommandOutput has both outputs in full,
	// up to MaxCommandLog and the end.
	Log        string `json:"log,omitempty"`
	DurationMs int64  `json:"durationMs"`
	TimedOut   bool   `json:"timedOut"`
}

// StartCommandParams are the parameters of MethodStartCommand, which are RunCommandParams' for a command that
// nobody waits for. It runs until it ends, MethodStopCommand or the end of the bridge, also when the
// connection has ended.
type StartCommandParams struct {
	Argv    []string `json:"argv,omitempty"`
	Command string   `json:"command,omitempty"`
	Cwd     string   `json:"cwd,omitempty"`
	Env     []string `json:"env,omitempty"`
	Stdin   string   `json:"stdin,omitempty"`
}

// StartCommandResult is the answer to MethodStartCommand.
type StartCommandResult struct {
	// ID names the command, on every connection.
	ID string `json:"id"`
}

// CommandOutputParams are the parameters of MethodCommandOutput.
type CommandOutputParams struct {
	ID string `json:"id"`
	// Offset is the first byte; below zero, so many bytes before the end.
	Offset int64 `json:"offset,omitempty"`
	// Limit is the most bytes: 0 means MaxOutput, which is also the most it can be.
	Limit int `json:"limit,omitempty"`
	// WaitSeconds is how long to wait for output, or for the end of the command, where there is none yet:
	// at most MaxWaitSeconds.
	WaitSeconds int `json:"waitSeconds,omitempty"`
}

// CommandOutputResult is the answer to MethodCommandOutput.
type CommandOutputResult struct {
	// Content is what the command printed, to either output, as readFile has it: raw bytes.
	Content  string `json:"content"`
	Encoding string `json:"encoding"`
	// Offset is of Content's first byte: past the one asked for, where that is not kept any more. Next is the
	// one to ask for then.
	Offset int64 `json:"offset"`
	Next   int64 `json:"next"`
	// Size is how many bytes it has printed.
	Size    int64 `json:"size"`
	Running bool  `json:"running"`
	// ExitCode of a command that has ended, as RunCommandResult's.
	ExitCode int `json:"exitCode"`
}

// Bytes returns the content, decoded.
func (r *CommandOutputResult) Bytes() ([]byte, error) { return DecodeContent(r.Content, r.Encoding) }

// StopCommandParams are the parameters of MethodStopCommand: the whole process group gets SIGTERM, and five
// seconds later, or once the command has ended, SIGKILL. One that has ended stays as it is.
type StopCommandParams struct {
	ID string `json:"id"`
}

// StopCommandResult is the answer to MethodStopCommand.
type StopCommandResult struct {
	ExitCode int `json:"exitCode"`
}

// ListCommandsParams are the parameters of MethodListCommands: none.
type ListCommandsParams struct{}

// ListCommandsResult is the answer to MethodListCommands.
type ListCommandsResult struct {
	// Commands are those that run, and the last that have ended, oldest first.
	Commands []CommandInfo `json:"commands"`
}

// CommandInfo tells of a command that was started.
type CommandInfo struct {
	ID string `json:"id"`
	// Command is the start of its text. Client replaces control characters by U+FFFD.
	Command string `json:"command"`
	// StartedAt in milliseconds since 1970, UTC.
	StartedAt int64 `json:"startedAt"`
	Running   bool  `json:"running"`
	ExitCode  int   `json:"exitCode"`
	// Size is how many bytes it has printed.
	Size int64 `json:"size"`
}

// CreateTerminalParams are the parameters of MethodCreateTerminal.
type CreateTerminalParams struct {
	// Argv is the program, by default a login shell.
	Argv []string `json:"argv,omitempty"`
	// Cwd is a folder; empty means the workspace folder.
	Cwd string `json:"cwd,omitempty"`
	// Env is added to the environment, as NAME=value.
	Env []string `json:"env,omitempty"`
	// Cols and Rows are from 1 to MaxTerminalSide; neither means 80 by 24.
	Cols int `json:"cols,omitempty"`
	Rows int `json:"rows,omitempty"`
}

// CreateTerminalResult is the answer to MethodCreateTerminal.
type CreateTerminalResult struct {
	// ID names the terminal on TerminalPath, and on every connection.
	ID string `json:"id"`
}

// TerminalSize is what a viewer sends in a text message when its window has another size.
type TerminalSize struct {
	Cols int `json:"cols"`
	Rows int `json:"rows"`
}

// CloseTerminalParams are the parameters of MethodCloseTerminal: its program gets SIGHUP, and five seconds
// later SIGKILL.
type CloseTerminalParams struct {
	ID string `json:"id"`
}

// CloseTerminalResult is the answer to MethodCloseTerminal: nothing.
type CloseTerminalResult struct{}

// ListTerminalsParams are the parameters of MethodListTerminals: none.
type ListTerminalsParams struct{}

// ListTerminalsResult is the answer to MethodListTerminals.
type ListTerminalsResult struct {
	// Terminals are oldest first.
	Terminals []TerminalInfo `json:"terminals"`
}

// TerminalInfo tells of a terminal.
type TerminalInfo struct {
	ID string `json:"id"`
	// Command is the start of its program's text. Client replaces control characters by U+FFFD.
	Command string `json:"command"`
	// StartedAt in milliseconds since 1970, UTC.
	StartedAt int64 `json:"startedAt"`
	// Viewers is how many look at it now.
	Viewers int `json:"viewers"`
}

// SearchCodeParams are the parameters of MethodSearchCode, which runs ripgrep: ignored files and .git are
// left out, hidden ones are not.
type SearchCodeParams struct {
	// Query is at most MaxString bytes on one line.
	Query string `json:"query"`
	// Path of a file or folder; empty means the workspace folder.
	Path string `json:"path,omitempty"`
	// Glob narrows the files, as ripgrep's --glob: "*.go", "!vendor/".
	Glob string `json:"glob,omitempty"`
	// Regex makes Query a regular expression of ripgrep's default engine.
	Regex         bool `json:"regex,omitempty"`
	CaseSensitive bool `json:"caseSensitive,omitempty"`
	// Context is how many lines to return before and after each match: at most MaxContext.
	Context int `json:"context,omitempty"`
	// Limit is the most matching lines: 0 means DefaultMatches; at most MaxMatches.
	Limit int `json:"limit,omitempty"`
	// TimeoutSeconds: what was found by then is returned. 0 means DefaultSearchSeconds; at most MaxSearchSeconds.
	TimeoutSeconds int `json:"timeoutSeconds,omitempty"`
}

// SearchCodeResult is the answer to MethodSearchCode.
type SearchCodeResult struct {
	// Matches are sorted by path and line.
	Matches []SearchMatch `json:"matches"`
	// Truncated: there may be more; the limit was reached, or the time was over.
	Truncated bool `json:"truncated"`
}

// SearchMatch is one line that matches.
type SearchMatch struct {
	Path string `json:"path"`
	// Line counts from 1.
	Line int `json:"line"`
	// Column of the first match on the line, in characters, from 1.
	Column int `json:"column"`
	// Text is the line without its end, or if that is longer than MaxMatchText, a part of it that
	// begins shortly before the match. Client replaces control characters but tabs by U+FFFD.
	Text string `json:"text"`
	// Before and After are the lines around it, each cut as Text is. A line between two matches is with
	// the first alone.
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
}

// CancelParams are the parameters of NotifyCancel.
type CancelParams struct {
	// ID of the request, a number or a string, as it was sent.
	ID any `json:"id"`
}
