// A network of the test's own. Chromium drops the requests under way whenever an address appears on
// the machine (net::ERR_NETWORK_CHANGED), which each start of a container beside it causes. In a
// namespace with nothing but loopback and an idle link it is left alone; one relay leads out, to the
// gateway's socket.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import net from "node:net";

const ip = (command) => execFileSync("ip", command.split(" "), { stdio: ["ignore", "ignore", "inherit"] });

/** Sets the namespace up and listens on `port` of its loopback for what goes to the Unix socket `socket`. */
export async function isolate(port, socket) {
  writeFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
  ip("link set lo up");
  // Without a link that is up, pages are told that they are offline.
  ip("link add idle0 type veth peer name idle1");
  ip("address add 192.0.2.1/24 dev idle0");
  ip("link set idle0 up");
  ip("link set idle1 up");
  const server = net.createServer({ allowHalfOpen: true }, (inside) => {
    const outside = net.connect({ path: socket, allowHalfOpen: true });
    inside.pipe(outside).pipe(inside);
    inside.on("error", () => outside.destroy());
    outside.on("error", () => inside.destroy());
    inside.on("close", () => outside.destroy());
    outside.on("close", () => inside.destroy());
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  server.unref();
}
