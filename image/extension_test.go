package image

import (
	"context"
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
const mine = { uri: { scheme: "file" }, isDirty: true }, other = { uri: { scheme: "file" }, isDirty: true };
const output = { uri: { scheme: "output" }, isDirty: true };
const vscode = {
  TextDocumentSaveReason: { Manual: 1, AfterDelay: 2, FocusOut: 3 },
  window: {
    state: { focused: true, active: true }, activeTextEditor: { document: mine },
    onDidChangeTextEditorSelection: on("selection"), onDidChangeTextEditorVisibleRanges: on("scroll"), onDidChangeWindowState: on("window"),
  },
  workspace: { onDidChangeTextDocument: on("text"), onWillSaveTextDocument: on("save") },
};
const load = Module._load;
Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));
require("node:http").request = ({ method, path, socketPath }) => {
  console.log(method, path, "at", socketPath);
  return { on() {}, end() {} };
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
		"saving":                        {`handlers.save({ reason: 1 })`, []string{"save"}},
		"saving by itself":              {`handlers.save({ reason: 2 })`, nil},
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
			for _, activity := range c.want {
				fmt.Fprintf(&want, "POST %s%s at %s\n", bridge.LocalActivityPath, activity, bridge.LocalSocket)
			}
			if err != nil || string(out) != want.String() {
				t.Errorf("told %q (%v), want %q", out, err, &want)
			}
		})
	}
}
