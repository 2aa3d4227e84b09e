package workspace

import (
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// State is where a workspace is in its life:
//
//	stopped → starting → running → pausing → paused → stopping → stopped
//
// and [StateError], with a reason that a person can act on.
type State string

// The states. Paused is frozen by the engine and keeps its memory. Deleting is final.
const (
	StateStopped  State = "stopped"
	StateStarting State = "starting"
	StateRunning  State = "running"
	StatePausing  State = "pausing"
	StatePaused   State = "paused"
	StateStopping State = "stopping"
	StateDeleting State = "deleting"
	StateError    State = "error"
)

// States lists every state, for metrics and checks.
var States = []State{
	StateStopped, StateStarting, StateRunning, StatePausing, StatePaused, StateStopping, StateDeleting, StateError,
}

// MaxNameLength is the longest name of a workspace, in characters.
const MaxNameLength = 64

// MaxRepositoryLength is the longest address of a repository, in bytes.
const MaxRepositoryLength = 2048

// Workspace is the record of one person's container and volume.
type Workspace struct {
	ID         ID
	Owner      string // person id
	Name       string
	Template   string
	Repository string // public https URL that is cloned on first start, or ""

	State      State
	StateSince time.Time // of State
	Reason     string    // what went wrong, or why it is in this state; one line or a log's end
	// Desired is what it was last told to be: running, paused, stopped or deleting. An operation that was
	// cut short is finished, or undone, by it.
	Desired State
	// Revision counts the writes. A write names the revision it read and fails with ErrConflict
	// if that is no longer the stored one.
	Revision int64

	Container  string // the engine's id of the container, "" before the first start
	Image      string // what the container was made from
	Address    string // host that the published ports are bound on, e.g. "127.0.0.1"
	IDEPort    int    // published port of VS Code, 0 before the first start
	BridgePort int    // published port of the bridge

	Shares []Share // of its ports, in their order; a port without one is private

	CreatedAt    time.Time
	UpdatedAt    time.Time
	StartedAt    time.Time // of the last wake that reached running
	LastActiveAt time.Time
	LastActivity string // name of the last activity, e.g. "opened in a browser"
	LastStart    Start  // of the newest wake, as far as it came

	KeepAwakeUntil time.Time // it does not sleep by itself before; zero is nothing asked for
	Schedule       Schedule
	DiskUsed       int64 // bytes of volume and container layer when they were last measured, 0 before
}

// Start is what is known of one wake. Times are UTC, to the microsecond.
type Start struct {
	At     time.Time `json:"at"`             // it was asked for
	From   State     `json:"from,omitempty"` // the state it began in
	Stages []Stage   `json:"stages,omitempty"`
	Error  string    `json:"error,omitempty"` // how it failed, or ""
}

// Stage is one step of a [Start], in the order in which they came.
type Stage struct {
	Name  string        `json:"name"` // queued, stop, container, start, editor
	At    time.Time     `json:"at"`
	Took  time.Duration `json:"took"`            // nanoseconds; 0 while it lasts
	Lines []string      `json:"lines,omitempty"` // what was reported, at most 20 lines of at most 200 bytes
}

// Schedule is when a workspace is stopped and woken by the clock. The zero value is never.
type Schedule struct {
	Zone   string   `json:"zone,omitempty"`   // IANA name, e.g. "Europe/Vienna"; "" is UTC
	WakeAt string   `json:"wakeAt,omitempty"` // "08:30", or "" for never
	StopAt string   `json:"stopAt,omitempty"` // "19:00", or "" for never
	Days   []string `json:"days,omitempty"`   // "mon" … "sun"; none is every day
	// SetAt is when it was set: what was to be done before is not done late.
	SetAt time.Time `json:"setAt,omitzero"`
}

// Quota bounds what one person, or one workspace, may use. Zero is the default of whoever is asked
// next (person, template, installation); less than zero is no bound.
type Quota struct {
	Workspaces int     `json:"workspaces,omitempty"` // that exist
	Running    int     `json:"running,omitempty"`    // that run or are paused at a time
	CPUs       float64 `json:"cpus,omitempty"`       // of each workspace
	Memory     int64   `json:"memory,omitempty"`     // bytes, of each workspace
	PIDs       int64   `json:"pids,omitempty"`       // of each workspace
	Disk       int64   `json:"disk,omitempty"`       // bytes, of each workspace

	// What the agents of a person may spend: in millionths of a US dollar, and in tokens.
	AgentDayCost     int64 `json:"agentDayCost,omitempty"`
	AgentMonthCost   int64 `json:"agentMonthCost,omitempty"`
	AgentDayTokens   int64 `json:"agentDayTokens,omitempty"`
	AgentMonthTokens int64 `json:"agentMonthTokens,omitempty"`
}

// ShareLevel says who may open a port of a workspace.
type ShareLevel string

// The levels, each wider than the one before.
const (
	SharePrivate ShareLevel = "private" // its owner
	ShareMembers ShareLevel = "members" // whoever is signed in
	SharePublic  ShareLevel = "public"  // anybody, without a grant
)

// Share is how one port of a workspace can be reached.
type Share struct {
	Port  int        `json:"port"`
	Level ShareLevel `json:"level"`
	Wakes bool       `json:"wakes,omitempty"` // anybody's hit on a public port wakes the workspace
	CORS  bool       `json:"cors,omitempty"`  // the workspace's other previews may call it
}

// Volume returns the name of the volume that holds the workspace's home.
func (w *Workspace) Volume() string { return "kalpana-" + string(w.ID) }

// CleanName returns name without surrounding space, or ErrInvalidName.
func CleanName(name string) (string, error) {
	if len(name) > 4*MaxNameLength+64 {
		return "", ErrInvalidName
	}
	name = strings.TrimSpace(name)
	n := utf8.RuneCountInString(name)
	if n == 0 || n > MaxNameLength || !utf8.ValidString(name) {
		return "", ErrInvalidName
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return "", ErrInvalidName
		}
	}
	return name, nil
}

// CleanRepository returns the address of a public repository in its canonical form, "" for "", or
// ErrInvalidRepo. Credentials are refused: they would end up in the container's configuration.
func CleanRepository(raw string) (string, error) {
	raw = strings.TrimSpace(raw)
	if raw == "" {
		return "", nil
	}
	if len(raw) > MaxRepositoryLength || strings.ContainsAny(raw, "?#") {
		return "", ErrInvalidRepo
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil ||
		!isASCIIName(u.Hostname()) || strings.Trim(u.Path, "/") == "" {
		return "", ErrInvalidRepo
	}
	if _, ok := originPort(u); !ok || !utf8.ValidString(u.Path) {
		return "", ErrInvalidRepo
	}
	for _, r := range u.Path {
		if !unicode.IsPrint(r) {
			return "", ErrInvalidRepo
		}
	}
	clean := u.String() // may be longer, where it had to escape
	if len(clean) > MaxRepositoryLength {
		return "", ErrInvalidRepo
	}
	return clean, nil
}
