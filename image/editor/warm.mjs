// Starts code-server once while the image is built, as the person it will run as, so that Node's compile
// cache is there before the first start. Node keeps one for each user id.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const home = mkdtempSync("/tmp/warm-");
const socketPath = join(home, "socket");
// Node writes the cache when it exits in peace, which a server stopped by a signal does not do.
const flush = join(home, "flush.cjs");
writeFileSync(flush, 'setInterval(() => require("node:module").flushCompileCache(), 500).unref();\n');

const environment = { ...process.env, HOME: home };

const server = spawn(
  process.execPath,
  ["--require", flush, "/usr/local/bin/code-server", "--socket", socketPath, "--auth", "none", "--disable-telemetry", home],
  { env: environment, stdio: "inherit" },
);
const gone = new Promise((resolve) => server.once("exit", resolve));

const status = (path) =>
  new Promise((resolve) => {
    get({ socketPath, path, headers: { host: "localhost" } }, (response) => {
      response.resume().once("end", () => resolve(response.statusCode));
    }).once("error", () => resolve(0));
  });

const deadline = Date.now() + 60_000;
let answer = 0;
while (answer !== 200 && Date.now() < deadline && server.exitCode === null) {
  answer = await status(`/?folder=${home}`);
  await sleep(100);
}
// For what loads after the first page, and for the cache to be written.
await sleep(3000);
server.kill("SIGKILL");
await gone;

// The forked ones: alone, each gives up or waits once it has loaded, which is all that is wanted of it.
const fork = "/usr/local/lib/code-server/lib/vscode/out/bootstrap-fork.js";
for (const program of [
  "vs/workbench/api/node/extensionHostProcess",
  "vs/platform/terminal/node/ptyHostMain",
  "vs/platform/files/node/watcher/watcherMain",
]) {
  const child = spawn(process.execPath, ["--require", flush, fork], {
    env: { ...environment, VSCODE_ESM_ENTRYPOINT: program },
    stdio: "ignore",
    timeout: 3000,
    killSignal: "SIGKILL",
  });
  await new Promise((resolve) => child.once("exit", resolve));
}

rmSync(home, { recursive: true, force: true });
if (answer !== 200) {
  throw new Error(`code-server answered ${answer} instead of its page`);
}
