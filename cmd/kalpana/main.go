// Command kalpana is Caddy with Kalpana's modules.
package main

import (
	"github.com/caddyserver/caddy/v2"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/kalpana-dev/kalpana/caddymodule"
)

func main() {
	caddy.CustomBinaryName = "kalpana"
	caddycmd.Main()
}
