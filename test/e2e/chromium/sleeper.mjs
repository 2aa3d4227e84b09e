// What the tests of sleep share: a person with a tab of VS Code at its own address, and another of the console.
import { ask, assert, launch, until } from "./browser.mjs";
import * as vscode from "./editor.mjs";
import { isolate } from "./network.mjs";

const origin = process.env.KALPANA_CONSOLE;
const socket = process.env.KALPANA_SOCKET;
if (socket) await isolate(Number(new URL(origin).port), socket);

export const context = await launch();
context.setDefaultTimeout(30_000);
context.setDefaultNavigationTimeout(30_000);
const list = await context.newPage();
export const own = await context.newPage();

/** What the page in `own` did: complaints about its policy, and wakes that it asked for. */
export const seen = { violations: [], wakes: 0 };
own.on("console", (message) => {
  if (/content security policy/i.test(message.text())) seen.violations.push(message.text());
});
own.on("request", (request) => {
  if (request.url().endsWith("/.kalpana/wake")) seen.wakes++;
});

/** Calls the console's API as its page does. */
export const api = (method, path, body) =>
  list.evaluate(
    async ([method, path, body]) => {
      const headers = body ? { "Content-Type": "application/json" } : {};
      const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
      return { status: response.status, json: await response.json().catch(() => undefined) };
    },
    [method, path, body],
  );

let workspace;
export const state = async () => (await api("GET", `/api/workspaces/${workspace.id}`)).json.state;
export const become = (wanted) => until(`the workspace to be ${wanted}`, state, (s) => s === wanted, 60_000);
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks for a change of the workspace: start, stop. */
export async function change(verb) {
  const answer = await api("POST", `/api/workspaces/${workspace.id}/${verb}`);
  assert(answer.status === 202, `${verb}: ${answer.status}`);
}

/** Runs the command `kalpana` in the container. */
export const command = (path) => ask({ ask: "kalpana", id: workspace.id, path });

/** What VS Code has kept of text that is not saved. */
export const backups = () => ask({ ask: "backups", id: workspace.id });

export const over = own.locator("#kalpana-sleep");
export const notice = own.getByRole("dialog", { name: "This workspace sleeps." });
export const text = (wanted) => own.locator(".part.editor .view-line").filter({ hasText: wanted });
export const mark = () => own.evaluate(() => void (window.unreloaded = true));
export const unreloaded = () => own.evaluate(() => window.unreloaded === true);

/** Signs in, opens VS Code in a new workspace that is kept awake for an hour, and types into a new file. */
export async function open(name, typed) {
  await list.goto(await ask({ ask: "link" }));
  await list.getByRole("button", { name: "Sign in", exact: true }).click();
  await list.waitForURL(`${origin}/workspaces`);
  const made = await api("POST", "/api/workspaces", { name, template: "blank" });
  assert(made.status === 201, `creating a workspace: ${made.status}`);
  workspace = made.json;
  await own.goto(workspace.url);
  await own.bringToFront();
  await become("running");
  const kept = await command("keep-alive 1h"); // VS Code may take its time on a busy machine
  assert(kept.startsWith("Kept awake for 1h, until "), kept);
  await vscode.workbench(own);
  await vscode.settled(own);
  await mark();
  await own.locator(".explorer-folders-view").click({ position: { x: 100, y: 300 } }); // below the files
  await own.keyboard.press("Control+Alt+n"); // a new file that has no name yet
  await own.locator(".tab.active[data-resource-name^='Untitled']").waitFor();
  await own.keyboard.type(typed);
  await text(typed).waitFor();
}
