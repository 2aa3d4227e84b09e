// Compresses the scripts and styles of VS Code's page, beside themselves, for the bridge: it serves them in the
// place of code-server, which would compress them anew for every browser.
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const out = "/usr/local/lib/code-server/lib/vscode/out";
const forms = {
  ".br": (data) => promisify(brotliCompress)(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: data.length } }),
  ".gz": (data) => promisify(gzip)(data, { level: 9 }),
};

// What runs in Node is no page's.
const files = globSync(["nls.messages.js", "{vs,media}/**/*.{js,css,html,json,svg,ttf}"], { cwd: out, exclude: (name) => name === "node" });
let before = 0;
let after = 0;
await Promise.all(
  files.flatMap((name) => {
    const data = readFileSync(join(out, name));
    if (data.length < 1024) {
      return [];
    }
    before += data.length;
    return Object.entries(forms).map(async ([suffix, compress]) => {
      const small = await compress(data);
      after += small.length;
      writeFileSync(join(out, name) + suffix, small);
    });
  }),
);
console.log(`compressed ${files.length} files: ${before >> 10} KiB, ${after >> 10} KiB in both forms`);
