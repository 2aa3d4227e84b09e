// Gives VS Code's page our settings as defaults. The workbench takes them from whoever embeds it
// (configurationDefaults), code-server passes none, and a settings.json in the person's home would be
// theirs to carry along for ever. Here they stay defaults: anyone can override them, "Reset Setting"
// comes back to them, and a new image brings new ones.
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const vscode = "/usr/local/lib/code-server/lib/vscode";
const page = `${vscode}/out/vs/code/browser/workbench/workbench.html`;
const anchor = '<meta id="vscode-workbench-web-configuration" data-settings="{{WORKBENCH_WEB_CONFIGURATION}}">';

const readJSON = (file) => JSON.parse(readFileSync(file, "utf8"));
const settings = readJSON(new URL("settings.json", import.meta.url));

// Until the extension with the theme has been read, which takes seconds on a cold start, the page would be
// as light as the browser's own scheme.
const themes = `${vscode}/extensions/theme-defaults`;
const wanted = settings["workbench.colorTheme"];
const theme = readJSON(`${themes}/package.json`).contributes.themes.find(({ id }) => id === wanted);
if (theme?.uiTheme !== "vs-dark") {
  throw new Error(`${wanted} is not one of VS Code's own dark themes: look for its name in ${themes}/package.json`);
}
const { colors } = readJSON(`${themes}/${theme.path}`);

const ours = { configurationDefaults: settings, initialColorTheme: { themeType: "dark", colors } };
// The gateway's script says when the workspace sleeps. It is of the page's own origin, which VS Code's policy allows.
// "{{" would be a placeholder of the page, and "<" could end the script.
const literal = JSON.stringify(ours).replaceAll("<", "\\u003c").replaceAll("{{", "{ {");
const script = `<script nonce="{{WORKBENCH_SCRIPT_NONCE}}">
			(meta => {
				const given = JSON.parse(meta.dataset.settings);
				meta.dataset.settings = JSON.stringify({ ...given, ...${literal} });
			})(document.getElementById("vscode-workbench-web-configuration"));
		</script>
		<script src="/.kalpana/sleep.js" defer></script>
		<style>html { background: ${colors["editor.background"]}; }</style>`;

// --disable-telemetry is for the server; the page still gets these.
const productFile = `${vscode}/product.json`;
const product = readJSON(productFile);
product.enableTelemetry = false;
delete product.telemetryEndpoint;
delete product.voiceWsUrl;
writeFileSync(productFile, JSON.stringify(product, null, 2));

// The processes it forks (extensions, terminals, file watching) read the compile cache too. Not by
// NODE_COMPILE_CACHE, which every program in a terminal would inherit.
const fork = `${vscode}/out/bootstrap-fork.js`;
const enable = 'import{enableCompileCache as __cc}from"node:module";__cc("/usr/local/lib/code-server/compile-cache");';
writeFileSync(fork, `${enable}${readFileSync(fork, "utf8")}`);

const workbenchFile = `${vscode}/out/vs/code/browser/workbench/workbench.js`;
let workbench = readFileSync(workbenchFile, "utf8");
function mend(pattern, replacement, near) {
  if (workbench.match(pattern)?.length !== 1) {
    throw new Error(`${workbenchFile} is not the program this was written for: look for what is mended here near "${near}"`);
  }
  workbench = workbench.replace(pattern, replacement);
}
// A page that lost its connection waits up to 30 s between its attempts to come back. Now it tries at once when the
// browser says that the network is there again, which the gateway's script says as well when a workspace is awake.
mend(
  /(=>new Promise\(\((\w+),\w+\)=>\{)(let (\w+)=setTimeout\(\2,\w+\*1e3\);\w+\.onCancellationRequested\(\(\)=>\{clearTimeout\(\4\),\2\(\)\}\))/g,
  '$1addEventListener("online",()=>$2(),{once:!0});$3',
  "reconnecting loop",
);
// When it has given up for good it tells the gateway's script, which loads it anew as soon as that is of use.
mend(/static triggerPermanentFailure\(\w+,\w+,\w+\)\{/g, '$&dispatchEvent(new Event("kalpana-lost"));', "permanent failure");
writeFileSync(workbenchFile, workbench);

// Browsers keep what VS Code's server sends for a year, by a path that names VS Code's version: the next image may have another
// script of the same version.
const source = 'out/vs/code/browser/workbench/workbench.js"';
const html = readFileSync(page, "utf8");
if (html.split(anchor).length !== 2 || html.split(source).length !== 2) {
  throw new Error(`${page} is not the page this was written for: look for the workbench's configuration and script in it`);
}
const version = createHash("sha256").update(workbench).digest("hex").slice(0, 12);
writeFileSync(page, html.replace(source, `${source.slice(0, -1)}?${version}"`).replace(anchor, () => `${anchor}\n\t\t${script}`));
