package bridge

// The container's own processes speak with the bridge over a Unix socket in the container's file system: no process
// outside of it reaches it, each one inside does. It serves HTTP:
//
//	POST   /activity/{name}   a person did this; VS Code's extension says so
//	POST   /files             PersonFiles: a person saves, makes, moves or deletes these now, or has just done so
//	GET    /status            LocalStatus
//	PUT    /keep-alive        KeepAliveRequest → LocalStatus: stay awake for so long from now on
//	DELETE /keep-alive        → LocalStatus: no longer
//	GET    /folder            LocalFolder
//	POST   /folder            → LocalFolder: the clone that failed is tried again
//	POST   /git-credential    GitCredentialParams → Credential, or 403 with the reason in words
const (
	// LocalSocket is where it is; the image has the folder.
	LocalSocket = "/run/kalpana/bridge.sock"

	LocalActivityPath  = "/activity/"
	LocalFilesPath     = "/files"
	LocalStatusPath    = "/status"
	LocalKeepAlivePath = "/keep-alive"
	LocalFolderPath    = "/folder"

	LocalCredentialPath = "/git-credential" //nolint:gosec // A path.
)

// PersonFiles are files that a person works on in VS Code: what happens to them now is no doing of an agent's command
// that runs at the same time, and an undo of that command leaves it.
type PersonFiles struct {
	// Paths are absolute, or relative to the workspace folder: at most MaxPersonFiles.
	Paths []string `json:"paths"`
}

// MaxPersonFiles bounds PersonFiles.Paths.
const MaxPersonFiles = 100

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

// LocalFolder is how the workspace folder of a new workspace is filled.
type LocalFolder struct {
	// Repository is what it is cloned from; empty where it is made from a template.
	Repository string `json:"repository,omitempty"`
	// Filling: it is under way.
	Filling bool `json:"filling,omitempty"`
	// Fault says why the folder is empty, in a line.
	Fault string `json:"fault,omitempty"`
}
