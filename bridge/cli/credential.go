package cli

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/kalpana-dev/kalpana/bridge"
)

// questionLimit bounds what git writes to a credential helper, in bytes.
const questionLimit = 64 << 10

// gitCredential is a credential helper of git's (gitcredentials(7)): it asks the gateway how to sign in, and keeps
// nothing.
func gitCredential(at local, operation string, stdin io.Reader) (string, error) {
	if operation != "get" { // store and erase: there is nothing here
		return "", nil
	}
	var p bridge.GitCredentialParams
	lines := bufio.NewScanner(io.LimitReader(stdin, questionLimit))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch name {
		case "protocol":
			p.Protocol = value
		case "host":
			p.Host = value
		case "path":
			p.Path = value
		}
	}
	if p.Protocol != "https" && p.Protocol != "http" {
		return "", nil // a mail server, perhaps
	}
	c, err := ask[bridge.Credential](at, bridge.GitCredentialTime+2*timeout, http.MethodPost, bridge.LocalCredentialPath, p)
	if err != nil {
		return "", err
	}
	if strings.ContainsAny(c.Username+c.Password, "\n\x00") {
		return "", fmt.Errorf("the gateway's credential for %s cannot be passed to git", p.Host)
	}
	return fmt.Sprintf("username=%s\npassword=%s\n", c.Username, c.Password), nil
}
