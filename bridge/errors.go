package bridge

import (
	"errors"
	"fmt"
)

// Codes of JSON-RPC errors. Those from -32700 to -32600 are the specification's
// (https://www.jsonrpc.org/specification#error_object), the others are ours.
const (
	CodeBusy           = -32000
	CodeOutside        = -32001
	CodeNotFound       = -32002
	CodeTooLarge       = -32003
	CodeDenied         = -32004
	CodeDiskFull       = -32005
	CodeCancelled      = -32006
	CodeChanged        = -32007
	CodeInvalidRequest = -32600
	CodeUnknownMethod  = -32601
	CodeInvalid        = -32602
	CodeInternal       = -32603
)

// Error is what the bridge answers when it does not do what was asked. Compare with errors.Is: two of
// them are the same when their codes are.
type Error struct {
	Code int64
	// Message is one line, at most 1 KiB, free of control characters. From Client it is the
	// container's own text.
	Message string
}

func (e *Error) Error() string { return e.Message }

// Is reports whether target is an *Error with the same code.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// With returns an error of e's kind whose message goes on with a detail.
func (e *Error) With(format string, args ...any) *Error {
	return &Error{Code: e.Code, Message: e.Message + ": " + fmt.Sprintf(format, args...)}
}

// Answers of the bridge, by name.
var (
	// ErrBusy: MaxInFlight requests of this connection are being served.
	ErrBusy = &Error{CodeBusy, "the bridge is busy"}
	// ErrOutside: the path, or a symlink on it, leaves the workspace folder.
	ErrOutside = &Error{CodeOutside, "the path leaves the workspace folder"}
	// ErrNotFound: no such file, folder or program.
	ErrNotFound = &Error{CodeNotFound, "not found"}
	// ErrTooLarge: content or answer above the protocol's limit.
	ErrTooLarge = &Error{CodeTooLarge, "too large"}
	// ErrDenied: the workspace's user may not do this to that file.
	ErrDenied = &Error{CodeDenied, "permission denied"}
	// ErrDiskFull: no space left, or a quota reached.
	ErrDiskFull = &Error{CodeDiskFull, "no space left in the workspace"}
	// ErrCancelled: ended by $/cancelRequest, or by the end of the connection.
	ErrCancelled = &Error{CodeCancelled, "cancelled"}
	// ErrChanged: the file is not what it was when it was read.
	ErrChanged = &Error{CodeChanged, "the file has changed since it was read; read it again"}
	// ErrUnknownMethod: not in the table of methods.
	ErrUnknownMethod = &Error{CodeUnknownMethod, "unknown method"}
	// ErrInvalid: parameters that the method does not take.
	ErrInvalid = &Error{CodeInvalid, "invalid parameters"}
	// ErrInternal: anything else that went wrong in the container.
	ErrInternal = &Error{CodeInternal, "internal error"}
)

// Faults of the connection itself.
var (
	// ErrUnauthorized: the container does not know the token.
	ErrUnauthorized = errors.New("bridge: the container refused the token")
	// ErrOldBridge: the container was made from an image that is older than this program.
	ErrOldBridge = errors.New("bridge: the workspace's container is older than this gateway: rebuild the workspace")
	// ErrBadAnswer: the container's answer breaks the protocol.
	ErrBadAnswer = errors.New("bridge: the container's answer breaks the protocol")
	// ErrClosed: the connection has ended; calls that were waiting return it.
	ErrClosed = errors.New("bridge: the connection to the container is closed")
	// ErrNotSent is an ErrClosed that came before the call was sent: it may be made again on another connection.
	ErrNotSent = fmt.Errorf("%w: the call was not sent", ErrClosed)
)
