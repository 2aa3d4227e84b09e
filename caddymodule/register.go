// Package caddymodule makes Kalpana a part of Caddy: the app, the handlers and their Caddyfile
// directives, the guest modules, and the commands. No other package imports Caddy.
package caddymodule

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// Version is Kalpana's version. Builds set it with -ldflags "-X".
var Version = "0.1.0-dev"

// description is what the command without arguments prints: cobra lists Kalpana's commands among Caddy's.
const description = `Kalpana is a self-hosted cloud IDE in one Caddy build.

  kalpana doctor --config Caddyfile   tells what is missing, before the first start and ever after
  kalpana run --config Caddyfile      serves console and workspaces
  kalpana sign-in-link                prints an address that signs the first admin in

Kalpana's own commands are backup, doctor, drain, firewall, restore, secrets, sign-in-link, store and
workspaces. The others are Caddy's.`

// Every registration is here.
func init() {
	caddy.RegisterModule(new(App))
	caddy.RegisterModule(new(SQLite))
	caddy.RegisterModule(new(MongoDB))
	caddy.RegisterModule(new(Docker))
	caddy.RegisterModule(new(LinkLogin))
	caddy.RegisterModule(new(GitHubLogin))
	caddy.RegisterModule(new(OIDCLogin))
	caddy.RegisterModule(new(Authenticator))
	caddy.RegisterModule(new(AccessHandler))
	caddy.RegisterModule(new(Permission))
	caddy.RegisterModule(new(WorkspaceHandler))
	caddy.RegisterModule(new(APIHandler))
	caddy.RegisterModule(new(MCPHandler))
	caddy.RegisterModule(new(UIHandler))
	caddy.RegisterModule(new(Admin))

	httpcaddyfile.RegisterGlobalOption("kalpana", parseApp)
	httpcaddyfile.RegisterHandlerDirective("kalpana_workspace", parseWorkspaceHandler)
	httpcaddyfile.RegisterHandlerDirective("kalpana_api", parseAPIHandler)
	httpcaddyfile.RegisterHandlerDirective("kalpana_mcp", parseMCPHandler)
	httpcaddyfile.RegisterHandlerDirective("kalpana_ui", parseUIHandler)
	httpcaddyfile.RegisterDirective("kalpana_console", parseConsole)
	httpcaddyfile.RegisterDirective("kalpana_auth", parseAuth)
	httpcaddyfile.RegisterDirectiveOrder("kalpana_auth", httpcaddyfile.After, "basic_auth")
	for _, directive := range []string{"kalpana_console", "kalpana_workspace", "kalpana_api", "kalpana_mcp", "kalpana_ui"} {
		httpcaddyfile.RegisterDirectiveOrder(directive, httpcaddyfile.Before, "reverse_proxy")
	}

	caddycmd.RegisterCommand(signInLinkCommand)
	caddycmd.RegisterCommand(firewallCommand)
	caddycmd.RegisterCommand(secretsCommand)
	caddycmd.RegisterCommand(backupCommand)
	caddycmd.RegisterCommand(restoreCommand)
	caddycmd.RegisterCommand(storeCommand)
	caddycmd.RegisterCommand(workspacesCommand)
	caddycmd.RegisterCommand(drainCommand)
	caddycmd.RegisterCommand(doctorCommand)

	if caddy.CustomLongDescription == "" {
		caddy.CustomLongDescription = description
	}
	if caddy.CustomVersion == "" {
		caddy.CustomVersion = "Kalpana " + Version + ", Caddy"
	}
	if err := prepareDataDir(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// prepareDataDir lets a Caddyfile say {$KALPANA_DATA_DIR} in any build, with nothing prepared. For
// the commands that serve it makes the directory, since Caddy opens its admin socket in it before
// any module of ours runs, and refuses one that is in use: Caddy would take over the other
// gateway's socket.
func prepareDataDir(args []string) error {
	dir := os.Getenv("KALPANA_DATA_DIR")
	if dir == "" {
		dir = filepath.Join(caddy.AppDataDir(), "kalpana")
		if err := os.Setenv("KALPANA_DATA_DIR", dir); err != nil {
			return err
		}
	}
	if len(args) < 2 || (args[1] != "run" && args[1] != "start") {
		return nil
	}
	if err := makeDataDir(dir); err != nil {
		return err
	}
	lock, err := lockFile(dir)
	if err != nil {
		return err
	}
	return lock.Close() // the app takes it for good
}
