// The agent beside VS Code: asked for something, it asks back, writes a file that VS Code shows, and takes it back;
// a page that is reloaded meanwhile reads on. Prints and asks as journey.mjs does, with the same environment; needs
// the model that agent_test.go plays.
import { ask, assert, complaints, launch, look, shoot, step, until, walk, watch } from "./browser.mjs";
import * as vscode from "./editor.mjs";
import { isolate } from "./network.mjs";

const origin = process.env.KALPANA_CONSOLE;
const socket = process.env.KALPANA_SOCKET;
if (socket) await isolate(Number(new URL(origin).port), socket);

const expected = [/status of 401 .*\(\/api\/me\)/]; // the landing page asks whether somebody is signed in
if (!socket) expected.push(/ERR_NETWORK_CHANGED/); // see network.mjs

const context = await launch();
context.setDefaultTimeout(30_000);
context.setDefaultNavigationTimeout(30_000);
const view = await context.newPage();
watch(view, origin, expected);

const pane = view.frameLocator('iframe[title^="VS Code"]');
const button = (name) => view.getByRole("button", { name, exact: true });
const message = view.getByRole("textbox", { name: "Message" });
const send = async (text) => {
  await message.fill(text);
  await message.press("Enter");
};
const idle = () => button("Stop the agent").waitFor({ state: "detached" });
const onDisk = (path) => ask({ ask: "file", id, path });
let id;

async function journey() {
  await step("VS Code, and the agent beside it", async () => {
    await view.goto(await ask({ ask: "link" }));
    await button("Sign in").click();
    await view.waitForURL(`${origin}/workspaces`);
    id = await view.evaluate(async () => {
      const body = JSON.stringify({ name: "with-an-agent", template: "blank" });
      const made = await fetch("/api/workspaces", { method: "POST", headers: { "Content-Type": "application/json" }, body });
      return (await made.json()).id;
    });
    await view.goto(`${origin}/w/${id}`);
    await vscode.workbench(pane);
    await pane.locator("body").evaluate(() => void (window.unreloaded = true));
    await button("Agent").click();
    await view.getByText("An engineer in the files of with-an-agent").waitFor();
    await look(view, "agent");
    assert(await pane.locator("body").evaluate(() => window.unreloaded), "the agent's panel reloaded VS Code");
  });

  await step("it asks before it writes", async () => {
    await send("Write a greeting into hello.txt");
    const question = view.getByRole("group", { name: /The agent asks: Write hello.txt/ });
    await question.waitFor();
    await idle();
    assert((await onDisk("hello.txt")) === "", "the file was written without a word");
    await look(view, "agent-approval");
    await question.getByRole("button", { name: "Allow once" }).click();
    await view.getByText("The greeting is written").waitFor();
    await idle();
  });

  await step("VS Code shows what it wrote", async () => {
    await until("the file on disk", () => onDisk("hello.txt"), (text) => text === "hello from the agent\n");
    await vscode.file(pane, "hello.txt").waitFor();
    await view.getByText("1 file changed").waitFor();
    await look(view, "agent-changes");
  });

  await step("what it wrote is undone", async () => {
    await button("Undo").click();
    await view.getByRole("alertdialog").getByRole("button", { name: "Undo", exact: true }).click();
    await view.getByRole("alertdialog").waitFor({ state: "detached" });
    await until("the file to go", () => onDisk("hello.txt"), (text) => text === "");
    await vscode.file(pane, "hello.txt").waitFor({ state: "detached" });
    await view.getByText("undone", { exact: true }).waitFor();
  });

  await step("a page that is reloaded reads on", async () => {
    await send("Count slowly");
    await view.getByText("number 5").waitFor();
    await view.reload();
    await view.getByText("number 9").waitFor(); // the panel is remembered, and so is the chat
    await view.getByText("number 0").waitFor(); // and what was said before
    await view.getByText("That was all.").waitFor();
    await idle();
    await view.getByText(/This chat: \$/).waitFor();
  });

  await step("it is stopped", async () => {
    await send("Count until I say stop");
    await view.getByText("number 2", { exact: false }).nth(1).waitFor();
    await button("Stop the agent").click();
    await idle();
    await shoot(view, "agent-stopped");
  });

  await step("console logs no error", () => assert(!complaints.console.length, complaints.console.join("\n")));
  await step("console is accessible", () => assert(!complaints.axe.length, complaints.axe.join("\n")));
  await step("console fits a phone", () => assert(!complaints.layout.length, complaints.layout.join("\n")));
}

await walk(context, journey);
