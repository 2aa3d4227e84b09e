// Puts the modules of which code-server's server consists into one script, for load.cjs.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { compileFunction } from "node:vm";

const root = "/usr/local/lib/code-server";
const route = `${root}/out/node/routes/vscode.js`;
const server = `${root}/lib/vscode/out/server-main.js`;
const parameters = ["exports", "require", "module", "__filename", "__dirname"];

// code-server brings the compiler that its extensions are built with. What it writes is ASCII.
const esbuild = (input, ...options) =>
  execFileSync(`${root}/lib/vscode/extensions/node_modules/.bin/esbuild`, ["--platform=node", "--target=node24", "--minify-whitespace", "--log-level=warning", ...options], {
    input,
    encoding: "utf8",
    maxBuffer: 64 << 20,
  });

// VS Code's server is the one ES module among them. Of those Node keeps less, and V8 gives no cache.
const serverText = () =>
  `const __url = require("node:url").pathToFileURL(__filename).href;${esbuild(
    readFileSync(server),
    "--format=cjs",
    "--supported:dynamic-import=false",
    "--define:import.meta.url=__url",
    "--define:import.meta.dirname=__dirname",
  )}`;

const importing = 'eval(`import("${modPath}")`)';
function routeText() {
  const text = readFileSync(route, "utf8");
  if (text.split(importing).length !== 2) {
    throw new Error(`${route} is not what this was written for: look for how it loads ${server}`);
  }
  return text.replace(importing, "require(modPath)");
}

// The first pack: with it, all that is loaded can be recorded.
export const first = { files: [route, server], links: {} };

// These look for their files beside the file that calls them, which they take from a stack.
const byStack = /\/node_modules\/(bindings|@vscode\/spdlog)\//;

function body(file) {
  if (file.endsWith(".json")) {
    return `module.exports = ${JSON.stringify(JSON.parse(readFileSync(file, "utf8")))};`;
  }
  const text = file === route ? routeText() : file === server ? serverText() : readFileSync(file, "utf8").replace(/^#!.*/, "");
  compileFunction(text, parameters); // throws if it is none of these
  return text;
}

export function writePack({ files, links }) {
  const modules = new Map();
  for (const file of files.filter((f) => /\.(js|cjs|json)$/.test(f) && !byStack.test(f))) {
    try {
      modules.set(file, body(file));
    } catch (error) {
      if (first.files.includes(file)) {
        throw error;
      }
      console.log(`not packed: ${file}: ${error.message}`); // an ES module
    }
  }
  const list = [...modules].map(([file, text]) => {
    const known = Object.fromEntries(Object.entries(links[file] ?? {}).filter(([, to]) => modules.has(to)));
    return `[${JSON.stringify(file)}, ${JSON.stringify(known)}, function (${parameters}) {${text}\n}],\n`;
  });
  mkdirSync(`${root}/pack`, { recursive: true });
  writeFileSync(`${root}/pack/pack.js`, esbuild(`[${list.join("")}]`));
  console.log(`packed ${modules.size} modules`);
}
