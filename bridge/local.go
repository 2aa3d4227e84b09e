package bridge

// The container's own processes speak with the bridge over a Unix socket in the container's file system: no process
// outside of it reaches it, each one inside does. It serves HTTP:
//
//	POST   /activity/{name}   a person did this; VS Code's extension says so
//	GET    /status            LocalStatus
//	PUT    /keep-alive        KeepAliveRequest → LocalStatus: stay awake for so long from now on
//	DELETE /keep-alive        → LocalStatus: no longer
//	POST   /git-credential    GitCredentialParams → Credential, or 403 with the reason in words
const (
	// LocalSocket is where it is; the image has the folder.
	LocalSocket = "/run/kalpana/bridge.sock"

	LocalActivityPath  = "/activity/"
	LocalStatusPath    = "/status"
	LocalKeepAlivePath = "/keep-alive"

	LocalCredentialPath = "/git-credential" //nolint:gosec // A path.
)

// KeepAliveRequest asks for the container to be kept awake.
type KeepAliveRequest struct {
	// Seconds from now on; above MaxKeepAlive it is that.
	Seconds float64 `json:"seconds"`
}

// LocalStatus is what the bridge knows, for the people inside.
type LocalStatus struct {
	Workspace string   `json:"workspace"`
	Version   string   `json:"version"`
	Activity  Activity `json:"activity"`
}
