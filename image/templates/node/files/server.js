import { createServer } from "node:http";

const port = Number(process.env.PORT ?? 3000);

const server = createServer((request, response) => {
  if (request.url !== "/") {
    response.writeHead(404, { "content-type": "text/plain; charset=utf-8" });
    response.end("Nothing here.\n");
    return;
  }
  response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
  response.end("<!doctype html><title>Hello</title><h1>Hello from Node</h1><p>Edit server.js and reload.</p>\n");
});

server.listen(port, "127.0.0.1", () => {
  console.log(`Listening on http://localhost:${port}`);
});
