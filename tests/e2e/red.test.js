// Sound with redundancy (RFC 2198), where it is switched on.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile, browserOn } from "./support/browser.js";
import { exchanges } from "./support/exchange.js";
import { behindRouter, reason } from "./support/namespaces.js";
import { playbackAdvances, received } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

/** Publishes sound and a picture from `page`; gives the answer's audio m-line. */
async function publish(page) {
  await exchanges(page);
  return page.evaluate(async () => {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 180 }, audio: true });
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const track of stream.getTracks()) peer.addTransceiver(track, { direction: "sendonly", streams: [stream] });
    const answer = await window.exchange(peer, "/whip/demo");
    window.published = { peer, stream };
    return answer.match(/^m=audio .*$/m)[0];
  });
}

/**
 * How many times as long the payloads are that the publisher sends for its sound as those that the stream holds, once
 * there are some hundred.
 */
async function redundancy(page, gateway) {
  const each = ({ bytes, packets }) => bytes / packets;
  const sent = await until("200 packets of sound are sent", async () => {
    const sent = await page.evaluate(async () => {
      const reports = [...(await window.published.peer.getStats()).values()];
      const { bytesSent, packetsSent } = reports.find(({ type, kind }) => type === "outbound-rtp" && kind === "audio");
      return { bytes: bytesSent, packets: packetsSent };
    });
    return sent.packets >= 200 && sent;
  });
  const held = await until("the stream holds as many", async () => {
    const { tracks, publishers } = await (await fetch(`${gateway.url}/streams/demo`)).json();
    const id = tracks.findIndex(({ kind }) => kind === "audio");
    const held = publishers[0].layers.find(({ track }) => track === id);
    return held?.packets >= sent.packets && held;
  });
  return each(sent) / each(held);
}

/** Watches the sound of the stream without redundancy; gives the answer's audio m-line. */
async function watchPlain(page) {
  await exchanges(page);
  return page.evaluate(async () => {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const transceiver = peer.addTransceiver("audio", { direction: "recvonly" });
    const { codecs } = RTCRtpReceiver.getCapabilities("audio");
    transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType !== "audio/red"));
    const audio = new Audio();
    audio.srcObject = new MediaStream([transceiver.receiver.track]);
    audio.play();
    const answer = await window.exchange(peer, "/whep/demo");
    window.tidegate = {
      get stats() {
        return peer.getStats();
      },
    };
    return answer.match(/^m=audio .*$/m)[0];
  });
}

/** Waits until `count` packets of sound have come to the page; gives the statistics. */
function soundComes(page, count) {
  return until(`${count} packets of sound come`, async () => {
    const { audio } = await received(page);
    return audio?.packetsReceived >= count && audio;
  });
}

test("browsers send and get each packet of sound twice, and others get it once", async (t) => {
  const gateway = await startGateway(t, { "media.audio_redundancy": true });
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  assert.match(await publish(publisher), /\/SAVPF 63 111$/);
  const { tracks } = await streamIsListed(gateway, "demo");
  assert.equal(tracks.find(({ kind }) => kind === "audio").codec, "opus");
  const factor = await redundancy(publisher, gateway);
  assert.ok(factor > 1.8 && factor < 2.3, `${factor}`);

  const redundant = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  const plain = await browser.open(t, `${gateway.url}/healthz`);
  assert.match(await watchPlain(plain), /\/SAVPF 111$/);
  const both = await soundComes(redundant, 100);
  // All but the first come a second time, and are of no use then.
  assert.ok(both.packetsDiscarded > 80, JSON.stringify(both));
  assert.equal(both.packetsLost, 0);
  const once = await soundComes(plain, 100);
  assert.ok(once.packetsDiscarded < 20, JSON.stringify(once));
  assert.equal(once.packetsLost, 0);

  // The stream holds it once: HLS is as ever.
  const player = await browser.open(t, `${gateway.url}/watch/demo#way=hls`);
  await playbackAdvances(player, 3);
  const bytes = await player.evaluate(() => document.querySelector("video").webkitAudioDecodedByteCount);
  assert.ok(bytes > 0, "there is sound");
});

test("sound goes once as long as nothing else is switched on", async (t) => {
  const gateway = await startGateway(t);
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  assert.match(await publish(publisher), /\/SAVPF 111$/);
  await streamIsListed(gateway, "demo");
  const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  const { packetsDiscarded } = await soundComes(viewer, 100);
  assert.ok(packetsDiscarded < 20, `${packetsDiscarded}`);
  const factor = await redundancy(publisher, gateway);
  assert.ok(factor > 0.9 && factor < 1.1, `${factor}`);
});

test("where packets are lost, sound with redundancy has fewer holes", { skip: reason }, async (t) => {
  const { net, server, router, viewer } = behindRouter(t);
  // The publisher knows nothing of redundancy.
  const settings = { "media.audio_redundancy": true };
  const gateway = await startGateway(t, settings, { on: "0.0.0.0", at: "10.77.1.1", args: ["--demo"], machine: server });
  await streamIsListed(gateway, "demo");

  const audience = await browserOn(t, net, viewer);
  const redundant = await audience.open(t, `${gateway.url}/watch/demo#way=whep`);
  const plain = await audience.open(t, `${gateway.url}/healthz`);
  await watchPlain(plain);
  const pages = [redundant, plain];
  const before = await Promise.all(pages.map((page) => soundComes(page, 50)));
  // Of what is as short as sound, every tenth datagram.
  router.firewall(`table ip loss {
    chain forward {
      type filter hook forward priority 0
      ip daddr 10.77.2.1 meta l4proto udp meta length < 400 numgen random mod 10 == 0 drop
    }
  }`);
  const [less, more] = await Promise.all(pages.map(async (page, index) => {
    const was = before[index];
    const now = await soundComes(page, was.packetsReceived + 700);
    const [lost, samples, madeUp] = ["packetsLost", "totalSamplesReceived", "concealedSamples"].map(
      (name) => now[name] - was[name],
    );
    t.diagnostic(`${lost} packets lost, ${madeUp} of ${samples} samples made up`);
    return madeUp / samples;
  }));
  assert.ok(more > 0.05, `${more}`);
  assert.ok(less < more / 3, `${less} beside ${more}`);
});

test("a browser takes an offer of ours, with redundancy and transport-wide feedback", async (t) => {
  const gateway = await startGateway(t, { "media.audio_redundancy": true }, { args: ["--demo"] });
  await streamIsListed(gateway, "demo");
  const page = await browser.open(t, `${gateway.url}/healthz`);
  const answer = await page.evaluate(async () => {
    const type = "application/sdp";
    const response = await fetch("/whep/demo", { method: "POST", headers: { "Content-Type": type } });
    if (response.status !== 406) throw new Error(await response.text());
    const peer = new RTCPeerConnection();
    peer.ontrack = ({ track }) => {
      const player = document.body.appendChild(document.createElement(track.kind));
      player.srcObject = new MediaStream([track]);
      player.play();
    };
    await peer.setRemoteDescription({ type: "offer", sdp: await response.text() });
    await peer.setLocalDescription();
    const { sdp } = peer.localDescription;
    const session = response.headers.get("Location");
    const taken = await fetch(session, { method: "PATCH", headers: { "Content-Type": type }, body: sdp });
    if (taken.status !== 204) throw new Error(await taken.text());
    window.tidegate = {
      get stats() {
        return peer.getStats();
      },
    };
    return sdp;
  });
  assert.match(answer, /^a=rtpmap:63 red\/48000\/2/m);
  assert.match(answer, /^a=rtcp-fb:96 transport-cc/m);
  assert.match(answer, /^a=extmap:7 .*transport-wide-cc-extensions-01/m);
  const sound = await soundComes(page, 100);
  assert.ok(sound.packetsDiscarded > 80, JSON.stringify(sound));
  const { framesDecoded } = (await received(page)).video;
  assert.ok(framesDecoded > 30, `${framesDecoded}`);
});
