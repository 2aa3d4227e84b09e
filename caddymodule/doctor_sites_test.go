package caddymodule

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDoctor_SitesThatAreNotWhereTheOptionsSay(t *testing.T) {
	const options = "console https://ide.example.com\n\t\tworkspaces example-ws.net"
	const console = "ide.example.com {\n\tkalpana_console\n}\n"
	const workspaces = "*.example-ws.net {\n\tkalpana_workspace\n}\n"
	for name, c := range map[string]struct {
		sites  string
		status checkStatus
		found  string
		do     string
	}{
		"as they should be":         {console + workspaces, checkOK, "kalpana_console at ide.example.com, kalpana_workspace at *.example-ws.net", ""},
		"one site for everything":   {"https:// {\n\t@console host ide.example.com\n\thandle @console {\n\t\tkalpana_console\n\t}\n\thandle {\n\t\tkalpana_workspace\n\t}\n}\n", checkOK, "kalpana_console at", ""},
		"another console":           {"id.example.com {\n\tkalpana_console\n}\n" + workspaces, checkFailed, "kalpana_console is at id.example.com, so nothing answers at ide.example.com", "the option console"},
		"another workspaces domain": {console + "*.ws.ide.example.com {\n\tkalpana_workspace\n}\n", checkFailed, "kalpana_workspace is at *.ws.ide.example.com, so nothing answers at *.example-ws.net", "the option workspaces"},
		"no wildcard":               {console + "example-ws.net {\n\tkalpana_workspace\n}\n", checkFailed, "kalpana_workspace is at example-ws.net", "*.example-ws.net"},
		"no workspaces":             {console, checkFailed, "no site has kalpana_workspace", "*.example-ws.net { kalpana_workspace }"},
		"nothing":                   {"", checkFailed, "no site has kalpana_console", "ide.example.com { kalpana_console }"},
	} {
		t.Run(name, func(t *testing.T) {
			if r := newSites(t, options, c.sites).finds("sites", c.status, c.found); !strings.Contains(r.Do, c.do) {
				t.Errorf("it says to do %q", r.Do)
			}
		})
	}
}

func TestDoctor_WildcardsWithoutAWayToACertificate(t *testing.T) {
	const site = "*.ws.ide.example.com {\n\tkalpana_workspace\n\t%s\n}\n"
	for name, c := range map[string]struct {
		site   string
		status checkStatus
	}{
		"none":      {fmt.Sprintf(site, ""), checkFailed},
		"internal":  {fmt.Sprintf(site, "tls internal"), checkOK},
		"on demand": {fmt.Sprintf(site, "tls {\n\t\ton_demand\n\t}"), checkOK},
		"a file":    {fmt.Sprintf(site, "tls /etc/ssl/ws.pem /etc/ssl/ws.key"), checkOK},
		"no TLS":    {"http://" + fmt.Sprintf(site, ""), checkOK},
		// The challenge of no provider's, as acme_dns in a build without plugins has.
		"the DNS challenge": {fmt.Sprintf(site, "tls {\n\t\tissuer acme {\n\t\t\tdns_ttl 1m\n\t\t}\n\t}"), checkOK},
	} {
		t.Run(name, func(t *testing.T) {
			newSites(t, "console https://ide.example.com", c.site).finds("certificates", c.status, "")
		})
	}
}

func TestDoctor_AnotherProgramOnTheAddressOfASite(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		other, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		site := fmt.Sprintf("http://:%d {\n\tbind 127.0.0.1\n\tkalpana_workspace\n}\n", other.Addr().(*net.TCPAddr).Port)
		e := newSites(t, "", site)
		e.finds("listeners", checkFailed, fmt.Sprintf("(process %d) listens on %s, too", os.Getpid(), other.Addr()))
		if err := other.Close(); err != nil {
			t.Fatal(err)
		}
		e.finds("listeners", checkOK, ": free")
	}
	newSites(t, "", "http://:8765 {\n\tbind 192.0.2.1\n\tkalpana_workspace\n}\n").finds("listeners", checkFailed, "192.0.2.1 is no address of this machine")
}

func TestDoctor_AnAdminSocketWithoutItsDirectory(t *testing.T) {
	e := newExamined(t, "")
	missing := filepath.Join(t.TempDir(), "missing")
	e.admin = "unix/" + filepath.Join(missing, "admin.sock")
	e.finds("gateway", checkFailed, "in a directory that is not there")
	t.Setenv("KALPANA_DATA_DIR", missing) // which a start makes
	e.finds("gateway", checkWarning, "none answers")
}

// An address without a scheme, as people write it, crashed "run" and "doctor".
func TestDocker_AnAddressThatIsNoneIsNoRuntime(t *testing.T) {
	runtime, err := (&Docker{Host: "/var/run/docker.sock"}).Open(RuntimeOptions{Instance: "test"})
	if runtime != nil || err == nil || !strings.Contains(err.Error(), "write it like unix:///var/run/docker.sock") {
		t.Errorf("%v, %v", runtime, err)
	}
}
