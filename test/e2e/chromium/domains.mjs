// Workspaces on a registrable domain of their own: VS Code in the console's pane is third-party content
// there. Prints and asks as journey.mjs does, with the same environment; needs the workspaces below
// ws.spaces.localhost.
import { ask, assert, launch, shoot, step, until, walk } from "./browser.mjs";
import * as vscode from "./editor.mjs";
import { isolate } from "./network.mjs";

const origin = process.env.KALPANA_CONSOLE;
const { port, protocol } = new URL(origin);
const socket = process.env.KALPANA_SOCKET;
if (socket) await isolate(Number(port), socket);

// Playwright turns storage partitioning off, which leaves third-party frames without any storage; a later
// --disable-features replaces its own. Third-party cookies are blocked, as many people have it.
const context = await launch("--disable-features=HttpsUpgrades,PaintHolding", "--test-third-party-cookie-phaseout");
context.setDefaultTimeout(30_000);
const view = await context.newPage();
let vouched = 0;
view.on("response", (response) => {
  if (response.url().includes("/.kalpana/vouch?") && response.status() === 303) vouched++;
});
const pane = view.frameLocator('iframe[title^="VS Code"]');
const devtools = await context.newCDPSession(view);

/** The cookies of a host, as Chromium keeps them. */
async function cookies(host) {
  const all = await devtools.send("Network.getAllCookies");
  return all.cookies.filter((cookie) => cookie.domain === host);
}

const button = (page, name) => page.getByRole("button", { name, exact: true });
const request = (frame, method, path, body) =>
  frame.evaluate(
    async ([method, path, body]) => {
      const headers = body ? { "Content-Type": "application/json" } : {};
      const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
      return { status: response.status, json: await response.json().catch(() => undefined) };
    },
    [method, path, body],
  );

let id, host, frame;

async function journey() {
  await step("sign in by the link", async () => {
    await view.goto(await ask({ ask: "link" }));
    await button(view, "Sign in").click();
    await view.waitForURL(`${origin}/workspaces`);
  });

  await step("VS Code in the pane, which is of another site", async () => {
    const made = await request(view, "POST", "/api/workspaces", { name: "apart", template: "blank" });
    assert(made.status === 201, `creating a workspace: ${made.status}`);
    id = made.json.id;
    host = `${id}.ws.spaces.localhost`;
    await view.goto(`${origin}/w/${id}`);
    await vscode.workbench(pane); // its files come by a WebSocket
    await shoot(view, "pane");
    frame = view.frames().find((f) => f.url().startsWith(`${protocol}//${host}:${port}/`));
  });

  await step("what runs in the pane puts no page in the console's place", async () => {
    await pane.locator(".explorer-folders-view").click({ position: { x: 100, y: 300 } }); // a person's click allows a frame much
    const may = await frame.evaluate(() => navigator.userActivation.hasBeenActive);
    const tried = await frame.evaluate(() => {
      try {
        window.top.location.href = `${location.origin}/elsewhere`;
      } catch (error) {
        return error.name;
      }
    });
    assert(may && tried === "SecurityError" && view.url() === `${origin}/w/${id}`, `clicked ${may}, ${tried}, at ${view.url()}`);
  });

  await step("its cookies are partitioned", async () => {
    const kept = await cookies(host);
    const grant = kept.find((cookie) => cookie.name === "__Host-kalpana_grant");
    assert(grant?.partitionKey?.topLevelSite === `${protocol}//kalpana.localhost`, JSON.stringify(kept));
    assert(grant.sameSite === "None" && grant.httpOnly && grant.secure, JSON.stringify(grant));
    assert(kept.every((cookie) => !cookie.name.startsWith("__Host-kalpana") || cookie.partitionKey), JSON.stringify(kept));
  });

  await step("VS Code in a tab of its own", async () => {
    const own = await context.newPage();
    const response = await own.goto(`${protocol}//${host}:${port}/`, { waitUntil: "commit" });
    assert(response.status() === 200, `${response.status()} at ${own.url()}`);
    const grants = (await cookies(host)).filter((cookie) => cookie.name === "__Host-kalpana_grant");
    const plain = grants.find((cookie) => !cookie.partitionKey);
    assert(grants.length === 2 && plain?.sameSite === "Lax", JSON.stringify(grants));
    await own.close();
  });

  await step("the pane opens tabs and saves files", async () => {
    const tab = context.waitForEvent("page");
    await frame.evaluate(() => void window.open("/.kalpana/state"));
    const opened = await tab;
    await opened.waitForLoadState();
    // Outside of the sandbox it is a page like any other.
    assert((await opened.evaluate(() => self.origin)) === `${protocol}//${host}:${port}`, opened.url());
    await opened.close();
    const saved = view.waitForEvent("download");
    await frame.evaluate(() => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(["text"]));
      link.download = "saved.txt";
      link.click();
    });
    assert((await saved).suggestedFilename() === "saved.txt", "the file has another name");
  });

  await step("a preview in VS Code's own browser", async () => {
    await ask({ ask: "serve", id, path: "5173" });
    const preview = `${protocol}//5173-${host}:${port}/`;
    await view.bringToFront();
    await pane.locator(".explorer-folders-view").click({ position: { x: 100, y: 300 } });
    await view.keyboard.press("F1");
    const input = pane.locator(".quick-input-widget input[type=text]").first();
    const command = pane.locator(".quick-input-list .monaco-list-row").filter({ hasText: "Simple Browser: Show" }).first();
    // The list is made of what is typed, and lacks what an extension that starts meanwhile brings.
    await until("the command in the list", async () => {
      await input.fill(">");
      await input.fill(">Simple Browser: Show");
      return command.waitFor({ timeout: 3000 }).then(() => true, () => false);
    });
    await view.keyboard.press("Enter");
    await pane.locator(".quick-input-widget").filter({ hasText: "url" }).or(pane.locator(".quick-input-widget input[placeholder^='http']")).first().waitFor();
    await view.keyboard.type(preview);
    await view.keyboard.press("Enter");
    await until("the preview's page in a frame", async () => {
      const inner = view.frames().find((f) => f.url().startsWith(preview));
      return inner && (await inner.locator("h1").textContent({ timeout: 1000 }).catch(() => ""));
    }, (text) => text === "served from 5173");
    assert(vouched === 1, `VS Code's host vouched ${vouched} times`);
    await shoot(view, "preview");
  });

  await step("a page of another origin gets nothing of a preview, unless its owner lets it", async () => {
    await ask({ ask: "serve", id, path: "5174" });
    const at = (n) => `${protocol}//${n}-${host}:${port}`;
    const own = await context.newPage();
    const takes = () =>
      own.evaluate(async (address) => {
        const text = await fetch(`${address}/`, { credentials: "include" }).then((r) => r.text(), () => "none");
        const script = document.createElement("script");
        script.src = `${address}/script.js`;
        delete window.theirs;
        await new Promise((done) => {
          script.onload = script.onerror = done;
          document.head.append(script);
        });
        return [text, window.theirs ?? 0];
      }, at(5173));
    await own.goto(`${at(5173)}/`); // it has the cookie from now on
    const itself = await takes();
    assert(itself[0].includes("served from 5173") && itself[1] === 1, `its own page: ${itself}`);
    await own.goto(`${at(5174)}/`);
    const before = await takes();
    assert(before[0] === "none" && before[1] === 0, `another port's page: ${before}`);
    // Nor may it lay the preview, or VS Code, under its own.
    for (const address of [at(5173), `${protocol}//${host}:${port}`, origin]) {
      await own.evaluate(async (address) => {
        const frame = document.createElement("iframe");
        frame.src = `${address}/`;
        await new Promise((done) => {
          frame.onload = done;
          document.body.append(frame);
        });
      }, address);
      const framed = () => own.frames().slice(1).map((f) => f.url());
      await until(`${address} in a frame`, framed, (urls) => urls.length > 0 && urls.at(-1).startsWith("chrome-error:"));
    }
    const { status } = await request(view, "PUT", `/api/workspaces/${id}/ports/5173`, { level: "private", cors: true });
    assert(status === 200, `turning CORS on: ${status}`);
    const after = await takes();
    assert(after[0].includes("served from 5173") && after[1] === 1, `with CORS: ${after}`);
    await own.close();
  });

  await step("a preview where nothing listens opens by itself", async () => {
    const own = await context.newPage();
    const early = await own.goto(`${protocol}//5175-${host}:${port}/`);
    assert(early.status() === 502, `before it listens: ${early.status()}`);
    assert((await own.title()).startsWith("Nothing listens on port 5175"), await own.title());
    await ask({ ask: "serve", id, path: "5175" });
    await own.getByText("served from 5175").waitFor();
    await own.close();
  });

  await step("signing out ends the pane", async () => {
    const other = await context.newPage();
    await other.goto(`${origin}/workspaces`);
    const out = await request(other, "POST", "/api/logout");
    assert(out.status === 204, `signing out: ${out.status}`);
    await until("the pane to be refused", async () => {
      if (view.url().includes("/login")) return 401; // the console was quicker
      return (await request(frame, "GET", "/").catch(() => ({}))).status;
    }, (status) => status === 401, 5000);
  });
}

await walk(context, journey);
