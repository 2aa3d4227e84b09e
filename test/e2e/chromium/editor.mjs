// VS Code as a person uses it. `frame` is a page or a frame locator at the workbench, `page` the one
// whose keyboard it is.
import { assert, until } from "./browser.mjs";

const explorer = ".explorer-folders-view .monaco-list-row";

/** Waits until the workbench is there, with the files of the workspace. */
export async function workbench(frame) {
  await frame.locator(".monaco-workbench .part.editor").waitFor({ timeout: 60_000 });
  await frame.locator(explorer).first().waitFor();
}

/** Waits until it has done what it does once it is idle, such as watching files. */
export const settled = (frame) => frame.locator("[id='status.problems']").waitFor();

export const file = (frame, name) => frame.locator(`${explorer}[aria-label^="${name}"]`);

// What must not greet a person.
const unwanted = {
  "a question about trust": ".monaco-dialog-box, .part.banner .message-container",
  "restricted mode": "footer a[aria-label*='Restricted Mode']",
  "a chat panel": ".part.auxiliarybar, .interactive-session",
  "a chat button": ".part.titlebar a[aria-label*='Chat' i], .part.titlebar a[aria-label*='Copilot' i]",
  "an assistant in the status bar": "footer a[aria-label*='Copilot' i], footer a[aria-label*='chat' i]",
  "a welcome page": ".gettingStartedContainer, .tab[aria-label*='Welcome']",
  "a notification": ".notifications-toasts .notification-toast",
};

export async function assertQuiet(frame) {
  for (const [what, selector] of Object.entries(unwanted)) {
    const seen = frame.locator(selector).filter({ visible: true });
    assert((await seen.count()) === 0, `VS Code greets with ${what}`);
  }
}

/** Fails unless the workbench is dark, whatever the system's colour scheme. */
export async function assertDark(frame) {
  const colour = await frame.locator(".part.editor").evaluate((element) => getComputedStyle(element).backgroundColor);
  const [red, green, blue] = colour.match(/\d+/g).map(Number);
  assert(Math.max(red, green, blue) < 64, `the editor's background is ${colour}`);
}

/** Opens a terminal and waits for its shell. */
export async function terminal(page, frame) {
  await frame.locator(".explorer-folders-view").click({ position: { x: 100, y: 300 } }); // below the files
  await page.keyboard.press("Control+Backquote");
  await frame.locator(".single-terminal-tab").filter({ hasText: "bash" }).waitFor();
}

/**
 * Types a command into the open terminal until `done` is true. A terminal that has just opened may lose what
 * is typed before its shell has taken the line over; a person types again, too.
 */
export async function run(page, frame, command, done) {
  for (let attempt = 1; ; attempt++) {
    await frame.locator(".terminal-wrapper.active .xterm-screen").click();
    await page.keyboard.type(`${command}\n`);
    try {
      return await until(`${command} to take effect`, done, Boolean, 10_000);
    } catch (error) {
      if (attempt === 4) throw error;
      await page.keyboard.press("Control+c");
    }
  }
}

/** Opens a file from the explorer and puts the cursor at its end. */
export async function open(page, frame, name) {
  await file(frame, name).dblclick();
  await frame.locator(`.tab.active[data-resource-name="${name}"]`).waitFor();
  await frame.locator(".part.editor .monaco-editor .view-lines").first().click();
  await page.keyboard.press("Control+End");
}
