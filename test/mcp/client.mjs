// Connects to the server at the first argument with the token of the second, lists its tools, calls some, and prints
// what it got as JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [address, token] = process.argv.slice(2);
const client = new Client({ name: "test", version: "1" });
const transport = new StreamableHTTPClientTransport(new URL(address), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
const out = {};
try {
  await client.connect(transport);
  out.server = client.getServerVersion().name;
  out.tools = (await client.listTools()).tools.map((t) => ({ name: t.name, reads: t.annotations.readOnlyHint }));
  const call = async (name, args) => {
    const r = await client.callTool({ name, arguments: args });
    return { error: r.isError === true, text: r.content.map((c) => c.text).join("") };
  };
  out.wrote = await call("writeFile", { path: "a.txt", content: "hello\n" });
  out.read = await call("readFile", { path: "a.txt" });
  out.outside = await call("readFile", { path: "/etc/passwd" });
  out.ran = await call("runCommand", { command: "cat a.txt && exit 3" });
  let progress = 0;
  const slow = await client.callTool({ name: "runCommand", arguments: { command: "sleep 6; echo late" } }, undefined, {
    onprogress: () => progress++,
    resetTimeoutOnProgress: true,
    timeout: 5500,
  });
  out.slow = { text: slow.content[0].text, progress };
  await client.close();
} catch (e) {
  out.fault = `${e.name}: ${e.message}`;
}
console.log(JSON.stringify(out));
