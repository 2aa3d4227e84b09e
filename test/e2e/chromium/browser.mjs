// What the journey stands on: steps that report themselves, Chromium, screenshots, and a watch over
// what pages complain about.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const require = createRequire(new URL("../../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const screenshots = process.env.KALPANA_SCREENSHOTS;
mkdirSync(screenshots, { recursive: true });

const desktop = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

/** A context of Chromium with a fresh profile, and further arguments. */
export async function launch(...further) {
  const browser = await chromium.launch({
    executablePath: process.env.KALPANA_CHROMIUM,
    args: [
      "--no-sandbox", // the tests run as root
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...further,
    ],
  });
  // The system's scheme is left at Chromium's own, light: the console and VS Code must be dark all the same.
  const context = await browser.newContext({ viewport: desktop });
  // On a busy machine a headless tab may run no idle callback any more once its size was changed
  // (Chromium 156), and VS Code starts half of itself in them. Timers do.
  await context.addInitScript(() => {
    window.requestIdleCallback = (work) => setTimeout(work, 1, { didTimeout: false, timeRemaining: () => 10 });
    window.cancelIdleCallback = clearTimeout.bind(window);
  });
  return context;
}

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the test that runs this script. */
export async function ask(question) {
  write(question);
  return JSON.parse((await answers.next()).value);
}

const stepLimit = 90_000;

/** Runs a step and reports it as one JSON line. What comes after a failed step has no ground to stand on. */
export async function step(name, work) {
  const start = performance.now();
  const took = () => Math.round(performance.now() - start);
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${stepLimit / 1000} s`)), stepLimit);
  });
  try {
    await Promise.race([work(), late]);
    write({ step: name, ok: true, ms: took() });
  } catch (error) {
    write({ step: name, ok: false, ms: took(), error: String(error?.stack ?? error) });
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until what `probe` returns is `good`, for conditions outside of a page. */
export async function until(what, probe, good = Boolean, timeout = 30_000) {
  let last;
  for (const end = performance.now() + timeout; performance.now() < end; ) {
    last = await probe();
    if (good(last)) return last;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`waited ${timeout / 1000} s for ${what}; last: ${JSON.stringify(last)}`);
}

export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

/** What pages of ours did wrong, by kind. */
export const complaints = { console: [], axe: [], layout: [] };

export async function shoot(page, name) {
  await page.screenshot({ path: join(screenshots, `${name}.png`), animations: "disabled" });
}

/** Takes a page in both sizes. */
export async function shootBoth(page, name) {
  await shoot(page, `${name}-1440x900`);
  await page.setViewportSize(phone);
  await shoot(page, `${name}-390x844`);
  await page.setViewportSize(desktop);
}

/** Takes a page of the console in both sizes, and notes what axe finds on it and whether it fits a phone. */
export async function look(page, name) {
  await audit(page, name);
  await shootBoth(page, name);
  await page.setViewportSize(phone);
  const over = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  await page.setViewportSize(desktop);
  if (over > 0) complaints.layout.push(`${name} is ${over} px wider than a phone`);
}

/** Notes what axe finds on a page, or in a part of it. */
export async function audit(page, name, part) {
  // What is still fading in has no contrast yet.
  await page.evaluate(() => {
    const ending = document.getAnimations().filter((one) => Number.isFinite(one.effect.getComputedTiming().endTime));
    return Promise.allSettled(ending.map((one) => one.finished)).then(() => {});
  });
  // The page's policy forbids a script tag; an evaluation is not bound by it.
  await page.evaluate(`if (!window.axe) { ${axe} }`);
  const { violations } = await page.evaluate((part) => window.axe.run(part ?? document, { iframes: false }), part);
  for (const { id, impact, help, nodes } of violations) {
    if (impact !== "serious" && impact !== "critical") continue;
    complaints.axe.push(`${name}: ${impact} ${id}: ${help}: ${nodes.map((n) => n.html.slice(0, 160)).join(" | ")}`);
  }
}

/**
 * Keeps an eye on a page: errors that it logs or throws while it is at `origin` count, but for
 * `expected`, a list of patterns. What VS Code says in a frame is its own business.
 */
export function watch(page, origin, expected) {
  const note = (text) => {
    if (!expected.some((pattern) => pattern.test(text))) complaints.console.push(`${new URL(page.url()).pathname}: ${text}`);
  };
  page.on("console", (message) => {
    const { url } = message.location();
    if (message.type() === "error" && url.startsWith(`${origin}/`)) note(`${message.text()} (${url.slice(origin.length)})`);
  });
  page.on("pageerror", (error) => {
    const stack = String(error.stack ?? error);
    if (page.url().startsWith(`${origin}/`) && !stack.includes(".ws.kalpana.localhost")) note(stack);
  });
}

/** Waits for a promise, though not for long: a browser whose page failed may not answer any more. */
const soon = (promise) => Promise.race([promise, new Promise((resolve) => setTimeout(resolve, 10_000))]);

/** Takes a journey through the pages of a context, and ends the script; where a step failed, with what may have led to it. */
export async function walk(context, journey) {
  try {
    await journey();
  } catch {
    process.exitCode = 1; // the step has told why
    for (const complaint of Object.values(complaints).flat()) console.error(complaint);
    for (const [i, page] of context.pages().entries()) {
      for (const frame of page.frames()) console.error(frame.url());
      await soon(shoot(page, `failed-${i}`)).catch(console.error);
    }
  }
  await soon(context.browser().close()); // whoever started us ends what is left of it
  process.stdin.unref?.();
  process.exit();
}
