// A person's way through Kalpana, from the sign-in link to a deleted workspace, in Chromium.
// Prints one JSON line a step, {step, ok, ms, error}; asks the test that runs it for sign-in
// links and for what files hold on disk. Environment:
//
//	KALPANA_CONSOLE      the console's address
//	KALPANA_CHROMIUM     the browser's program
//	KALPANA_SCREENSHOTS  where pictures go
//	KALPANA_SOCKET       the gateway's Unix socket, if this runs in a network namespace of its own
import { ask, assert, audit, complaints, launch, look, shoot, shootBoth, step, until, walk, watch } from "./browser.mjs";
import * as vscode from "./editor.mjs";
import { isolate } from "./network.mjs";

const origin = process.env.KALPANA_CONSOLE;
const socket = process.env.KALPANA_SOCKET;
if (socket) await isolate(Number(new URL(origin).port), socket);

// What Chromium logs as an error although all is well.
const expected = [
  /status of 401 .*\(\/api\/me\)/, // the landing page asks whether somebody is signed in
  /status of 404 .*\(\/handoff\?/, // the address of a deleted workspace, below
];
if (!socket) expected.push(/ERR_NETWORK_CHANGED/); // see network.mjs

const context = await launch();
context.setDefaultTimeout(30_000);
context.setDefaultNavigationTimeout(30_000);

async function newTab(address) {
  const tab = await context.newPage();
  watch(tab, origin, expected);
  if (address) await tab.goto(address);
  return tab;
}

const button = (page, name) => page.getByRole("button", { name, exact: true });
const state = (page, name) => page.locator(`[data-state="${name}"]`);
const link = () => ask({ ask: "link" });
const onDisk = (id, path) => ask({ ask: "file", id, path });
/** Goes to a tab, as a person does: one in the background paints nothing, and VS Code waits for that. */
const turnTo = (page) => page.bringToFront();
/** Marks a page, so that a reload would show. */
const mark = (page) => page.evaluate(() => void (window.unreloaded = true));
const unreloaded = (page) => page.evaluate(() => window.unreloaded === true);

async function signIn(page) {
  await page.goto(await link());
  await button(page, "Sign in").click();
}

const name = "main-job";
let id, address;

async function journey() {
  // Three tabs: the console's workspace view, its list, and the workspace's own address.
  const view = await newTab();
  let list, own;
  const pane = view.frameLocator('iframe[title^="VS Code"]');

  await step("landing page", async () => {
    await view.goto(origin);
    await view.getByText("kalpana sign-in-link").waitFor();
    await look(view, "landing");
  });

  await step("sign in by the link", async () => {
    await view.goto(await link());
    await button(view, "Sign in").waitFor();
    assert(!view.url().includes("#"), "the token stays in the address bar");
    await look(view, "sign-in-link");
    await button(view, "Sign in").click();
    await view.waitForURL(`${origin}/workspaces`);
  });

  await step("empty dashboard", async () => {
    await view.getByText("No workspaces yet").waitFor();
    await look(view, "workspaces-empty");
  });

  await step("create from a template", async () => {
    await view.getByRole("link", { name: "New workspace" }).click();
    await view.getByRole("radio", { name: /^Node/ }).click();
    await view.getByLabel("Name").fill(name);
    await look(view, "new-workspace");
    await button(view, "Create workspace").click();
    await view.waitForURL(/\/w\/[a-z2-7]{10}$/);
    id = new URL(view.url()).pathname.slice("/w/".length);
    address = `${origin.replace("//", `//${id}.ws.`)}/`;
  });

  await step("wake page in the pane", async () => {
    await pane.locator("#stages li.now").waitFor();
    await pane.getByRole("heading", { name: "Waking your workspace" }).waitFor();
    await shoot(view, "waking-in-the-pane");
  });

  await step("VS Code in the pane", async () => {
    await vscode.workbench(pane);
    await vscode.assertDark(pane);
    await vscode.settled(pane);
    await state(view, "running").waitFor();
    await look(view, "workspace");
  });

  await step("VS Code at its own address", async () => {
    own = await newTab(address);
    await vscode.workbench(own);
    await vscode.assertDark(own);
    await vscode.settled(own);
  });

  await step("terminal", async () => {
    await vscode.terminal(own, own);
    const made = async () => (await onDisk(id, "made.txt")) === "hello-42\n";
    await vscode.run(own, own, "echo hello-$((40+2)) > made.txt", made);
    await vscode.file(own, "made.txt").waitFor();
  });

  await step("no nagging", async () => {
    await vscode.assertQuiet(own);
    await shoot(own, "vscode-terminal");
  });

  await step("both tabs show the new file", async () => {
    await turnTo(view);
    await vscode.file(pane, "made.txt").waitFor();
    await vscode.assertQuiet(pane);
  });

  await step("edit and save", async () => {
    await turnTo(own);
    await vscode.open(own, own, "README.md");
    await own.keyboard.type("\nWritten in the browser.");
    await own.keyboard.press("Control+s");
    await until("README.md on disk", () => onDisk(id, "README.md"), (text) => text.includes("Written in the browser."));
    await shoot(own, "vscode-editor");
  });

  let reconnects = 0;
  await step("stop from the list, seen live in both tabs", async () => {
    list = await newTab(`${origin}/workspaces`);
    await state(list, "running").waitFor();
    await look(list, "workspaces-running");
    await Promise.all([mark(view), mark(list)]);
    own.on("websocket", () => reconnects++);
    await button(list, `Stop ${name}`).click();
    await state(list, "stopped").waitFor();
    await view.getByRole("heading", { name: `${name} is stopped` }).waitFor();
    assert((await unreloaded(view)) && (await unreloaded(list)), "a console tab was reloaded");
    await look(list, "workspaces-stopped");
    await turnTo(view);
    await look(view, "workspace-stopped");
  });

  await step("a forgotten tab does not wake it", async () => {
    await turnTo(own);
    const before = reconnects;
    await until("the forgotten tab to try again", () => reconnects - before, (n) => n >= 2, 30_000);
    const now = await list.evaluate((url) => fetch(url).then((r) => r.json()), `/api/workspaces/${id}`);
    assert(now.state === "stopped", `the workspace is ${now.state}`);
    await state(list, "stopped").waitFor();
    await shoot(own, "vscode-disconnected");
  });

  await step("wake page at the address", async () => {
    // The page reloads itself as soon as the workspace is awake: not before it was seen.
    let seen, loads = 0;
    const looked = new Promise((resolve) => { seen = resolve; });
    const page = (url) => `${url.origin}/` === address && url.pathname === "/";
    await own.route(page, async (route) => {
      if (loads++ > 0) await looked;
      await route.continue();
    });
    const response = await own.goto(address, { waitUntil: "commit" });
    assert(response.status() === 503, `the address of a stopped workspace answers ${response.status()}`);
    await own.locator("#stages li.now, #stages li.done").first().waitFor();
    await shootBoth(own, "waking");
    seen();
    await own.unroute(page);
  });

  await step("awake again, files kept", async () => {
    await vscode.workbench(own);
    await vscode.assertDark(own);
    await vscode.file(own, "made.txt").waitFor();
    await vscode.open(own, own, "README.md");
    await own.locator(".view-line").filter({ hasText: "Written in the browser." }).waitFor();
    const text = await onDisk(id, "README.md");
    assert(text.endsWith("\nWritten in the browser."), `README.md ends with ${JSON.stringify(text.slice(-80))}`);
    await shoot(own, "vscode-awake-again");
  });

  await step("console follows the wake live", async () => {
    await state(list, "running").waitFor();
    await turnTo(view);
    await vscode.workbench(pane);
    assert((await unreloaded(view)) && (await unreloaded(list)), "a console tab was reloaded");
  });

  await step("sign out closes every tab", async () => {
    await turnTo(list);
    await list.getByRole("button", { name: /^Account/ }).click();
    await list.getByRole("menuitem", { name: "Sign out" }).waitFor();
    await look(list, "account-menu");
    await list.getByRole("menuitem", { name: "Sign out" }).click();
    await list.waitForURL(`${origin}/`);
    await list.getByText("kalpana sign-in-link").waitFor();
    await list.getByRole("heading", { name: "Sign in", exact: true }).waitFor(); // not "to go on"
    await turnTo(own);
    await own.getByText("You are signed out.").waitFor();
    await audit(own, "signed-out-elsewhere", "#kalpana-sleep");
    await shootBoth(own, "signed-out-elsewhere");
    await own.waitForTimeout(1000); // whoever types while it comes is not sent away
    await own.keyboard.press("Enter");
    await own.waitForURL(/\/login\?next=/);
    await own.getByText("Sign in to go on").waitFor();
    await look(own, "sign-in-to-go-on");
    await view.waitForURL(/\/login/);
  });

  await step("signing in goes on to the workspace", async () => {
    await signIn(own);
    await own.waitForURL((url) => url.origin + "/" === address);
    await vscode.workbench(own);
  });

  await step("another browser is signed out from the list of sessions", async () => {
    const away = await (await context.browser().newContext()).newPage();
    await signIn(away);
    await away.waitForURL(`${origin}/workspaces`);
    await turnTo(list);
    await list.goto(`${origin}/settings/sessions`);
    await list.getByText("This browser").waitFor();
    await look(list, "sessions");
    const signOut = list.getByRole("button", { name: /^Sign out [^a]/ }); // and not "all others"
    await signOut.click();
    await signOut.waitFor({ state: "detached" });
    await away.waitForURL(/\/login/);
    await away.context().close();
    await list.getByText("This browser").waitFor();
  });

  await step("delete with a confirmation", async () => {
    await turnTo(list);
    await list.goto(`${origin}/workspaces`);
    await button(list, `More for ${name}`).click();
    await list.getByRole("menuitem", { name: "Delete" }).waitFor();
    await look(list, "workspace-menu");
    await list.getByRole("menuitem", { name: "Delete" }).click();
    await list.getByRole("alertdialog", { name: `Delete ${name}?` }).waitFor();
    await look(list, "delete-dialog");
    await button(list, "Keep it").click();
    await list.getByRole("alertdialog").waitFor({ state: "detached" });
    await state(list, "running").waitFor();
    await button(list, `More for ${name}`).click();
    await list.getByRole("menuitem", { name: "Delete" }).click();
    await button(list, "Delete for good").click();
    await list.getByText("No workspaces yet").waitFor();
  });

  await step("its address is gone", async () => {
    await turnTo(own);
    const response = await own.goto(address);
    assert(response.status() === 404, `the address answers ${response.status()}`);
    assert(own.url().startsWith(`${origin}/`), `the browser is at ${own.url()}`);
    await own.getByRole("heading").waitFor();
    assert((await own.locator(".monaco-workbench").count()) === 0, "VS Code is still there");
    await look(own, "workspace-gone");
  });

  await step("console logs no error", () => assert(!complaints.console.length, complaints.console.join("\n")));
  await step("console is accessible", () => assert(!complaints.axe.length, complaints.axe.join("\n")));
  await step("console fits a phone", () => assert(!complaints.layout.length, complaints.layout.join("\n")));
}

await walk(context, journey);
