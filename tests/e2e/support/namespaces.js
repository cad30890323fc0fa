// Networks of our own: Linux network namespaces, joined by cables, with firewalls between.
//
// What a test makes is gone with it. They need root, `ip` and `nft`; where that can't be had, `reason`
// says so and the tests are skipped with it.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let networks = 0;

/** Why there can be no namespaces here; false where there can. The form is that of a test's `skip`. */
export const reason = (() => {
  if (process.getuid?.() !== 0) return "making network namespaces needs root";
  for (const [program, args] of [["ip", ["-V"]], ["nft", ["--version"]]]) {
    if (spawnSync(program, args).status !== 0) return `making network namespaces needs the program ${program}`;
  }
  const name = `tgx${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  spawnSync("ip", ["netns", "del", name]);
  return made.status !== 0 && `this machine lets us make no network namespaces: ${made.stderr.trim()}`;
})();

/** Why cables can't be made slow here; false where they can. */
export const slowReason = reason || (() => {
  const name = `tgs${process.pid}`;
  spawnSync("ip", ["netns", "add", name]);
  const words = ["qdisc", "add", "dev", "lo", "root", "tbf", "rate", "1mbit", "burst", "3000", "limit", "60000"];
  const made = spawnSync("tc", ["-n", name, ...words], { encoding: "utf8" });
  spawnSync("ip", ["netns", "del", name]);
  return made.status !== 0 && `this kernel makes no cable slow: ${made.stderr?.trim() ?? made.error}`;
})();

/** An empty network for the time of the test `t`. */
export function network(t) {
  const prefix = `tg${process.pid}-${networks++}`;
  const folder = mkdtempSync(join(tmpdir(), "tidegate-network-"));
  const names = [];
  let cables = 0;
  t.after(() => {
    // The cables go with their ends.
    for (const name of names) spawnSync("ip", ["netns", "del", name]);
    rmSync(folder, { recursive: true });
  });
  return {
    /** A folder for files of the test. */
    folder,

    /** A machine in the network, with loopback alone. */
    machine(name) {
      const namespace = `${prefix}-${name}`;
      ip("netns", "add", namespace);
      names.push(namespace);
      ip("-n", namespace, "link", "set", "lo", "up");
      return {
        namespace,
        /** The words that run a program there. */
        prefix: ["ip", "netns", "exec", namespace],
        /** Runs a program to its end; gives what it printed. */
        run: (...words) => execFileSync("ip", ["netns", "exec", namespace, ...words], { encoding: "utf8" }),
        route: (...words) => ip("-n", namespace, "route", "add", ...words),
        /** Loads rules of nftables. */
        firewall(rules) {
          execFileSync("ip", ["netns", "exec", namespace, "nft", "-f", "-"], { input: rules });
        },
        forwards() {
          execFileSync("ip", ["netns", "exec", namespace, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
        },
        /** Starts a program for the time of the test. */
        start(...words) {
          const child = spawn("ip", ["netns", "exec", namespace, ...words], { stdio: "ignore" });
          const ended = new Promise((resolve) => child.once("close", resolve));
          t.after(async () => {
            child.kill("SIGKILL");
            await ended;
          });
        },
      };
    },

    /**
     * Joins two machines; each end is an address with its prefix length, such as "10.77.1.1/24". Gives
     * the cable, which can be made a slow one.
     */
    cable([one, address], [other, otherAddress]) {
      const [left, right] = ["a", "b"].map((end) => `tg${end}${process.pid % 100000}x${cables}`);
      cables += 1;
      ip("link", "add", left, "netns", one.namespace, "type", "veth", "peer", "name", right, "netns", other.namespace);
      for (const [machine, device, at] of [[one, left, address], [other, right, otherAddress]]) {
        // Duplicate address detection would take a second in which the address is of no use.
        ip("-n", machine.namespace, "address", "add", at, "dev", device, ...(at.includes(":") ? ["nodad"] : []));
        ip("-n", machine.namespace, "link", "set", device, "up");
      }
      return {
        /**
         * Lets only so many kbit/s go from the left machine to the right one; more waits in a queue of
         * so many bytes, and what does not fit there is lost.
         */
        narrow: (kilobits, queue = 60_000) =>
          one.run("tc", "qdisc", "replace", "dev", left, "root", "tbf",
            "rate", `${kilobits}kbit`, "burst", "3000", "limit", `${queue}`),
      };
    },

    /** A program that stands for `program` on a machine: for those who start programs by their path. */
    stand(machine, program) {
      const path = join(folder, `${machine.namespace}-${program.replaceAll("/", "-")}`);
      writeFileSync(path, `#!/bin/sh\nexec ${machine.prefix.join(" ")} ${program} "$@"\n`);
      chmodSync(path, 0o755);
      return path;
    },
  };
}

function ip(...words) {
  execFileSync("ip", words, { stdio: ["ignore", "ignore", "pipe"] });
}

/** A network with the machine of a gateway, a router, and that of a viewer behind it: the addresses are always the same. */
export function behindRouter(t) {
  const net = network(t);
  const [server, router, viewer] = ["server", "router", "viewer"].map((name) => net.machine(name));
  net.cable([server, "10.77.1.1/24"], [router, "10.77.1.254/24"]);
  net.cable([viewer, "10.77.2.1/24"], [router, "10.77.2.254/24"]);
  server.route("default", "via", "10.77.1.254");
  viewer.route("default", "via", "10.77.2.254");
  router.forwards();
  return { net, server, router, viewer };
}
