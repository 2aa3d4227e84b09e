// A tab of VS Code that is left open: it sleeps, says so, and comes back with what was typed. Prints and asks as
// journey.mjs does, with the same environment; needs workspaces that are paused after KALPANA_PAUSE_AFTER seconds.
import { assert, audit, complaints, shoot, step, until, walk } from "./browser.mjs";
import * as vscode from "./editor.mjs";
import { become, change, command, context, notice, open, over, own, pause, seen, state, text, unreloaded } from "./sleeper.mjs";

const pauseAfter = Number(process.env.KALPANA_PAUSE_AFTER) * 1000;

async function journey() {
  await step("VS Code with unsaved text", () => open("sleeper", "nobody saved this"));

  await step("typing keeps it awake", async () => {
    await own.keyboard.press("Enter");
    await until("VS Code to tell of typing", () => {
      own.keyboard.type(".");
      return command("status");
    }, (status) => /^typing /m.test(status));
    await command("keep-alive off");
    for (const end = performance.now() + pauseAfter + 3000; performance.now() < end; ) {
      await own.keyboard.type("more ");
      await pause(1000);
      const now = await state();
      assert(now === "running", `it is ${now} while a person types`);
    }
  });

  await step("a tab that is left open sleeps, and says so", async () => {
    await become("paused");
    await notice.waitFor();
    await notice.getByText("Press a key or click to wake it.").waitFor();
    await audit(own, "asleep", "#kalpana-sleep");
    await shoot(own, "asleep");
    await pause(2000);
    assert((await state()) === "paused" && seen.wakes === 0, "the tab woke it");
  });

  await step("a key wakes it, with the text as it was", async () => {
    await own.keyboard.press("z");
    await over.waitFor({ state: "detached" });
    assert(await unreloaded(), "the page was reloaded");
    assert((await state()) === "running" && seen.wakes === 1, `it is ${await state()} after ${seen.wakes} wakes`);
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
    await change("stop");
    await notice.waitFor();
    await become("stopped");
    await shoot(own, "stopped");
    assert(seen.wakes === 1, "the tab woke it");
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
    assert(seen.wakes === 2, `${seen.wakes} wakes`);
    assert((await over.count()) === 0, "the notice is still there");
    await shoot(own, "back");
  });

  await step("VS Code's policy is kept", () => assert(!seen.violations.length, seen.violations.join("\n")));
  await step("the notice is accessible", () => assert(!complaints.axe.length, complaints.axe.join("\n")));
}

await walk(context, journey);
