// A browser publishes all layers of its picture in one stream of packets; viewers choose between them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesPerSecondBecome, heightBecomes, modeSent, publishScalable, select } from "./support/layers.js";
import { framesAreDecoded, longestGap, pictureSize, playbackAdvances, received, textBecomes, watchGaps } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";
import { playerOf, startSite } from "./support/site.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

/** A picture that stands still for longer than this is seen to, in seconds. */
const FREEZE = 1;

const SPATIAL = [
  ["VP9", "L3T3_KEY", [144, 288, 576]],
  ["VP9", "L3T3", [144, 288, 576]],
  ["VP9", "L2T1", [288, 576]],
  ["AV1", "L2T1", [288, 576]],
  ["AV1", "L3T3", [144, 288, 576]],
];

for (const [codec, mode, heights] of SPATIAL) {
  test(`a viewer chooses between the spatial layers of ${codec} ${mode}`, async (t) => {
    const { gateway } = await start(t, codec, mode);
    const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
    const top = heights.length - 1;
    await heightBecomes(viewer, heights[top]);
    await until("the page lists the layers", async () => {
      const listed = await viewer.evaluate(() => document.getElementById("layer").textContent);
      return heights.every((height) => listed.includes(String(height)));
    });
    await watchGaps(viewer);
    for (const spatialLayerId of [0, top, 1, 0]) {
      await select(viewer, { spatialLayerId });
      await heightBecomes(viewer, heights[spatialLayerId]);
      await framesAreDecoded(viewer, 20);
    }
    await select(viewer, { maxHeight: heights[0] + 1 });
    await select(viewer, {});
    await heightBecomes(viewer, heights[top]);
    const { video } = await framesAreDecoded(viewer, 20);
    assert.equal(video.packetsLost, 0, "a switch leaves no gap");
    const ingest = await ingestOf(gateway);
    assert.equal(ingest.video.height, heights[top]);
    assert.equal(ingest.within.find(({ spatial }) => spatial === top).subscribers, 1);
    const gap = await longestGap(viewer);
    assert.ok(gap < FREEZE, `the picture stood still for ${gap} s`);

    await assert.rejects(select(viewer, { spatialLayerId: 7 }), /no such spatial or temporal layer/);
    const temporal = /T1/.test(mode) ? /no temporal layers/ : /no such spatial or temporal layer/;
    await assert.rejects(select(viewer, { temporalLayerId: 7 }), temporal);
  });
}

// With the lowest spatial layer, where there are several.
const TEMPORAL = [
  ["VP9", "L1T3", 576],
  ["VP9", "L1T2", 576],
  ["VP9", "L3T3_KEY", 144],
  ["AV1", "L1T3", 576],
  ["AV1", "L3T3", 144],
];

for (const [codec, mode, height] of TEMPORAL) {
  test(`a viewer chooses between the temporal layers of ${codec} ${mode}`, async (t) => {
    // HLS asks for keyframes.
    const { gateway } = await start(t, codec, mode, { "hls.enabled": "false" });
    const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
    await heightBecomes(viewer, 576);
    const top = Number(mode.match(/T(\d)/)[1]) - 1;
    await layersAreListed(viewer, top + 1);
    // Keyframes are needed for a larger picture alone.
    await select(viewer, { spatialLayerId: 0, temporalLayerId: top });
    await heightBecomes(viewer, height);
    await framesPerSecondBecome(viewer, 13, 17);
    const before = await keyframesAskedFor(gateway);
    for (const temporalLayerId of [0, top, top - 1, top]) {
      await select(viewer, { spatialLayerId: 0, temporalLayerId });
      const expected = 15 / 2 ** (top - temporalLayerId);
      await framesPerSecondBecome(viewer, expected - 2, expected + 2);
      assert.equal((await received(viewer)).video.frameHeight, height);
    }
    const { video } = await framesAreDecoded(viewer, 20);
    assert.equal(video.packetsLost, 0, "a switch leaves no gap");
    assert.equal(await keyframesAskedFor(gateway), before, "a switch needs no keyframe");
  });
}

for (const codec of ["H264", "VP9", "AV1"]) {
  test(`the publish page sends ${codec} that viewers with slow links get fewer frames of`, async (t) => {
    // HLS asks for keyframes.
    const gateway = await startGateway(t, { "hls.enabled": "false" });
    const options = `source=test&size=640x360&layers=frames&codec=${codec}&autostart=1`;
    await browser.open(t, `${gateway.url}/publish/demo#${options}`);
    await streamIsListed(gateway, "demo");
    const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
    await layersAreListed(viewer, 3);
    await textBecomes(viewer, "layer", /640 × 360, \S+ kbit\/s\s*640 × 360, fewer frames, /);
    await framesPerSecondBecome(viewer, 25, 35);
    const before = await keyframesAskedFor(gateway);
    for (const [temporalLayerId, frames] of [[0, 7.5], [1, 15], [2, 30], [0, 7.5], [2, 30]]) {
      await select(viewer, { temporalLayerId });
      await framesPerSecondBecome(viewer, frames - 4, frames + 4);
    }
    const { video } = await framesAreDecoded(viewer, 40);
    assert.equal(video.packetsLost, 0, "a switch leaves no gap");
    assert.equal(await keyframesAskedFor(gateway), before, "a switch needs no keyframe");
  });
}

for (const [codec, mode, height] of [["AV1", "L3T3", 144], ["AV1", "L2T1", 288], ["VP9", "L3T3_KEY", 576]]) {
  test(`a player without dependency descriptors shows ${height} lines of ${codec} ${mode}`, async (t) => {
    const { gateway } = await start(t, codec, mode);
    const viewer = await browser.open(t);
    // As pages that do not ask for them.
    await viewer.addInitScript(() => {
      RTCRtpTransceiver.prototype.getHeaderExtensionsToNegotiate = undefined;
    });
    await viewer.goto(`${gateway.url}/watch/demo#way=whep`);
    await heightBecomes(viewer, height);
    await framesAreDecoded(viewer, 20);
  });
}

for (const [codec, mode] of [["VP9", "L3T3_KEY"], ["VP9", "L2T1"], ["AV1", "L3T3_KEY"], ["AV1", "L1T3"]]) {
  test(`hls.js plays ${codec} ${mode} whole`, async (t) => {
    const { gateway } = await start(t, codec, mode);
    const playlist = `${gateway.url}/hls/demo/index.m3u8`;
    // All pictures come, and not the keyframes alone.
    await until("there is HLS", async () => /FRAME-RATE=1\d\./.test(await (await fetch(playlist)).text()));
    const page = await browser.open(t, playerOf(await startSite(t), playlist));
    await playbackAdvances(page, 4);
    assert.equal(await pictureSize(page), "1024x576");
    const complaints = await page.evaluate(() => window.complaints);
    assert.deepEqual(complaints.filter((complaint) => complaint.endsWith(", fatal")), []);
    await page.evaluate(() => window.hls.destroy());
  });
}

/** Waits until the viewer can choose between so many layers. */
function layersAreListed(viewer, count) {
  const listed = (count) => document.getElementById("layer").length > count;
  return until(`the page lists ${count} layers`, () => viewer.evaluate(listed, count));
}

/** What the gateway says of the picture that it gets, once a second. */
async function ingestOf(gateway) {
  const { publishers } = await (await fetch(`${gateway.url}/streams/demo`)).json();
  return publishers[0].layers.find(({ video }) => video);
}

/** How many keyframes it has asked for until now. The first is to see whether one comes then. */
async function keyframesAskedFor(gateway) {
  const { video } = await ingestOf(gateway);
  let now;
  await until("the gateway reports anew", async () => {
    now = (await ingestOf(gateway)).video;
    return now.frames > video.frames && now.keyframe_requests > 0;
  });
  return now.keyframe_requests;
}

/** A gateway, and a browser that publishes to it. */
async function start(t, codec, mode, settings = { "hls.segment_duration": "1s" }) {
  const gateway = await startGateway(t, settings);
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  await publishScalable(publisher, "/whip/demo", codec, mode);
  await streamIsListed(gateway, "demo");
  let sent;
  const isSent = async () => (sent = await modeSent(publisher)) === mode;
  await until(`it sends ${mode}`, isSent).catch((error) => {
    throw new Error(`${error.message}; it sends ${sent}`);
  });
  return { gateway, publisher };
}
