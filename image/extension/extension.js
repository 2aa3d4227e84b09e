// Tells the bridge of this container what a person does in VS Code, and which files they save. Traffic says nothing: a window that nobody looks
// at sends and receives all the time.
"use strict";

const http = require("node:http");
const vscode = require("vscode");

const socketPath = "/run/kalpana/bridge.sock"; // the bridge's
// ms between two messages of one name: the bridge counts in minutes.
const pause = 10_000;
// ms between two looks at whether the window is being used all the while, which makes no event.
const look = 120_000;

const told = new Map();

function tell(name) {
  const now = performance.now();
  if (now - (told.get(name) ?? -pause) < pause) return;
  told.set(name, now);
  post(`/activity/${name}`);
}

function post(path, body) {
  const request = http.request({ socketPath, method: "POST", path, agent: false, timeout: 5000 });
  request.on("response", (response) => response.resume());
  request.on("timeout", () => request.destroy());
  request.on("error", () => {}); // whoever ends the bridge ends this as well
  request.end(body);
}

const most = 100; // paths in one message

// Files that are saved, made, moved or deleted here are a person's work, and not that of a command which the agent runs
// at the same time: an undo of the command leaves them.
function mine(uris) {
  const paths = uris.filter(({ scheme }) => scheme === "file").map(({ fsPath }) => fsPath);
  for (let i = 0; i < paths.length; i += most) post("/files", JSON.stringify({ paths: paths.slice(i, i + most) }));
}

// Output panels and the like change by themselves.
const written = new Set(["file", "untitled", "vscode-notebook-cell", "vscode-remote", "vscode-userdata"]);
const isActive = (document) => document === vscode.window.activeTextEditor?.document && written.has(document.uri.scheme);

exports.activate = ({ subscriptions }) => {
  const { window, workspace } = vscode;
  let focused = window.state.focused;
  subscriptions.push(
    // A file that changed on disk, or that a program formats elsewhere, is not typing: it is clean, or not in front.
    workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      if (contentChanges.length > 0 && document.isDirty && window.state.focused && isActive(document)) tell("typing");
    }),
    // Without a kind, a program did it.
    window.onDidChangeTextEditorSelection(({ kind, textEditor }) => {
      if (kind !== undefined && isActive(textEditor.document)) tell("selection");
    }),
    window.onDidChangeTextEditorVisibleRanges(({ textEditor }) => {
      if (window.state.focused && isActive(textEditor.document)) tell("selection"); // scrolled
    }),
    workspace.onWillSaveTextDocument(({ document, reason }) => {
      if (reason === vscode.TextDocumentSaveReason.Manual) tell("save");
      mine([document.uri]);
    }),
    workspace.onDidSaveTextDocument(({ uri }) => mine([uri])),
    workspace.onDidCreateFiles(({ files }) => mine(files)),
    workspace.onDidDeleteFiles(({ files }) => mine(files)),
    workspace.onDidRenameFiles(({ files }) => mine(files.flatMap(({ oldUri, newUri }) => [oldUri, newUri]))),
    // "active" is that somebody pressed a key, clicked or touched anywhere in the window within the last minute. A window
    // that only has the focus is not.
    window.onDidChangeWindowState((state) => {
      if (state.focused !== focused || (state.focused && state.active)) tell("focus");
      focused = state.focused;
    }),
  );
  const timer = setInterval(() => {
    if (window.state.focused && window.state.active) tell("focus");
  }, look);
  subscriptions.push({ dispose: () => clearInterval(timer) });
};
