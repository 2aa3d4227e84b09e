// Runs while the image is built, as the person who will run code-server: makes the pack of its modules, and
// starts it so that V8's and Node's caches are there before the first start. Node keeps one for each user id.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Script } from "node:vm";
import { first, writePack } from "./pack.mjs";

const here = import.meta.dirname;
const home = mkdtempSync("/tmp/warm-");
const socketPath = join(home, "socket");
const record = join(home, "record.json");
const environment = { ...process.env, HOME: home, RECORD: record };

const status = (path) =>
  new Promise((resolve) => {
    get({ socketPath, path, headers: { host: "localhost" } }, (response) => {
      response.resume().once("end", () => resolve(response.statusCode));
    }).once("error", () => resolve(0));
  });

// Starts code-server with a script that is loaded first and does its work at SIGUSR2: after the first page,
// and what loads after that.
async function serve(preload) {
  rmSync(socketPath, { force: true });
  const server = spawn(
    process.execPath,
    ["--require", join(here, preload), "/usr/local/bin/code-server", "--socket", socketPath, "--auth", "none", "--disable-telemetry", home],
    { env: environment, stdio: "inherit" },
  );
  const gone = new Promise((resolve) => server.once("exit", resolve));
  const deadline = Date.now() + 60_000;
  let answer = 0;
  while (answer !== 200 && Date.now() < deadline && server.exitCode === null) {
    answer = await status(`/?folder=${home}`);
    await sleep(100);
  }
  await sleep(3000);
  server.kill("SIGUSR2");
  await gone;
  if (answer !== 200) {
    throw new Error(`code-server answered ${answer} instead of its page`);
  }
}

writePack(first);
await serve("record.cjs");
writePack(JSON.parse(readFileSync(record, "utf8")));
await serve("keep.cjs");
const pack = "/usr/local/lib/code-server/pack/pack.js";
if (new Script(readFileSync(pack, "latin1"), { filename: pack, cachedData: readFileSync(`${pack}.cache`) }).cachedDataRejected) {
  throw new Error("V8 does not take the code cache that it has made");
}

// The forked ones: alone, each gives up or waits once it has loaded, which is all that is wanted of it.
const fork = "/usr/local/lib/code-server/lib/vscode/out/bootstrap-fork.js";
for (const program of [
  "vs/workbench/api/node/extensionHostProcess",
  "vs/platform/terminal/node/ptyHostMain",
  "vs/platform/files/node/watcher/watcherMain",
]) {
  const child = spawn(process.execPath, ["--require", join(here, "keep.cjs"), fork], {
    env: { ...environment, VSCODE_ESM_ENTRYPOINT: program },
    stdio: "ignore",
  });
  const gone = new Promise((resolve) => child.once("exit", resolve));
  await Promise.race([gone, sleep(3000)]);
  child.kill("SIGUSR2");
  await gone;
}

rmSync(home, { recursive: true, force: true });
