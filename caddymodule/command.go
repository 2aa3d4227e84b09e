package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
			address := addressFlag(cmd)
			cmd.RunE = func(cmd *cobra.Command, _ []string) error { return run(*address, cmd) }
		},
	}
}

func addressFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("address", adminSocket(), "The admin endpoint of the running gateway")
}

func adminSocket() string {
	return "unix/" + filepath.Join(os.Getenv("KALPANA_DATA_DIR"), "admin.sock")
}

// errNotOurs means that a gateway may run, and belongs to somebody else.
var errNotOurs = errors.New("run this as the user who runs the gateway, or as root")

func askGateway(address, method, path string, into any) error {
	resp, err := caddycmd.AdminAPIRequest(address, method, path, nil, nil)
	if err != nil {
		if refusal, ok := refusalOf(err); ok {
			return errors.New(refusal)
		}
		return unreached(address, err)
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// unreached says why a gateway was not reached: Caddy's error has all of the request that was to be made.
func unreached(address string, err error) error {
	why := err.Error()
	if _, end, ok := strings.Cut(why, ": connect: "); ok {
		why = end
	}
	if why == syscall.EACCES.Error() {
		return fmt.Errorf("%s is another user's: %w", address, errNotOurs)
	}
	return fmt.Errorf("the gateway does not answer at %s: %s; is it running, and with the same KALPANA_DATA_DIR? \"kalpana doctor --config <Caddyfile>\" tells more", address, why)
}

// refusalOf returns what the gateway answered where it did answer: Caddy gives no type to tell.
func refusalOf(err error) (string, bool) {
	_, answer, ok := strings.Cut(err.Error(), "caddy responded with error: HTTP ")
	if !ok {
		return "", false
	}
	_, body, _ := strings.Cut(answer, ": ")
	var problem struct {
		Error string `json:"error"`
	}
	if json.Unmarshal([]byte(body), &problem) != nil || problem.Error == "" {
		return "the gateway answers: " + answer, true
	}
	return problem.Error, true
}
