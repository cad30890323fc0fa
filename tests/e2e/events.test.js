// What the watch page makes of the extensions of WHEP: pauses, viewers and layers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, pictureSize, textBecomes, textOf } from "./support/pages.js";
import { startGateway, startPublisher, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

test("a viewer sees that the broadcast paused, and goes on by itself", async (t) => {
  const gateway = await startGateway(t, { "streams.reconnect_grace": "1m" });
  const publisher = startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await streamIsListed(gateway, "demo");
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(page, 10);
  await textBecomes(page, "numbers", /Viewers\s*1/);
  const session = await page.evaluate(() => window.tidegate.client.sessionUrl);

  await publisher.stop("SIGTERM");
  await textBecomes(page, "state", /^Paused$/);
  assert.match(await textOf(page, "message"), /will go on here by itself/);

  startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await textBecomes(page, "state", /^Live$/);
  await framesAreDecoded(page, 10);
  await until("the message is gone", () => page.locator("#over").isHidden());
  assert.equal(await page.evaluate(() => window.tidegate.client.sessionUrl), session);
});

test("a viewer is told where to go when the server ends", async (t) => {
  const other = await startGateway(t);
  startPublisher(t, other, "demo", ["--size", "640x360"]);
  await streamIsListed(other, "demo");
  const drain = `${other.url}/whep/{stream}`;
  const gateway = await startGateway(t, { "streams.drain_url": drain });
  startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await streamIsListed(gateway, "demo");
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(page, 10);
  await textBecomes(page, "numbers", /Viewers\s*1/);

  await gateway.stop();
  const moved = () => page.evaluate(() => window.tidegate.client.sessionUrl);
  await until("the session is elsewhere", async () => (await moved())?.startsWith(other.url));
  await framesAreDecoded(page, 10);
});

test("a viewer on another shard chooses among the layers", async (t) => {
  const gateway = await startGateway(t, { "media.shards": 2 });
  const publisher = await browser.open(t, `${gateway.url}/`);
  await publisher.evaluate(publishLayers, `${gateway.url}/whip/demo`);
  await streamIsListed(gateway, "demo");
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(page, 10, { sound: false });
  const options = page.locator("#layer option");
  await until("two layers are offered", async () => (await options.count()) === 3);
  for (const [index, size] of [[2, "160x90"], [1, "640x360"], [2, "160x90"]]) {
    const names = await options.allTextContents();
    const wanted = names.findIndex((name) => name.startsWith(size.replace("x", " × ")));
    await page.selectOption("#layer", { index: wanted > 0 ? wanted : index });
    await until(`the picture is ${size}`, async () => (await pictureSize(page)) === size);
  }
  assert.equal(await textOf(page, "notice"), "");
});

/** In the page: publishes a test picture in two sizes. */
async function publishLayers(endpoint) {
  const { startTestPicture } = await import("/assets/test-picture.js");
  const { stream } = startTestPicture({ width: 640, height: 360 });
  const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  window.peer = peer;
  const transceiver = peer.addTransceiver(stream.getVideoTracks()[0], {
    direction: "sendonly",
    sendEncodings: [
      { rid: "h", maxBitrate: 600_000 },
      { rid: "l", maxBitrate: 100_000, scaleResolutionDownBy: 4 },
    ],
  });
  const codecs = RTCRtpSender.getCapabilities("video").codecs;
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === "video/VP8"));
  await peer.setLocalDescription();
  const headers = { "Content-Type": "application/sdp" };
  const made = await fetch(endpoint, { method: "POST", headers, body: peer.localDescription.sdp });
  if (made.status !== 201) throw new Error(await made.text());
  await peer.setRemoteDescription({ type: "answer", sdp: await made.text() });
}
