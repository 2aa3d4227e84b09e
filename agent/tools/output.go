package tools

// Output is Result.Output of the tools of this package: what a person sees of a call, beside its title and input.
// Which fields there are depends on the tool; docs/reference/agent-tools.md tells.
type Output struct {
	Path string `json:"path,omitempty"`

	// Of writeFile and editFile.
	Diff    string `json:"diff,omitempty"` // unified; empty where it would be longer than maxDiffShown
	Added   *int   `json:"added,omitempty"`
	Removed *int   `json:"removed,omitempty"`
	Created bool   `json:"created,omitempty"`

	// Of readFile, listFiles, glob and searchCode.
	Line    int    `json:"line,omitempty"`  // the first that was read
	Lines   *int   `json:"lines,omitempty"` // how many were read
	Total   int    `json:"total,omitempty"` // how many the file has
	Size    *int64 `json:"size,omitempty"`  // of the file, in bytes
	Binary  bool   `json:"binary,omitempty"`
	Matches *int   `json:"matches,omitempty"` // files, entries or lines that were found

	// Of runCommand, commandOutput, stopCommand and git.
	ExitCode   *int   `json:"exitCode,omitempty"` // of a command that has ended
	DurationMs int64  `json:"durationMs,omitempty"`
	Command    string `json:"command,omitempty"`      // of git: what was run
	Text       string `json:"output,omitempty"`       // head and tail, without escape sequences; of searches, what was found
	Background string `json:"backgroundId,omitempty"` // the command goes on under this id
	Stopped    bool   `json:"stopped,omitempty"`      // it was ended because its time was over

	// Truncated: there is more than was returned.
	Truncated bool `json:"truncated,omitempty"`

	// Changed are the files that a command changed, at most maxChangedShown of ChangedTotal.
	Changed      []Changed `json:"changed,omitempty"`
	ChangedTotal int       `json:"changedTotal,omitempty"`
	// NoUndo tells why what the call changed cannot be undone, where it cannot.
	NoUndo string `json:"noUndo,omitempty"`
}

// Changed is a file that a command changed.
type Changed struct {
	Path   string `json:"path"`
	Status string `json:"status"` // bridge.StatusAdded, bridge.StatusModified or bridge.StatusDeleted
}

const (
	maxDiffShown    = 64 << 10 // bytes
	maxChangedShown = 50
	maxTextShown    = 16 << 10 // bytes, of Output.Text
	maxFoundShown   = 4 << 10  // bytes, of the Output.Text of what lists and searches
)
