// What `tidegate publish` sends plays in a browser by WHEP.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { firstFrameTime, framesAreDecoded, pictureSize, received, textBecomes, textOf } from "./support/pages.js";
import { startGateway, startPublisher, streamIsListed } from "./support/process.js";

const browser = browserOfFile();

// The AV1 encoder makes no keyframe when asked for one, so it makes them often.
for (const [codec, more] of [["h264"], ["vp8"], ["vp9"], ["av1", ["--keyframe-interval", "1s"]]]) {
  test(`${codec} plays`, async (t) => {
    const gateway = await startGateway(t);
    startPublisher(t, gateway, "demo", ["--codec", codec, "--size", "640x360", ...(more ?? [])]);
    const { tracks } = await streamIsListed(gateway, "demo");
    assert.deepEqual(tracks.map((track) => track.codec.toLowerCase()).sort(), [codec, "opus"].sort());

    const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
    t.diagnostic(`${codec}: first frame ${await firstFrameTime(page)} ms after navigation`);
    const { video } = await framesAreDecoded(page, 60);
    assert.equal(await pictureSize(page), "640x360");
    assert.equal(video.packetsLost, 0);
    await textBecomes(page, "state", /^Live$/);
    await textBecomes(page, "numbers", new RegExp(`Codec\\s*${codec}`, "i"));
  });
}

test("a codec that the browser lacks is refused, with both sides' codecs", async (t) => {
  const gateway = await startGateway(t);
  startPublisher(t, gateway, "demo", ["--codec", "h265", "--size", "640x360"]);
  await streamIsListed(gateway, "demo");

  const page = await browser.open(t);
  const answer = page.waitForResponse((response) => response.url().endsWith("/whep/demo"));
  await page.goto(`${gateway.url}/watch/demo#way=whep`);
  assert.equal((await answer).status(), 422);
  await textBecomes(page, "state", /^Refused$/);
  assert.match(await textOf(page, "notice"), /H265.*VP8.*H264/s);
});

test("a viewer who comes before the broadcast waits for it", async (t) => {
  const gateway = await startGateway(t);
  const page = await browser.open(t, `${gateway.url}/watch/demo`);
  await textBecomes(page, "state", /^Not live yet$/);
  startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await framesAreDecoded(page, 30);
});

test("the offer asks for stereo", async (t) => {
  const gateway = await startGateway(t);
  const page = await browser.open(t);
  const offer = page.waitForRequest((request) => request.url().endsWith("/whep/demo"));
  await page.goto(`${gateway.url}/watch/demo#way=whep`);
  const sdp = (await offer).postData();
  const [, type] = sdp.match(/^a=rtpmap:(\d+) opus\/48000\/2/m);
  assert.match(sdp, new RegExp(`^a=fmtp:${type} .*\\bstereo=1\\b`, "m"));
});

// It is the first thing that people try, from a browser that may not leave loopback.
test("the test broadcast of a gateway on all addresses plays from this machine", async (t) => {
  const gateway = await startGateway(t, {}, { on: "0.0.0.0", args: ["--demo"] });
  await streamIsListed(gateway, "demo");
  const page = await browser.open(t, `${gateway.url}/watch/demo`);
  await framesAreDecoded(page, 30);
  await textBecomes(page, "state", /^Live$/);
  assert.equal(await page.evaluate(() => window.tidegate.way), "whep");
});

test("a browser waits for as long as the stream's playout delay says", async (t) => {
  const gateway = await startGateway(t, { "streams.playout_delay": "700ms to 700ms" });
  startPublisher(t, gateway, "demo", ["--size", "320x180", "--keyframe-interval", "1s"]);
  await streamIsListed(gateway, "demo");
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(page, 30);
  const before = (await received(page)).video;
  const after = (await framesAreDecoded(page, 60)).video;
  const frames = after.jitterBufferEmittedCount - before.jitterBufferEmittedCount;
  const seconds = (after.jitterBufferDelay - before.jitterBufferDelay) / frames;
  t.diagnostic(`a frame waited ${Math.round(seconds * 1000)} ms`);
  assert.ok(seconds > 0.5 && seconds < 0.9, `a frame waited ${seconds} s`);
});
