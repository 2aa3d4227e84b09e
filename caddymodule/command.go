package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

var signInLinkCommand = adminCommand("sign-in-link",
	"Prints an address that signs the first admin in, once",
	"Asks the running gateway for a sign-in link of the first admin, which works once within ten minutes.",
	func(address string, _ *cobra.Command) error {
		var link signInLinkAnswer
		if err := askGateway(address, http.MethodPost, "/kalpana/sign-in-link", &link); err != nil {
			return err
		}
		fmt.Println(link.URL)
		fmt.Fprintf(os.Stderr, "It works once, until %s.\n", link.ExpiresAt.Local().Format(time.TimeOnly))
		return nil
	})

var firewallCommand = adminCommand("firewall",
	"Prints the rules that fence workspaces off from this host",
	"Asks the running gateway for the firewall rules that it keeps in place for the workspaces' networks.",
	func(address string, _ *cobra.Command) error {
		var answer firewallAnswer
		if err := askGateway(address, http.MethodGet, "/kalpana/firewall", &answer); err != nil {
			return err
		}
		fmt.Println(strings.Join(answer.Rules, "\n"))
		return nil
	})

func adminCommand(name, short, long string, run func(address string, cmd *cobra.Command) error) caddycmd.Command {
	return caddycmd.Command{
		Name: name, Usage: "[--address <socket>]", Short: short, Long: long,
		CobraFunc: func(cmd *cobra.Command) {
			socket := "unix/" + filepath.Join(os.Getenv("KALPANA_DATA_DIR"), "admin.sock")
			address := cmd.Flags().String("address", socket, "The admin endpoint of the running gateway")
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(*address, cmd) }
		},
	}
}

func askGateway(address, method, path string, into any) error {
	resp, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		return fmt.Errorf("the gateway does not answer at %s: %w; is it running, and with the same KALPANA_DATA_DIR?", address, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	return json.NewDecoder(resp.Body).Decode(into)
}
