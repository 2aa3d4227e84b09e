// A tab of VS Code that is left open: it sleeps, says so, and comes back with what was typed. Prints and asks as
// journey.mjs does, with the same environment; needs workspaces that are paused after KALPANA_PAUSE_AFTER seconds.
import { ask, assert, audit, complaints, launch, shoot, step, until } from "./browser.mjs";
import * as vscode from "./editor.mjs";
import { isolate } from "./network.mjs";

const origin = process.env.KALPANA_CONSOLE;
const pauseAfter = Number(process.env.KALPANA_PAUSE_AFTER) * 1000;
const { port } = new URL(origin);
const socket = process.env.KALPANA_SOCKET;
if (socket) await isolate(Number(port), socket);

const context = await launch();
context.setDefaultTimeout(30_000);
context.setDefaultNavigationTimeout(30_000);
const list = await context.newPage();
const own = await context.newPage();

const violations = [];
let wakes = 0;
own.on("console", (message) => {
  if (/content security policy/i.test(message.text())) violations.push(message.text());
});
own.on("request", (request) => {
  if (request.url().endsWith("/.kalpana/wake")) wakes++;
});

const api = (method, path, body) =>
  list.evaluate(
    async ([method, path, body]) => {
      const headers = body ? { "Content-Type": "application/json" } : {};
      const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
      return { status: response.status, json: await response.json().catch(() => undefined) };
    },
    [method, path, body],
  );
const state = async () => (await api("GET", `/api/workspaces/${id}`)).json.state;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const over = own.locator("#kalpana-sleep");
const notice = own.getByRole("dialog", { name: "This workspace sleeps." });
const text = (wanted) => own.locator(".part.editor .view-line").filter({ hasText: wanted });
const mark = () => own.evaluate(() => void (window.unreloaded = true));
const unreloaded = () => own.evaluate(() => window.unreloaded === true);

let id, address;

async function journey() {
  await step("VS Code with unsaved text", async () => {
    await list.goto(await ask({ ask: "link" }));
    await list.getByRole("button", { name: "Sign in", exact: true }).click();
    await list.waitForURL(`${origin}/workspaces`);
    const made = await api("POST", "/api/workspaces", { name: "sleeper", template: "blank" });
    assert(made.status === 201, `creating a workspace: ${made.status}`);
    ({ id, url: address } = made.json);
    await own.goto(address);
    await own.bringToFront();
    await until("the container", state, (s) => s === "running");
    const kept = await ask({ ask: "kalpana", id, path: "keep-alive 1h" }); // VS Code may take its time on a busy machine
    assert(kept.startsWith("Kept awake for 1h, until "), kept);
    await vscode.workbench(own);
    await vscode.settled(own);
    await mark();
    await own.locator(".explorer-folders-view").click({ position: { x: 100, y: 300 } }); // below the files
    await own.keyboard.press("Control+Alt+n"); // a new file that has no name yet
    await own.locator(".tab.active[data-resource-name^='Untitled']").waitFor();
    await own.keyboard.type("nobody saved this");
    await text("nobody saved this").waitFor();
  });

  await step("typing keeps it awake", async () => {
    await own.keyboard.press("Enter");
    await until("VS Code to tell of typing", () => {
      own.keyboard.type(".");
      return ask({ ask: "kalpana", id, path: "status" });
    }, (status) => /^typing /m.test(status));
    await ask({ ask: "kalpana", id, path: "keep-alive off" });
    for (const end = performance.now() + pauseAfter + 3000; performance.now() < end; ) {
      await own.keyboard.type("more ");
      await pause(1000);
      const now = await state();
      assert(now === "running", `it is ${now} while a person types`);
    }
  });

  await step("a tab that is left open sleeps, and says so", async () => {
    await until("the pause", state, (s) => s === "paused");
    await notice.waitFor();
    await notice.getByText("Press a key or click to wake it.").waitFor();
    await audit(own, "asleep", "#kalpana-sleep");
    await shoot(own, "asleep");
    await pause(2000);
    assert((await state()) === "paused" && wakes === 0, "the tab woke it");
  });

  await step("a key wakes it, with the text as it was", async () => {
    await own.keyboard.press("z");
    await over.waitFor({ state: "detached" });
    assert(await unreloaded(), "the page was reloaded");
    assert((await state()) === "running" && wakes === 1, `it is ${await state()} after ${wakes} wakes`);
    await own.keyboard.type("and on");
    await text("more and on").waitFor();
    assert((await text("z").count()) === 0, "the key that woke it was typed as well");
    assert((await text("nobody saved this").count()) === 1, "the text is not as it was");
    await vscode.open(own, own, "README.md"); // from the disk: VS Code is there again, and not only its page
    await text("workspace").first().waitFor();
    await own.locator(".tab[data-resource-name^='Untitled']").click();
    await own.keyboard.press("Control+End");
    await own.keyboard.type(" to the end");
    await text("and on to the end").waitFor();
    await shoot(own, "awake");
  });

  await step("stopped under unsaved text, it says so", async () => {
    await pause(1000); // shorter than VS Code takes to keep what was typed
    const stop = await api("POST", `/api/workspaces/${id}/stop`);
    assert(stop.status === 202, `stop: ${stop.status}`);
    await notice.waitFor();
    await until("the stop", state, (s) => s === "stopped");
    await shoot(own, "stopped");
    assert(wakes === 1, "the tab woke it");
  });

  await step("a click wakes it, and the unsaved text is there again", async () => {
    await pause(1000); // a person looks first
    await own.mouse.click(400, 300);
    await own.getByRole("dialog", { name: "Waking your workspace…" }).waitFor();
    await shoot(own, "waking");
    await own.waitForFunction(() => window.unreloaded !== true);
    await vscode.workbench(own);
    await text("nobody saved this").waitFor();
    await text("and on to the end").waitFor();
    await own.locator(".tab.active.dirty[data-resource-name^='Untitled']").waitFor();
    assert(wakes === 2, `${wakes} wakes`);
    assert((await over.count()) === 0, "the notice is still there");
    await shoot(own, "back");
  });

  await step("VS Code's policy is kept", () => assert(!violations.length, violations.join("\n")));
  await step("the notice is accessible", () => assert(!complaints.axe.length, complaints.axe.join("\n")));
}

try {
  await journey();
} catch {
  process.exitCode = 1; // the step has told why
  for (const [i, page] of context.pages().entries()) await shoot(page, `failed-${i}`).catch(console.error);
}
await context.browser().close();
process.stdin.unref?.();
process.exit();
