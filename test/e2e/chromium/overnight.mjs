// A tab of VS Code that is left open for longer than VS Code waits for a lost connection. Prints and asks as journey.mjs
// does, with the same environment; needs VS Code that waits for seconds.
import { assert, shoot, step, until, walk } from "./browser.mjs";
import * as vscode from "./editor.mjs";
import { backups, become, change, context, mark, notice, open, over, own, pause, seen, text, unreloaded } from "./sleeper.mjs";

/**
 * Breaks VS Code's first connection, of two, as a network does, and waits until VS Code has given it up, and says that it
 * must be loaded anew: behind the notice, where there is one. It would notice a container that is frozen by itself, but
 * takes its time for it on a busy machine.
 */
async function giveUp() {
  await own.evaluate(() => window.connections[0].close());
  await own.locator(".monaco-dialog-box").filter({ hasText: "Cannot reconnect" }).waitFor({ state: "attached", timeout: 60_000 });
}

await own.addInitScript(() => {
  window.connections = [];
  window.WebSocket = class WebSocket extends window.WebSocket {
    constructor(...args) {
      super(...args);
      window.connections.push(this);
    }
  };
});

/** Types into the new file, and waits until VS Code has kept it, as it does after a second or two. */
async function type(more) {
  await own.locator(".tab[data-resource-name^='Untitled']").click();
  await own.locator(".part.editor .monaco-editor .view-lines").first().click();
  await own.keyboard.press("Control+End");
  await own.keyboard.type(` ${more}`);
  typed += ` ${more}`;
  await until("the text to be kept", backups, (kept) => kept.includes(typed));
  await pause(3000); // it must hear that it is, on a busy machine, too
}
let typed = "nobody saved this";

/** Waits until the page was loaded anew, and fails unless all is there that was typed. */
async function isBack(name) {
  await own.waitForFunction(() => window.unreloaded !== true);
  await vscode.workbench(own);
  await text(typed).waitFor();
  await own.locator(".tab.active.dirty[data-resource-name^='Untitled']").waitFor();
  await own.locator(".tab[data-resource-name='README.md']").click();
  await text("nor this").waitFor();
  assert((await over.count()) === 0, "the notice is still there");
  await shoot(own, `back-from-${name}`);
  await vscode.settled(own);
  await mark();
}

/** What a browser says of a tab that nobody sees. */
const hide = (hidden) =>
  own.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
    Object.defineProperty(document, "visibilityState", { configurable: true, get: () => (hidden ? "hidden" : "visible") });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);

async function night() {
  await step("VS Code with unsaved text", async () => {
    await open("sleeper", typed);
    await vscode.open(own, own, "README.md");
    await own.keyboard.type("nor this");
    await text("nor this").waitFor();
    await type("yesterday");
  });

  await step("paused, it is not woken by VS Code that gives up", async () => {
    await change("pause");
    await become("paused");
    await notice.waitFor();
    await giveUp();
    await shoot(own, "paused");
    assert((await unreloaded()) && seen.wakes === 0, "the tab did something by itself");
  });

  await step("a key brings the editor back, with what was typed", async () => {
    await own.keyboard.press("z");
    await isBack("paused");
  });

  await step("stopped, and woken while nobody looks, it is left alone", async () => {
    await type("today");
    await hide(true);
    await change("pause");
    await become("paused");
    await change("stop");
    await become("stopped");
    await giveUp();
    await change("start");
    await become("running");
    await pause(5000);
    assert(await unreloaded(), "a tab that nobody sees was loaded anew");
  });

  await step("it comes back by itself once somebody looks", async () => {
    const { wakes } = seen;
    await hide(false);
    await isBack("woken");
    assert(seen.wakes === wakes, "the tab woke it");
  });

  await step("VS Code's policy is kept", () => assert(!seen.violations.length, seen.violations.join("\n")));
}

await walk(context, night);
