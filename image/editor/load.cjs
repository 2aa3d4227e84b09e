// Lets Node take modules from the pack that pack.mjs makes. A start of VS Code's server else reads and
// compiles some 360 files, and Node's own compile cache keeps nothing of what runs only after a file was
// loaded, which is most of it.
"use strict";

const { readFileSync } = require("node:fs");
const Module = require("node:module");
const { dirname } = require("node:path");
const { Script } = require("node:vm");

const filename = `${__dirname}/pack.js`;
let cachedData;
try {
  cachedData = readFileSync(`${filename}.cache`);
} catch {
  // There is none while the image is built.
}

// [file, {request: file of the pack}, function] of each module.
const script = new Script(readFileSync(filename, "latin1"), { filename, cachedData });
if (script.cachedDataRejected) {
  console.error("V8 does not take the image's code cache: VS Code starts more slowly.");
}
const pack = new Map(script.runInThisContext().map(([file, links, body]) => [file, { links, body }]));

function evaluate(module, file) {
  const { links, body } = pack.get(file);
  const require = (request) => (links[request] ? load(links[request], module) : module.require(request));
  require.resolve = (request, options) => Module._resolveFilename(request, module, false, options);
  require.cache = Module._cache;
  require.extensions = Module._extensions;
  require.main = process.mainModule;
  body.call(module.exports, module.exports, require, module, file, dirname(file));
}

// As Module._load, without looking for the file.
function load(file, parent) {
  const known = Module._cache[file];
  if (known) {
    return known.exports;
  }
  const module = new Module(file, parent);
  module.filename = file;
  module.paths = Module._nodeModulePaths(dirname(file));
  Module._cache[file] = module;
  try {
    evaluate(module, file);
    module.loaded = true;
  } finally {
    if (!module.loaded) {
      delete Module._cache[file];
    }
  }
  return module.exports;
}

// For who asks by another way.
const compile = Module._extensions[".js"];
Module._extensions[".js"] = (module, file) => (pack.has(file) ? evaluate(module, file) : compile(module, file));
