// Package bridge is the protocol between the gateway and the program that runs inside each workspace
// container (package bridge/server), and the gateway's client for it.
//
// The container serves two ports, and each of them asks every request for the workspace's token:
//
//	8080  the IDE: everything goes to code-server, except ReadyPath
//	3001  the bridge: HealthPath, ActivityPath, RPCPath, and previews (any request with PortHeader)
//
// Whatever comes from a container was written by whoever controls the code in it. The client therefore
// bounds the size of every answer, follows no redirect, and checks each result before it returns it.
package bridge

import "time"

// Headers that the gateway adds. The bridge removes both before it forwards a request.
const (
	// TokenHeader carries the workspace's bridge token: 64 hexadecimal digits.
	TokenHeader = "X-Kalpana-Token" //nolint:gosec // A name.
	// PortHeader makes a request on BridgePort a preview of that port on the container's loopback: a
	// decimal from MinPreviewPort to 65535, neither IDEPort nor BridgePort.
	PortHeader = "X-Kalpana-Port"
	// PreviewHeader is on answers that the bridge itself gives to a preview; its values are
	// PreviewRefused and PreviewFailed. An app's own header of that name is removed.
	PreviewHeader = "X-Kalpana-Preview"
)

// Values of PreviewHeader, both with status 502.
const (
	// PreviewRefused: nothing listens on that port.
	PreviewRefused = "refused"
	// PreviewFailed: something listens, but its answer broke off or was not HTTP.
	PreviewFailed = "failed"
)

// Ports inside the container.
const (
	IDEPort        = 8080
	BridgePort     = 3001
	MinPreviewPort = 1024
)

// Paths that the bridge answers itself.
const (
	// ReadyPath, on IDEPort, answers once VS Code does: 200 with ReadyReport, or 503 with the reason.
	ReadyPath = "/.kalpana/ready"
	// HealthPath, on BridgePort, answers at once with Health.
	HealthPath = "/health"
	// RPCPath, on BridgePort, is the WebSocket that carries JSON-RPC 2.0 in text frames.
	RPCPath = "/rpc"
	// TerminalPath, on BridgePort, is a WebSocket to the terminal that the parameter id names. It begins
	// with a replay of what was shown last. Binary messages are keys and what is shown, a text message is
	// a TerminalSize. The end of the program closes it with 1000 and "exited <code>"; a viewer that lags
	// behind is closed with 1013 and may come again.
	TerminalPath = "/terminal"
	// CommandPath, on BridgePort, is a WebSocket with what the command prints that the parameter id names, from the
	// parameter offset on, by default from its start; one that has not begun is waited for a moment. Binary messages
	// are output. Where some is not kept any more, a text message is a CommandGap. The end of the command, once all was
	// sent, closes it with 1000 and "exited <code>". A reader that takes nothing for ten seconds is gone, and may come
	// again for the rest.
	CommandPath = "/command"
)

// Places inside the container.
const (
	// WorkspaceDir is the workspace folder. Every path of the protocol is inside it.
	WorkspaceDir = "/home/dev/workspace"
	// TemplatesDir holds one folder for each template, with the files a new workspace starts from.
	TemplatesDir = "/usr/share/kalpana/templates"
)

// Environment variables that the gateway gives to the container.
const (
	EnvWorkspaceID = "KALPANA_WORKSPACE_ID"
	// EnvToken is the bridge token. No process that the bridge starts gets it.
	EnvToken = "KALPANA_TOKEN" //nolint:gosec // A name.
	// EnvPreviewURI is the address of a preview with {{port}} in the place of the port; code-server
	// gets it as VSCODE_PROXY_URI.
	EnvPreviewURI = "KALPANA_PREVIEW_URI"
	EnvTemplate   = "KALPANA_TEMPLATE"
	// EnvViteHosts is Vite's own: a domain, with a dot in front for all below it, whose hosts its
	// development server answers to. It refuses every host that it was not told of.
	EnvViteHosts = "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"
	// EnvRepository is the http(s) address of a public repository to clone on the first start. Optional.
	EnvRepository = "KALPANA_REPOSITORY"
)

// How long the container holds a request.
const (
	// ReadyHold bounds one request on ReadyPath; then it is 503, and the caller may ask again.
	ReadyHold = 60 * time.Second
	// RequestHold bounds a request that came before VS Code was ready.
	RequestHold = 50 * time.Second
)
