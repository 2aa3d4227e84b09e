package cli

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// fakeBridge answers as the bridge does and tells what it was asked.
func fakeBridge(t *testing.T, handler http.HandlerFunc) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kc") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	srv.Start()
	t.Cleanup(srv.Close)
	return socket
}

func call(socket string, args ...string) (code int, stdout, stderr string) {
	var out, err strings.Builder
	code = Run(args, socket, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func TestKeepAlive_AsksForWhatWasSaid(t *testing.T) {
	for arg, want := range map[string]float64{"2h": 7200, "30m": 1800, "1h30m": 5400, "1d": 86400, "1d2h": 93600, "90s": 90} {
		var asked bridge.KeepAliveRequest
		socket := fakeBridge(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut || r.URL.Path != bridge.LocalKeepAlivePath {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			_ = json.NewDecoder(r.Body).Decode(&asked)
			_ = json.NewEncoder(w).Encode(bridge.LocalStatus{Activity: bridge.Activity{KeepAlive: min(asked.Seconds, 86400)}})
		})
		code, out, stderr := call(socket, "keep-alive", arg)
		if code != 0 || asked.Seconds != want || !strings.HasPrefix(out, "Kept awake for "+short(min(time.Duration(want)*time.Second, 24*time.Hour))+", until ") {
			t.Errorf("%s: %d %q %q, asked for %v", arg, code, out, stderr, asked)
		}
		if got := strings.Contains(out, "longest there is"); got != (want > 86400) {
			t.Errorf("%s: %q", arg, out)
		}
	}
}

func TestKeepAlive_OffEndsIt(t *testing.T) {
	var method string
	socket := fakeBridge(t, func(w http.ResponseWriter, r *http.Request) {
		method = r.Method
		_ = json.NewEncoder(w).Encode(bridge.LocalStatus{})
	})
	if code, out, stderr := call(socket, "keep-alive", "off"); code != 0 || method != http.MethodDelete || !strings.Contains(out, "No longer") {
		t.Errorf("%d %q %q by %s", code, out, stderr, method)
	}
}

func TestStatus_TellsOfUseAndOfBeingKeptAwake(t *testing.T) {
	socket := fakeBridge(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(bridge.LocalStatus{Workspace: "abcdefghij", Activity: bridge.Activity{
			KeepAlive: 3600, Last: []bridge.LastActivity{{Name: "typing", Ago: 12.4}},
		}})
	})
	code, out, _ := call(socket, "status")
	for _, want := range []string{"Workspace abcdefghij\n", "Kept awake for 1h, until ", "typing     12s ago\n"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
}

func TestRun_WhatIsNotUnderstoodGetsTheHelp(t *testing.T) {
	for _, args := range [][]string{
		{"sleep"},
		{"keep-alive"},
		{"keep-alive", "2h", "now"},
		{"status", "x"},
		{"keep-alive", "2"},
		{"keep-alive", "-2h"},
		{"keep-alive", "soon"},
		{"keep-alive", "1ms"},
		{"keep-alive", "99999999d"},
		{"keep-alive", "d"},
		{"keep-alive", ""},
		{"keep-alive", "-1d"},
	} {
		if code, out, stderr := call("/nowhere", args...); code != 2 || out != "" || !strings.Contains(stderr, "kalpana keep-alive <time>") {
			t.Errorf("%q: %d %q %q", args, code, out, stderr)
		}
	}
	for _, args := range [][]string{{}, {"help"}, {"--help"}} {
		if code, out, _ := call("/nowhere", args...); code != 0 || out != help {
			t.Errorf("%q: %d %q", args, code, out)
		}
	}
}

func TestRun_SaysWhereItWorksAndWhyItWasRefused(t *testing.T) {
	if code, _, stderr := call("/nowhere/s", "status"); code != 1 || !strings.Contains(stderr, "inside a Kalpana workspace") {
		t.Errorf("%d %q", code, stderr)
	}
	socket := fakeBridge(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not \x1b[31mtoday", http.StatusTeapot) })
	if code, _, stderr := call(socket, "status"); code != 1 || !strings.Contains(stderr, "today") || strings.Contains(stderr, "\x1b") {
		t.Errorf("%d %q", code, stderr)
	}
}

func TestGitCredential_AsksForTheRepositoryAndKeepsNothing(t *testing.T) {
	var asked bridge.GitCredentialParams
	socket := fakeBridge(t, func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(&asked)
		switch asked.Host {
		case "git.example.com":
			_ = json.NewEncoder(w).Encode(bridge.Credential{Username: "ann", Password: "s3cret"})
		case "odd.example.com":
			_ = json.NewEncoder(w).Encode(bridge.Credential{Username: "ann", Password: "s3cret\nurl=https://evil.example"})
		default:
			http.Error(w, "the workspace's owner did not allow this repository", http.StatusForbidden)
		}
	})
	helper := func(operation, stdin string) (code int, stdout, stderr string) {
		var out, err strings.Builder
		code = Run([]string{"git-credential", operation}, socket, strings.NewReader(stdin), &out, &err)
		return code, out.String(), err.String()
	}
	code, out, _ := helper("get", "protocol=https\nhost=git.example.com\npath=acme/shop.git\nwwwauth[]=Basic\n\n")
	if code != 0 || out != "username=ann\npassword=s3cret\n" || asked != (bridge.GitCredentialParams{Protocol: "https", Host: "git.example.com", Path: "acme/shop.git"}) {
		t.Errorf("%d %q, asked for %+v", code, out, asked)
	}
	if code, out, stderr := helper("get", "protocol=https\nhost=evil.example\npath=x\n"); code != 1 || out != "" || !strings.Contains(stderr, "did not allow") {
		t.Errorf("refused: %d %q %q", code, out, stderr)
	}
	if code, out, _ := helper("get", "protocol=https\nhost=odd.example.com\npath=x\n"); code != 1 || out != "" {
		t.Errorf("a credential of two lines: %d %q", code, out)
	}
	asked = bridge.GitCredentialParams{}
	for _, operation := range []string{"store", "erase"} {
		if code, out, _ := helper(operation, "protocol=https\nhost=git.example.com\nusername=ann\npassword=s3cret\n"); code != 0 || out != "" || asked.Host != "" {
			t.Errorf("%s: %d %q, asked for %+v", operation, code, out, asked)
		}
	}
	if code, out, _ := helper("get", "protocol=imap\nhost=mail.example.com\n"); code != 0 || out != "" || asked.Host != "" {
		t.Errorf("a mail server: %d %q, asked for %+v", code, out, asked)
	}
}
