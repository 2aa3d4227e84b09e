// Preloaded while the image is built: at SIGUSR2 it writes which of code-server's modules were loaded, and
// what each of them means by the names that it requires, to $RECORD, and ends the process.
"use strict";

const { writeFileSync } = require("node:fs");
const Module = require("node:module");

const ours = (file) => file.startsWith("/usr/local/lib/code-server/");
const links = {};
const resolve = Module._resolveFilename;
Module._resolveFilename = function (request, parent, ...more) {
  const file = resolve.call(this, request, parent, ...more);
  if (parent?.filename && ours(parent.filename) && ours(file)) {
    links[parent.filename] ??= {};
    links[parent.filename][request] = file;
  }
  return file;
};

process.on("SIGUSR2", () => {
  writeFileSync(process.env.RECORD, JSON.stringify({ files: Object.keys(Module._cache).filter(ours), links }));
  process.kill(process.pid, "SIGKILL"); // code-server prevents an exit
});
