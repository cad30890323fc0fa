// Publishers that vanish, and connections that change under way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, textBecomes } from "./support/pages.js";
import { startGateway, startPublisher, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

test("a killed publisher's stream ends, and viewers wait for the next one", async (t) => {
  const gateway = await startGateway(t, {
    "limits.consent_timeout": "5s",
    "streams.reconnect_grace": "0s",
  });
  const publisher = startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await streamIsListed(gateway, "demo");
  const viewer = await browser.open(t, `${gateway.url}/watch/demo`);
  await framesAreDecoded(viewer, 10);

  await publisher.stop("SIGKILL");
  const killed = performance.now();
  await until("the stream has left the list", async () => (await gateway.streams()).length === 0);
  const seconds = (performance.now() - killed) / 1000;
  assert.ok(seconds < 8, `it took ${seconds} s`);
  await textBecomes(viewer, "state", /^Not live yet$/);

  startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await framesAreDecoded(viewer, 10);
});

test("candidates may follow the offer, and ICE may start again", async (t) => {
  const gateway = await startGateway(t);
  startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await streamIsListed(gateway, "demo");
  const page = await browser.open(t, `${gateway.url}/`);

  const late = await page.evaluate(async (endpoint) => {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    window.peer = peer;
    const candidates = [];
    peer.addEventListener("icecandidate", ({ candidate }) => candidates.push(candidate));
    for (const kind of ["video", "audio"]) peer.addTransceiver(kind, { direction: "recvonly" });
    await peer.setLocalDescription();
    const offer = peer.localDescription.sdp.replace(/^a=candidate:.*\r\n/gm, "");
    const made = await fetch(endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/sdp" },
      body: offer,
    });
    window.session = new URL(made.headers.get("Location"), endpoint).href;
    window.etag = made.headers.get("ETag");
    await peer.setRemoteDescription({ type: "answer", sdp: await made.text() });
    const complete = () => peer.iceGatheringState === "complete";
    while (!complete()) {
      await new Promise((resolve) => {
        peer.addEventListener("icegatheringstatechange", resolve, { once: true });
      });
    }
    /** Sends a fragment of RFC 8840 with what the local description says now. */
    window.patch = (etag, lines) => {
      const sdp = peer.localDescription.sdp;
      const wanted = [/^a=ice-ufrag:.*$/m, /^a=ice-pwd:.*$/m, /^m=.*$/m, /^a=mid:.*$/m];
      const head = wanted.map((pattern) => sdp.match(pattern)[0]);
      return fetch(window.session, {
        method: "PATCH",
        headers: { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": etag },
        body: `${[...head, ...lines].join("\r\n")}\r\n`,
      });
    };
    const lines = candidates.filter((each) => each?.candidate).map((each) => `a=${each.candidate}`);
    const patched = await window.patch(window.etag, [...lines, "a=end-of-candidates"]);
    return { lines: lines.length, status: patched.status };
  }, `${gateway.url}/whep/demo`);
  assert.ok(late.lines > 0);
  assert.equal(late.status, 204);
  await until("the browser decodes", () => decoded(page));

  const restart = await page.evaluate(async () => {
    const peer = window.peer;
    const before = peer.remoteDescription.sdp;
    const offer = await peer.createOffer({ iceRestart: true });
    await peer.setLocalDescription(offer);
    const response = await window.patch("*", []);
    const fragment = await response.text();
    const value = (name) => fragment.match(new RegExp(`^a=${name}:(.*)$`, "m"))[1].trim();
    const sdp = before
      .replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${value("ice-ufrag")}`)
      .replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${value("ice-pwd")}`);
    await peer.setRemoteDescription({ type: "answer", sdp });
    const changed = response.headers.get("ETag") !== window.etag;
    return { status: response.status, changed, renewed: sdp !== before, ufrag: value("ice-ufrag") };
  });
  assert.deepEqual({ ...restart, ufrag: "" }, { status: 200, changed: true, renewed: true, ufrag: "" });
  await until("the new credentials carry the connection", () => {
    return page.evaluate(async (ufrag) => {
      const reports = [...(await window.peer.getStats()).values()];
      const transport = reports.find(({ type }) => type === "transport");
      const pair = reports.find(({ id }) => id === transport?.selectedCandidatePairId);
      const remote = reports.find(({ id }) => id === pair?.remoteCandidateId);
      return remote?.usernameFragment === ufrag && pair.state === "succeeded";
    }, restart.ufrag);
  });
  const before = await decoded(page);
  await until("frames go on", async () => (await decoded(page)) > before + 30);
  assert.equal(await page.evaluate(() => window.peer.connectionState), "connected");
});

function decoded(page) {
  return page.evaluate(async () => {
    const reports = [...(await window.peer.getStats()).values()];
    const video = reports.find(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    return video?.framesDecoded ?? 0;
  });
}
