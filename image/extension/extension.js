// Tells the bridge of this container what a person does in VS Code, and which files they save. Traffic says nothing: a window that nobody looks
// at sends and receives all the time. And says when the workspace's repository could not be cloned.
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

/** How the workspace folder is being filled: { repository, filling, fault }; nothing where the bridge does not say. */
function folder(method) {
  return new Promise((resolve) => {
    const request = http.request({ socketPath, method, path: "/folder", agent: false, timeout: 5000 });
    request.on("response", async (response) => {
      try {
        resolve(JSON.parse((await response.toArray()).join("")));
      } catch {
        resolve();
      }
    });
    request.on("timeout", () => request.destroy());
    request.on("error", () => resolve());
    request.end();
  });
}

// Shows that the repository is being cloned, and that it could not be. This returns when it is there, or when somebody
// does not want it tried again.
async function cloned() {
  for (let now = await folder("GET"); now; now = await folder("POST")) {
    if (now.filling) {
      const title = now.repository ? `Cloning ${now.repository}` : "Filling the workspace folder";
      now = await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title }, async () => {
        let later = now;
        while (later?.filling) {
          await new Promise((resolve) => setTimeout(resolve, 500));
          later = await folder("GET");
        }
        return later;
      });
    }
    if (!now?.fault) return;
    const fault = now.fault[0].toUpperCase() + now.fault.slice(1);
    if ((await vscode.window.showErrorMessage(`${fault} (${now.repository})`, "Try Again")) !== "Try Again") return;
  }
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
  void cloned();
};
