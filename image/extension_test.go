package image

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

// played is VS Code as far as the extension sees it; the events of a case follow.
const played = `
const Module = require("node:module");
const handlers = {};
const on = (name) => (handler) => (handlers[name] = handler, { dispose() {} });
const uri = (fsPath, scheme = "file") => ({ scheme, fsPath });
const mine = { uri: uri("/w/mine"), isDirty: true }, other = { uri: uri("/w/other"), isDirty: true };
const output = { uri: uri("", "output"), isDirty: true };
const vscode = {
  TextDocumentSaveReason: { Manual: 1, AfterDelay: 2, FocusOut: 3 },
  window: {
    state: { focused: true, active: true }, activeTextEditor: { document: mine },
    onDidChangeTextEditorSelection: on("selection"), onDidChangeTextEditorVisibleRanges: on("scroll"), onDidChangeWindowState: on("window"),
  },
  workspace: {
    onDidChangeTextDocument: on("text"), onWillSaveTextDocument: on("save"), onDidSaveTextDocument: on("saved"),
    onDidCreateFiles: on("made"), onDidDeleteFiles: on("deleted"), onDidRenameFiles: on("moved"),
  },
};
const load = Module._load;
Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));
require("node:http").request = ({ method, path, socketPath }) => {
  return { on() {}, end(body = "") { console.log(method, path + body, "at", socketPath); } };
};
const subscriptions = [];
require(process.argv[1]).activate({ subscriptions });
const text = (document) => handlers.text({ document, contentChanges: [{}] });
const turn = (focused, active) => handlers.window((vscode.window.state = { focused, active }));
const later = (ms) => { const now = performance.now.bind(performance); performance.now = () => now() + ms; };
setTimeout(() => subscriptions.forEach((s) => s.dispose()));
`

func TestExtension_OnlyWhatAPersonDoesIsTold(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is not installed")
	}
	extension, err := filepath.Abs(filepath.Join("extension", "extension.js"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		events string
		want   []string
	}{
		"nothing, with the focus":       {`turn(true, false)`, nil},
		"typing, once in ten seconds":   {`for (let i = 0; i < 100; i++) text(mine)`, []string{"typing"}},
		"a change of another file":      {`text(other)`, nil},
		"a change on disk":              {`text(Object.assign(mine, { isDirty: false }))`, nil},
		"a change without the focus":    {`vscode.window.state.focused = false; text(mine)`, nil},
		"output":                        {`vscode.window.activeTextEditor.document = output; text(output)`, nil},
		"a change of nothing":           {`handlers.text({ document: mine, contentChanges: [] })`, nil},
		"the cursor":                    {`handlers.selection({ kind: 1, textEditor: { document: mine } })`, []string{"selection"}},
		"the cursor, moved by programs": {`handlers.selection({ kind: undefined, textEditor: { document: mine } })`, nil},
		"scrolling":                     {`handlers.scroll({ textEditor: { document: mine } })`, []string{"selection"}},
		"saving":                        {`handlers.save({ reason: 1, document: mine }); handlers.saved(mine)`, []string{"save", personal("/w/mine"), personal("/w/mine")}},
		"saving by itself":              {`handlers.save({ reason: 2, document: mine }); handlers.saved(mine)`, []string{personal("/w/mine"), personal("/w/mine")}},
		"saving what is no file":        {`handlers.save({ reason: 2, document: output }); handlers.saved(output)`, nil},
		"making and deleting files":     {`handlers.made({ files: [uri("/w/a"), uri("/w/b")] }); handlers.deleted({ files: [uri("/w/a")] })`, []string{personal("/w/a", "/w/b"), personal("/w/a")}},
		"moving a file":                 {`handlers.moved({ files: [{ oldUri: uri("/w/a"), newUri: uri("/w/b") }] })`, []string{personal("/w/a", "/w/b")}},
		"turning away":                  {`turn(false, false)`, []string{"focus"}},
		"coming back":                   {`turn(false, false); later(10_001); turn(true, false)`, []string{"focus", "focus"}},
		"using another part of it":      {`turn(true, true)`, []string{"focus"}},
		"no editor at all":              {`vscode.window.activeTextEditor = undefined; text(mine); turn(true, false)`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, node, "-e", played+c.events, extension).CombinedOutput()
			var want strings.Builder
			fmt.Fprintf(&want, "GET %s at %s\n", bridge.LocalFolderPath, bridge.LocalSocket) // as it starts
			for _, activity := range c.want {
				path := bridge.LocalActivityPath + activity
				if strings.HasPrefix(activity, "{") {
					path = bridge.LocalFilesPath + activity
				}
				fmt.Fprintf(&want, "POST %s at %s\n", path, bridge.LocalSocket)
			}
			if err != nil || string(out) != want.String() {
				t.Errorf("told %q (%v), want %q", out, err, &want)
			}
		})
	}
}

// personal is the message about files.
func personal(paths ...string) string {
	body, err := json.Marshal(bridge.PersonFiles{Paths: paths})
	if err != nil {
		panic(err)
	}
	return string(body)
}
