package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"

	"github.com/kalpana-dev/kalpana/identity"
)

// Secrets say where the installation's key comes from, which grants and the tokens of containers are
// made of, and the keyset, which encrypts providers' tokens and people's keys for the agent in the store. Of each pair one may be set.
// Gateways on one store need the same of both.
type Secrets struct {
	// A file with the key, 64 hexadecimal digits. It is made with mode 0600 if it is missing.
	KeyFile string `json:"key_file,omitempty"`
	// A placeholder for the key itself, e.g. {env.NAME}. Keep the key itself out of the
	// configuration: Caddy stores and shows it.
	Key string `json:"key,omitempty"`
	// A file with the keyset, in Tink's JSON. It is made with mode 0600 if it is missing, and
	// replaced by "kalpana secrets rotate", which needs to write its directory.
	KeysetFile string `json:"keyset_file,omitempty"`
	// A placeholder for the keyset itself, in Tink's JSON or base64 of it, e.g. {env.NAME}. Keep the
	// keyset itself out of the configuration: Caddy stores and shows it.
	Keyset string `json:"keyset,omitempty"`
}

// UnmarshalCaddyfile sets up the secrets; see [App.UnmarshalCaddyfile].
func (s *Secrets) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.ArgErr()
	}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		var err error
		switch name := d.Val(); name {
		case "key_file":
			err = oneArg(d, &s.KeyFile)
		case "key":
			err = oneArg(d, &s.Key)
		case "keyset_file":
			err = oneArg(d, &s.KeysetFile)
		case "keyset":
			err = oneArg(d, &s.Keyset)
		default:
			return d.Errf("unrecognized option of secrets: %s", name)
		}
		if err != nil {
			return err
		}
		if err := s.check(); err != nil {
			return d.Err(err.Error())
		}
	}
	return nil
}

func (s *Secrets) check() error {
	if s.KeyFile != "" && s.Key != "" {
		return errors.New("secrets: give key_file or key, not both")
	}
	if s.KeysetFile != "" && s.Keyset != "" {
		return errors.New("secrets: give keyset_file or keyset, not both")
	}
	return nil
}

// loadKey returns the installation's key; a nil Secrets means the defaults.
func (s *Secrets) loadKey(dataDir string) (identity.Key, error) {
	if s == nil {
		s = new(Secrets)
	}
	if err := s.check(); err != nil {
		return identity.Key{}, err
	}
	usual := filepath.Join(dataDir, "key")
	repl := caddy.NewReplacer()
	switch {
	case s.Key != "":
		text := repl.ReplaceAll(s.Key, "")
		if text == "" {
			return identity.Key{}, fmt.Errorf("secrets: the key %s is empty: set it, or leave the line out to use %s", s.Key, usual)
		}
		return identity.ParseKey(text)
	case s.KeyFile != "":
		path := repl.ReplaceAll(s.KeyFile, "")
		if path == "" {
			return identity.Key{}, fmt.Errorf("secrets: key_file %s is empty: give the path of the key", s.KeyFile)
		}
		return identity.LoadKey(path)
	}
	if text := os.Getenv("KALPANA_KEY"); text != "" {
		key, err := identity.ParseKey(text)
		if err != nil {
			return identity.Key{}, fmt.Errorf("KALPANA_KEY: %w", err)
		}
		return key, nil
	}
	return identity.LoadKey(usual)
}

// files returns the paths of the key and the keyset, "" for one that comes from elsewhere; a nil
// Secrets means the defaults.
func (s *Secrets) files(dataDir string) (key, keyset string) {
	if s == nil {
		s = new(Secrets)
	}
	path := func(given, direct, variable, usual string) string {
		switch {
		case given != "":
			return caddy.NewReplacer().ReplaceAll(given, "")
		case direct != "", os.Getenv(variable) != "":
			return ""
		}
		return filepath.Join(dataDir, usual)
	}
	return path(s.KeyFile, s.Key, "KALPANA_KEY", "key"), path(s.KeysetFile, s.Keyset, "KALPANA_KEYSET", "keyset.json")
}

// open returns the sealer; a nil Secrets means the defaults.
func (s *Secrets) open(dataDir string) (*identity.Sealer, error) {
	if s == nil {
		s = new(Secrets)
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	repl := caddy.NewReplacer()
	switch {
	case s.Keyset != "":
		text := repl.ReplaceAll(s.Keyset, "")
		if text == "" {
			return nil, fmt.Errorf("secrets: the keyset %s is empty: set it, or leave the line out to use %s", s.Keyset, filepath.Join(dataDir, "keyset.json"))
		}
		return identity.ParseSealer(text)
	case s.KeysetFile != "":
		path := repl.ReplaceAll(s.KeysetFile, "")
		if path == "" {
			return nil, fmt.Errorf("secrets: keyset_file %s is empty: give the path of the keyset", s.KeysetFile)
		}
		return identity.LoadSealer(path)
	}
	if text := os.Getenv("KALPANA_KEYSET"); text != "" {
		sealer, err := identity.ParseSealer(text)
		if err != nil {
			return nil, fmt.Errorf("KALPANA_KEYSET: %w", err)
		}
		return sealer, nil
	}
	return identity.LoadSealer(filepath.Join(dataDir, "keyset.json"))
}

// rotateAnswer is what the endpoint answers.
type rotateAnswer struct {
	Resealed int      `json:"resealed"`
	Complete bool     `json:"complete"`
	Keyset   string   `json:"keyset,omitempty"` // to install
	Lost     []string `json:"lost,omitempty"`
}

func (m *Admin) rotateSecrets(app *App, w http.ResponseWriter, r *http.Request) error {
	done, err := app.instance.identity.RotateKeyset(r.Context())
	if err != nil {
		return err
	}
	if done.Complete {
		app.audit(r, "", fmt.Sprintf("the keyset was rotated; %d secrets were sealed again", done.Resealed))
	}
	return answerJSON(w, rotateAnswer{Resealed: done.Resealed, Complete: done.Complete, Keyset: done.Keyset, Lost: done.Lost})
}

var secretsCommand = caddycmd.Command{
	Name: "secrets", Usage: "rotate [--address <socket>]", Short: "Changes the key that encrypts stored secrets",
	Long: `
"kalpana secrets rotate" asks the running gateway to add a new key to its keyset, to seal every stored
secret with it, and to remove the older key. It takes half a minute. Whatever interrupts it, nothing
is lost, and running it again goes on. Where the keyset comes from the environment, the command
prints the one to install.`,
	CobraFunc: func(cmd *cobra.Command) {
		rotate := &cobra.Command{
			Use: "rotate", Short: "Seals every stored secret with a new key", Args: cobra.NoArgs,
		}
		address := addressFlag(rotate)
		rotate.RunE = func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(os.Stderr, "This can take half a minute.")
			var answer rotateAnswer
			if err := askGateway(*address, http.MethodPost, "/kalpana/secrets/rotate", &answer); err != nil {
				return err
			}
			answer.print(cmd.OutOrStdout(), cmd.ErrOrStderr())
			return nil
		}
		cmd.AddCommand(rotate)
	},
}

// print writes the keyset, if any, to out, and what to do to notes.
func (a rotateAnswer) print(out, notes io.Writer) {
	say := func(format string, args ...any) { fmt.Fprintf(notes, format+"\n", args...) }
	if a.Complete {
		say("Sealed again with the new key: %d.", a.Resealed)
	}
	switch {
	case a.Complete && a.Keyset == "":
		say("The older key is removed.")
	case a.Complete:
		say("Step 2 of 2: nothing is sealed with the older key any more. Put this keyset in the place of the one\nin the environment of every gateway, and restart them:")
	default:
		say("Step 1 of 2: put this keyset in the place of the one in the environment of every gateway, restart\nthem all, and run this again:")
	}
	if a.Keyset != "" {
		fmt.Fprint(out, a.Keyset)
	}
	for _, name := range a.Lost {
		say("Its key is lost: %s. Connect that account, or enter that key, again.", name)
	}
}

var _ caddyfile.Unmarshaler = (*Secrets)(nil)
