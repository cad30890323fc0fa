// Streams with one kind of media, halves that are not used, and sound that pauses in silence.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { exchanges } from "./support/exchange.js";
import { framesAreDecoded, received } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

/**
 * Publishes what `wanted` says of "audio" and "video": "sendonly" or "inactive"; a kind that it does not
 * name has no section in the offer. A `wish` is what the offer says beside of Opus (RFC 7587).
 */
async function publish(page, wanted, { wish = "" } = {}) {
  await exchanges(page);
  return page.evaluate(
    async ({ wanted, wish }) => {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 180 }, audio: true });
      const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      for (const [kind, direction] of Object.entries(wanted)) {
        const [track] = stream.getTracks().filter((track) => track.kind === kind);
        peer.addTransceiver(direction === "inactive" ? kind : track, { direction, streams: [stream] });
      }
      await window.exchange(peer, "/whip/demo", (sdp) => {
        return wish ? sdp.replace(/^(a=fmtp:111 .*)$/m, `$1;${wish}`) : sdp;
      });
      window.published = { peer, stream };
    },
    { wanted, wish },
  );
}

/** Waits until the page received `count` more packets of sound. */
function soundComes(page, count) {
  let first;
  return until(`${count} packets of sound come`, async () => {
    const { audio } = await received(page);
    if (!audio?.packetsReceived) return false;
    first ??= audio.packetsReceived;
    return audio.packetsReceived - first >= count && audio;
  });
}

for (const [what, offer, has] of [
  ["sound alone", { audio: "sendonly" }, "audio"],
  ["a picture alone", { video: "sendonly" }, "video"],
  ["sound beside a picture that is not sent", { audio: "sendonly", video: "inactive" }, "audio"],
  ["a picture beside sound that is not sent", { audio: "inactive", video: "sendonly" }, "video"],
]) {
  test(`${what} plays`, async (t) => {
    const gateway = await startGateway(t);
    await publish(await browser.open(t, `${gateway.url}/publish/demo`), offer);
    const { tracks } = await streamIsListed(gateway, "demo");
    assert.deepEqual(tracks.map((track) => track.kind), [has]);
    const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
    if (has === "video") await framesAreDecoded(viewer, 30, { sound: false });
    else await soundComes(viewer, 60);
    const both = await received(viewer);
    assert.equal(both[has].packetsLost, 0);
    assert.ok(!both[has === "video" ? "audio" : "video"]?.packetsReceived);
  });
}

/**
 * Asks for what `wanted` says of "audio" and "video": "recvonly" or "inactive"; a kind that it does not name has
 * no section in the offer. Afterwards `received` tells what came. Gives the directions of the answer by kind.
 */
async function watch(page, wanted) {
  await exchanges(page);
  return page.evaluate(async (wanted) => {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const [kind, direction] of Object.entries(wanted)) peer.addTransceiver(kind, { direction });
    await window.exchange(peer, "/whep/demo");
    window.tidegate = {
      get stats() {
        return peer.getStats();
      },
    };
    const transceivers = peer.getTransceivers();
    return Object.fromEntries(transceivers.map((each) => [each.receiver.track.kind, each.currentDirection]));
  }, wanted);
}

for (const [what, offer, has] of [
  ["sound", { audio: "recvonly" }, "audio"],
  ["a picture", { video: "recvonly" }, "video"],
  ["sound beside a picture that is not wanted", { audio: "recvonly", video: "inactive" }, "audio"],
  ["a picture beside sound that is not wanted", { audio: "inactive", video: "recvonly" }, "video"],
]) {
  test(`a viewer that asks for ${what} gets that of a stream of both`, async (t) => {
    const gateway = await startGateway(t);
    const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
    await publish(publisher, { audio: "sendonly", video: "sendonly" });
    const { tracks } = await streamIsListed(gateway, "demo");
    assert.equal(tracks.length, 2);
    const viewer = await browser.open(t, `${gateway.url}/healthz`);
    assert.deepEqual(await watch(viewer, offer), offer);
    if (has === "video") {
      await until("30 frames are decoded", async () => (await received(viewer)).video?.framesDecoded >= 30);
    } else {
      await soundComes(viewer, 60);
    }
    const both = await received(viewer);
    assert.equal(both[has].packetsLost, 0);
    assert.ok(!both[has === "video" ? "audio" : "video"]?.packetsReceived);
  });
}

test("sound that pauses in silence is no loss and no stall, and comes back", async (t) => {
  const gateway = await startGateway(t, { "streams.second_publisher": "backup", "streams.stall_after": "1s" });
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  await publish(publisher, { audio: "sendonly" }, { wish: "usedtx=1" });
  await streamIsListed(gateway, "demo");
  const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await soundComes(viewer, 60);

  const speak = (enabled) =>
    publisher.evaluate((enabled) => {
      window.published.stream.getAudioTracks()[0].enabled = enabled;
    }, enabled);
  await speak(false);
  // Sound comes every 20 ms, silence every 400 ms.
  const seen = [];
  await until("the publisher pauses", async () => {
    const { audio } = await received(viewer);
    const now = performance.now();
    seen.push({ now, packets: audio.packetsReceived });
    const before = seen.findLast((then) => now - then.now > 1500);
    return before && audio.packetsReceived - before.packets < 10;
  });
  await speak(true);
  await soundComes(viewer, 60);
  const { audio } = await received(viewer);
  assert.equal(audio.packetsLost, 0);
  const [{ publishers }] = await gateway.streams();
  assert.equal(publishers[0].state, "flowing");
});

test("a publisher that offers a bitrate for its sound is told to send it", async (t) => {
  const gateway = await startGateway(t);
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  await publish(publisher, { audio: "sendonly" }, { wish: "maxaveragebitrate=128000" });
  await streamIsListed(gateway, "demo");
  await until("the encoder aims at it", () =>
    publisher.evaluate(async () => {
      const reports = [...(await window.published.peer.getStats()).values()];
      return reports.find(({ type }) => type === "outbound-rtp")?.targetBitrate === 128_000;
    }),
  );
});
