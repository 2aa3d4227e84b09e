package workspace

import "errors"

// The faults that a person can meet. Each names what is wrong; the packages that face people map
// them to statuses in one place (see [Problem]).
var (
	ErrInvalidID       = errors.New("that is not a workspace id")
	ErrInvalidHost     = errors.New("that is not a host of this installation")
	ErrNotFound        = errors.New("no such workspace")
	ErrForbidden       = errors.New("that workspace belongs to somebody else")
	ErrConflict        = errors.New("the workspace was changed by somebody else at the same time")
	ErrLimit           = errors.New("you have as many workspaces as you may have")
	ErrRunningLimit    = errors.New("you have as many workspaces running as you may have")
	ErrHostFull        = errors.New("the machine has no room for another workspace right now")
	ErrUnknownTemplate = errors.New("no such template")
	ErrInvalidName     = errors.New("a workspace name has 1 to 64 characters, none of them a control character")
	ErrInvalidRepo     = errors.New("a repository is an https:// or http:// address without user name, password or query")
	ErrBusy            = errors.New("the workspace is just being stopped or deleted")
	ErrInUse           = errors.New("the workspace is in use, so it stays awake")
	ErrNotRunning      = errors.New("the workspace does not run")
	ErrInvalidSchedule = errors.New("that is not a schedule")
	ErrInvalidAwake    = errors.New("a workspace cannot be kept awake that long")
	ErrEngineDown      = errors.New("the container engine does not answer")
	ErrImageMissing    = errors.New("the workspace image is not on the container engine")
	ErrPortsExhausted  = errors.New("every port of the configured range is taken")
	ErrStartFailed     = errors.New("the workspace did not start")
	ErrStartTimeout    = errors.New("the workspace did not become ready in time")
	ErrFirewall        = errors.New("containers are not fenced off from this host, so none is started")
	ErrStorageFull     = errors.New("the disk is full")
	ErrStoreDown       = errors.New("the store does not answer")
	ErrInvalidPort     = errors.New("a port that can be shared is 1024 to 65535, and neither 8080 nor 3001, which are Kalpana's own")
	ErrInvalidShare    = errors.New("a port is shared as private, members or public")
	ErrShareLimit      = errors.New("the operator does not let ports be shared that widely")
	ErrTooManyShares   = errors.New("too many ports of this workspace have settings of their own")
	ErrDraining        = errors.New("this server is about to be restarted, so it starts no workspace now")
	ErrShuttingDown    = errors.New("the gateway is shutting down")
)
