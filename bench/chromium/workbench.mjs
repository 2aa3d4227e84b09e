// Drives Chromium for the benchmark: reads what to do from standard input, one JSON object a line, and
// answers each with {} or {error}. It ends with its input. The benchmark keeps the time.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const browser = await chromium.launch({
  executablePath: process.env.KALPANA_CHROMIUM || "/usr/bin/chromium",
  handleSIGTERM: true,
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

let page;

const commands = {
  async prepare({ host, cookies }) {
    const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    await context.addCookies(
      Object.entries(cookies ?? {}).map(([name, value]) => ({ name, value, domain: host, path: "/", secure: true, httpOnly: true })),
    );
    page = await context.newPage();
  },
  // Visible: its parts are laid out. A page of progress that reloads itself may come before.
  async visit({ address }) {
    await page.goto(address, { waitUntil: "commit" });
    await page.locator(".monaco-workbench .part.sidebar").waitFor({ timeout: 60_000 });
    await page.locator(".monaco-workbench .part.editor").waitFor({ timeout: 60_000 });
  },
  // Filled: the explorer shows the workspace's files.
  async fill() {
    await page.locator(".monaco-workbench .explorer-folders-view .monaco-list-row").first().waitFor({ timeout: 60_000 });
  },
  async close() {
    await page.context().close();
  },
};

const answer = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

answer({});
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const command = JSON.parse(line);
    await commands[command.do](command);
    answer({});
  } catch (error) {
    answer({ error: String(error.stack ?? error) });
  }
}
await browser.close();
