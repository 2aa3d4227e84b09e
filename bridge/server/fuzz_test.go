package server

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/kalpana-dev/kalpana/bridge"
)

// harmless are the methods that fuzzing may call: nothing of what it makes up is run.
var harmless = []string{
	bridge.MethodHello, bridge.MethodHealth, bridge.MethodReadFile, bridge.MethodWriteFile, bridge.MethodEditFile, bridge.MethodListFiles,
	bridge.MethodCommandOutput, bridge.MethodStopCommand, bridge.MethodListCommands, bridge.MethodCloseTerminal, bridge.MethodListTerminals,
	bridge.MethodBeginCheckpoint, bridge.MethodEndCheckpoint, bridge.MethodCheckpointChanges, bridge.MethodUndoCheckpoints, bridge.MethodForgetCheckpoints,
}

// fuzzed returns the harmless methods of a bridge whose workspace folder has something in it, and a secret beside it.
func fuzzed(t testing.TB) (h *rpc, secret string) {
	home := t.TempDir()
	workspace := filepath.Join(home, "workspace")
	if err := os.MkdirAll(filepath.Join(workspace, "folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	secret = filepath.Join(home, "secret")
	for name, content := range map[string]string{secret: "secret", filepath.Join(workspace, "file.txt"): "one\ntwo\n", filepath.Join(workspace, "folder/x"): "\xff\x00"} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(workspace, "link")); err != nil {
		t.Fatal(err)
	}
	s := &Server{cfg: Config{WorkspaceDir: workspace, RunDir: home, timing: timing{stream: bridge.DefaultTiming}}, log: newStartLog(&syncBuffer{}), ready: newReadiness()}
	s.gateways, s.checkpoints = newGateways(time.Second), newCheckpoints(workspace, nil)
	t.Cleanup(s.checkpoints.Close)
	h = newRPC(s)
	all := h.methods
	h.methods = map[string]method{}
	for _, name := range harmless {
		h.methods[name] = all[name]
	}
	return h, secret
}

// serveHTTP serves on a port of the loopback, and returns the address.
func serveHTTP(t testing.TB, handler http.Handler) string {
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// FuzzParams calls methods with whatever parameters. They answer with a result that fits into a frame or a named error,
// and never touch what is outside.
func FuzzParams(f *testing.F) {
	for _, name := range harmless {
		f.Add(name, `{}`)
		f.Add(name, `null`)
		f.Add(name, `[1]`)
	}
	for _, seed := range [][2]string{
		{"readFile", `{"path":"file.txt"}`},
		{"readFile", `{"path":"../secret"}`},
		{"readFile", `{"path":"link"}`},
		{"readFile", `{"path":"file.txt","offset":9223372036854775807,"limit":1}`},
		{"readFile", `{"path":"file.txt","line":2,"lines":9223372036854775807}`},
		{"readFile", `{"path":"folder/../file.txt\u0000"}`},
		{"writeFile", `{"path":"link","content":"x"}`},
		{"writeFile", `{"path":"a/b/c","content":"eA==","encoding":"base64","createDirs":true}`},
		{"writeFile", `{"path":"../secret","content":"x"}`},
		{"writeFile", `{"path":"folder","content":"x"}`},
		{"editFile", `{"path":"file.txt","edits":[{"old":"one","new":"1"}]}`},
		{"editFile", `{"path":"link","edits":[{"old":"secret","new":""}]}`},
		{"listFiles", `{"path":"","recursive":true,"limit":5000}`},
		{"listFiles", `{"path":"..","recursive":true}`},
		{"commandOutput", `{"id":"x","offset":-9223372036854775808}`},
		{"beginCheckpoint", `{"chat":"c","message":"m","call":"1"}`},
		{"beginCheckpoint", `{"chat":"c","message":"m","call":"1","paths":["../secret","link","file.txt","/etc/passwd"]}`},
		{"undoCheckpoints", `{"chat":"c","path":"../secret"}`},
		{"checkpointChanges", `{"chat":"c","path":"/","diffs":true}`},
		{"closeTerminal", `{"id":"\u001b[2J"}`},
		{"hello", `{"protocol":-1}`},
		{"hello", `{"protocol":1e400}`},
	} {
		f.Add(seed[0], seed[1])
	}
	h, secret := fuzzed(f)
	f.Fuzz(func(t *testing.T, name, params string) {
		serve, ok := h.methods[name]
		if !ok || strings.Contains(params, "waitSeconds") {
			t.Skip("no method, or one that waits as long as it is told")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		result, err := serve(ctx, json.RawMessage(params))
		var named *bridge.Error
		switch {
		case err != nil && !errors.As(err, &named):
			t.Errorf("%s %q: %v has no name", name, params, err)
		case err == nil:
			answer, err := json.Marshal(result)
			if err != nil || len(answer) > bridge.MaxFrame || strings.Contains(string(answer), "secret\"") {
				t.Errorf("%s %q: %d bytes, %v", name, params, len(answer), err)
			}
		case named.Message == "" || bridge.Printable(named.Message, 2000) != named.Message:
			t.Errorf("%s %q: %q", name, params, named.Message)
		}
		if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
			t.Fatalf("%s %q reached outside: %q, %v", name, params, got, err)
		}
	})
}

// FuzzFrame sends whatever frame. The bridge answers what is the protocol, hangs up on what is not, and serves others
// as before.
func FuzzFrame(f *testing.F) {
	for _, seed := range []string{
		`{"jsonrpc":"2.0","id":1,"method":"health"}`, `{"jsonrpc":"2.0","id":"a","method":"hello","params":{"protocol":1}}`,
		`{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}`, `{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":{}}}`,
		`{"jsonrpc":"2.0","id":null,"method":"health"}`, `{"id":1}`, `{}`, `[]`, `null`, `"`, ``, `{"jsonrpc":"2.0","id":1,"result":{}}`,
		`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`, `{"jsonrpc":"2.0","id":18446744073709551615,"method":"health"}`,
		`{"jsonrpc":"2.0","id":-1,"method":"readFile","params":{"path":"file.txt"}}`, `[{"jsonrpc":"2.0","id":1,"method":"health"}]`,
		strings.Repeat(`{"a":`, 1000), `{"jsonrpc":"2.0","id":1,"method":"health"}{"jsonrpc":"2.0","id":2,"method":"health"}`, "\xff\xfe",
	} {
		f.Add([]byte(seed), false)
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"method":"health"}`), true)
	h, secret := fuzzed(f)
	addr := serveHTTP(f, h)
	f.Fuzz(func(t *testing.T, frame []byte, binary bool) {
		ws, resp, err := websocket.DefaultDialer.Dial("ws://"+addr, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		defer ws.Close()
		kind := websocket.TextMessage
		if binary {
			kind = websocket.BinaryMessage
		}
		_ = ws.WriteMessage(kind, frame)
		_ = ws.WriteMessage(websocket.TextMessage, []byte(`{"jsonrpc":"2.0","id":"last","method":"health"}`))
		_ = ws.SetReadDeadline(time.Now().Add(20 * time.Second))
		for {
			_, answer, err := ws.ReadMessage()
			if err != nil {
				if strings.Contains(err.Error(), "timeout") {
					t.Fatalf("%q: neither answered nor hung up", frame)
				}
				break // it was not the protocol
			}
			if !json.Valid(answer) || strings.Contains(string(answer), "secret") {
				t.Fatalf("%q: answered %q", frame, answer)
			}
			if strings.Contains(string(answer), `"last"`) {
				break
			}
		}
		if got, err := os.ReadFile(secret); err != nil || string(got) != "secret" {
			t.Fatalf("%q reached outside: %q, %v", frame, got, err)
		}
	})
}

// FuzzCommand checks the parameters of commands, git and terminals without running any.
func FuzzCommand(f *testing.F) {
	f.Add(`{"command":"x"}`)
	f.Add(`{"argv":["a","b\u0000"],"env":["A=1"],"timeoutSeconds":-1}`)
	f.Add(`{"argv":[""],"stdin":"x"}`)
	f.Add(`{"env":["="],"command":"x"}`)
	f.Add(`{"push":{"remote":"-x","credential":{"url":"https://host/a'$(id)","password":"p"}}}`)
	f.Add(`{"diff":{"from":"--output=x","paths":["","a"]}}`)
	f.Add(`{"push":{"credential":{"url":"https://Host/a/b.git","username":"u","password":"p"}}}`)
	f.Fuzz(func(t *testing.T, params string) {
		var run bridge.RunCommandParams
		if json.Unmarshal([]byte(params), &run) == nil {
			if argv, limit, err := commandOf(run); err == nil && (len(argv) == 0 || argv[0] == "" || limit <= 0 || limit > bridge.MaxTimeoutSeconds*time.Second) {
				t.Errorf("%q: %q for %s", params, argv, limit)
			}
		}
		var git bridge.GitParams
		if json.Unmarshal([]byte(params), &git) != nil {
			return
		}
		if git.Diff != nil {
			if specs, err := pathspecs(git.Diff.Paths); err == nil {
				for _, spec := range specs[1:] {
					if !strings.HasPrefix(spec, ":(literal)") || len(spec) == len(":(literal)") || strings.Contains(spec, "\x00") {
						t.Errorf("%q: %q", params, spec)
					}
				}
			}
			if checkRevision(git.Diff.From, "x") == nil && (strings.HasPrefix(git.Diff.From, "-") || strings.ContainsAny(git.Diff.From, " \n\x00")) {
				t.Errorf("%q: %q is taken for a revision", params, git.Diff.From)
			}
		}
		if git.Push != nil && git.Push.Credential != nil {
			if base, path, err := credentialURL(*git.Push.Credential); err == nil {
				if strings.ContainsAny(path, "'\"$`\\ \n;&|<>()") || strings.ContainsAny(base, "'\n\x00 ") || !strings.HasPrefix(base, "http") {
					t.Errorf("%q: %q, %q", params, base, path)
				}
				if bridge.RepositoryURL(git.Push.Credential.URL) != base {
					t.Errorf("%q: %q is not %q", params, base, bridge.RepositoryURL(git.Push.Credential.URL))
				}
			}
		}
	})
}

// FuzzOutput reads what programs print, whatever it is.
func FuzzOutput(f *testing.F) {
	f.Add([]byte(`{"type":"match","data":{"path":{"text":"a"},"lines":{"text":"x\n"},"line_number":1,"submatches":[{"start":0}]}}`))
	f.Add([]byte("a\x00b\x00c\x00d\x00e\x00f\x00"))
	f.Add([]byte("origin\thttps://u:p@host/x (fetch)\norigin\tx (push)\n"))
	f.Add([]byte("0100007F:1F90"))
	f.Fuzz(func(t *testing.T, b []byte) {
		match, _ := eventOf(b)
		if len(match.Text) > bridge.MaxMatchText {
			t.Errorf("%q: %d bytes", b, len(match.Text))
		}
		for _, c := range commitsOf(b) {
			if len(c.Body) > bridge.MaxCommitMessage || strings.Contains(c.Subject, "\n") {
				t.Errorf("%q: %+v", b, c)
			}
		}
		if got := withoutPassword(string(b)); len(got) > 3*bridge.MaxPath {
			t.Errorf("%q: %d bytes", b, len(got))
		}
		_, _ = socketAddr(string(b))
		_ = gitFailure(string(b))
	})
}
