package github_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kalpana-dev/kalpana/identity"
	"github.com/kalpana-dev/kalpana/identity/login/github"
	"github.com/kalpana-dev/kalpana/identity/login/github/githubtest"
	"github.com/kalpana-dev/kalpana/store/sqlite"
	"github.com/kalpana-dev/kalpana/workspace"
)

// gatewayOf makes a process of this test a further gateway: the directory of its data, and GitHub's
// address.
const gatewayOf = "KALPANA_TEST_GATEWAY_OF"

func TestMain(m *testing.M) {
	if of := os.Getenv(gatewayOf); of != "" {
		dir, address, _ := strings.Cut(of, " ")
		if err := serveAsGateway(dir, address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// gateway opens an installation that signs people in at the GitHub at address.
func gateway(ctx context.Context, dir, address string) (*identity.Service, *sqlite.Store, error) {
	hosts, err := workspace.NewHosts("http://kalpana.localhost:8080", "")
	if err != nil {
		return nil, nil, err
	}
	key, err := identity.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		return nil, nil, err
	}
	sealer, err := identity.LoadSealer(filepath.Join(dir, "keyset.json"))
	if err != nil {
		return nil, nil, err
	}
	p, err := github.New(github.Config{Name: "github", ClientID: githubtest.ClientID, ClientSecret: githubtest.ClientSecret, BaseURL: address, App: true})
	if err != nil {
		return nil, nil, err
	}
	rule, err := identity.ParseRule("user", "github:583231")
	if err != nil {
		return nil, nil, err
	}
	store, err := sqlite.Open(ctx, filepath.Join(dir, "kalpana.db"))
	if err != nil {
		return nil, nil, err
	}
	s := identity.New(identity.Config{
		Store: store, Hosts: hosts, Key: key, Sealer: sealer, Providers: []identity.Provider{p},
		Access: identity.Access{Allow: []identity.Rule{rule}},
	})
	return s, store, s.Load(ctx)
}

// serveAsGateway waits for a line, then asks for the token several times at once, and prints what it
// gets.
func serveAsGateway(dir, address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, store, err := gateway(ctx, dir, address)
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // the process ends
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			token, err := s.AccessToken(ctx, "github", "583231")
			fmt.Println(token, err)
		})
	}
	group.Wait()
	return nil
}

func TestRefresh_SeveralProcessesNeverUseARefreshTokenTwice(t *testing.T) {
	server := githubtest.New(octocat)
	server.Expiring = true
	server.SetLifetime(30 * time.Second) // so that it is about to end
	at := httptest.NewServer(server)
	defer at.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	dir := t.TempDir()
	s, store, err := gateway(t.Context(), dir, at.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // the directory goes
	address, cookies, err := s.BeginLogin(httptest.NewRequest(http.MethodGet, "/", nil), identity.LoginStart{Provider: "github"})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, server.Visit(address), nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	if _, err := s.CompleteLogin(r, "github"); err != nil {
		t.Fatal(err)
	}
	server.SetLifetime(8 * time.Hour)

	type process struct {
		*exec.Cmd
		in  io.WriteCloser
		out *bufio.Reader
	}
	var processes []process
	for range 3 {
		cmd := exec.Command(os.Args[0]) //nolint:gosec // this test itself
		cmd.Env = append(os.Environ(), gatewayOf+"="+dir+" "+at.URL)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, process{cmd, in, bufio.NewReader(out)})
	}
	for _, p := range processes {
		if line, err := p.out.ReadString('\n'); err != nil || line != "ready\n" {
			t.Errorf("%q, %v", line, err)
		}
	}
	for _, p := range processes {
		if _, err := io.WriteString(p.in, "go\n"); err != nil {
			t.Error(err)
		}
	}
	tokens := map[string]int{}
	for _, p := range processes {
		text, err := io.ReadAll(p.out)
		if err != nil {
			t.Error(err)
		}
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
		for line := range strings.Lines(string(text)) {
			tokens[strings.TrimSpace(line)]++
		}
	}
	if len(tokens) != 1 {
		t.Errorf("they do not agree: %v", tokens)
	}
	for line, n := range tokens {
		if n != 12 || !strings.HasPrefix(line, "gho_") || !strings.HasSuffix(line, " <nil>") {
			t.Errorf("%d of %q", n, line)
		}
	}
	if got := server.Counters(); got.Refreshes != 1 || got.Reused != 0 {
		t.Errorf("%+v", got)
	}
}
