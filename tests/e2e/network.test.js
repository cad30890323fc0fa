// A browser in networks that let little through. The machines are network namespaces.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { browserOn } from "./support/browser.js";
import { behindRouter, reason } from "./support/namespaces.js";
import { framesAreDecoded, textBecomes } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";

/** The candidate pair that media comes by, as the browser tells it. */
function path(page) {
  return page.evaluate(async () => {
    const reports = (await window.tidegate.stats) ?? new Map();
    const transport = [...reports.values()].find(({ type }) => type === "transport");
    const pair = reports.get(transport?.selectedCandidatePairId);
    const [local, remote] = [pair?.localCandidateId, pair?.remoteCandidateId].map((id) => reports.get(id));
    return { local: local?.candidateType, protocol: remote?.protocol, relay: local?.relayProtocol };
  });
}

test("where UDP is blocked the browser plays over TCP", { skip: reason }, async (t) => {
  const { net, server, router, viewer } = behindRouter(t);
  router.firewall(`table inet filter {
    chain forward {
      type filter hook forward priority 0
      meta l4proto udp drop
    }
  }`);
  const gateway = await startGateway(t, {}, { on: "0.0.0.0", at: "10.77.1.1", args: ["--demo"], machine: server });
  await streamIsListed(gateway, "demo");

  const browser = await browserOn(t, net, viewer);
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(page, 60);
  await textBecomes(page, "state", /^Live$/);
  assert.equal((await path(page)).protocol, "tcp");
});

test("where only a relay can be reached the browser plays through it", { skip: reason }, async (t) => {
  const { net, server, router, viewer } = behindRouter(t);
  // HTTP passes, and what the relay itself sends; the gateway offers no TCP here.
  router.firewall(`table inet filter {
    chain forward {
      type filter hook forward priority 0
      policy drop
      tcp dport 8080 accept
      tcp sport 8080 accept
    }
  }`);
  // The configuration that operators get, with the values that it leaves to them.
  const secret = "a-shared-secret";
  const values = { "static-auth-secret": secret, "allowed-peer-ip": "10.77.1.1" };
  const turn = Object.entries(values).reduce(
    (text, [key, value]) => text.replace(new RegExp(`^${key}=.*$`, "m"), `${key}=${value}`),
    readFileSync(new URL("../../deploy/turnserver.conf", import.meta.url), "utf8"),
  );
  writeFileSync(join(net.folder, "turnserver.conf"), turn.replace(/^syslog$/m, "log-file=stdout"));
  router.start("turnserver", "-c", join(net.folder, "turnserver.conf"), "--no-tls", "--no-dtls",
    "--listening-ip=10.77.2.254", "--relay-ip=10.77.1.254", `--pidfile=${join(net.folder, "turn.pid")}`,
    `--userdb=${join(net.folder, "turn.db")}`);
  const settings = join(net.folder, "tidegate.toml");
  writeFileSync(settings, `[media]\ntcp = false\n[[ice_servers]]\nurls = ["turn:10.77.2.254:3478?transport=udp"]\nsecret = "${secret}"\n`);
  const options = { on: "0.0.0.0", port: 8080, at: "10.77.1.1", args: ["--demo", "--config", settings], machine: server };
  const gateway = await startGateway(t, {}, options);
  await streamIsListed(gateway, "demo");

  const browser = await browserOn(t, net, viewer);
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(page, 60);
  assert.equal((await path(page)).local, "relay");
});
