// A browser publishes all layers of its picture in one stream of packets; viewers choose between them.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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

/** Of 144, 288 and 576 lines, the smallest first. */
const SIZES = ["256x144", "512x288", "1024x576"];

/** So often the player changes the level. */
const CHANGES = 10;

const VARIANTS = [
  ["AV1", "L3T3_KEY", SIZES],
  ["AV1", "L3T3", SIZES],
  ["AV1", "L2T1", SIZES.slice(1)],
];

for (const [codec, mode, sizes] of VARIANTS) {
  test(`hls.js changes between the spatial layers of ${codec} ${mode}`, async (t) => {
    const { gateway } = await start(t, codec, mode);
    const hls = `${gateway.url}/hls/demo`;
    const playlist = `${hls}/index-audio.m3u8`;
    const index = await until(`there are ${sizes.length} variants`, async () => {
      const text = await (await fetch(playlist)).text();
      return sizes.every((size) => text.includes(`RESOLUTION=${size}`)) && text;
    });
    assert.equal(index.match(/^#EXT-X-STREAM-INF:/gm).length, sizes.length, "temporal layers are none");
    const page = await browser.open(t, playerOf(await startSite(t), playlist));
    await playbackAdvances(page, 2);
    const levels = await page.evaluate(() => window.hls.levels.map(({ width, height }) => `${width}x${height}`));
    assert.deepEqual(levels, sizes, "by their bandwidth");
    let current = await page.evaluate(() => window.hls.currentLevel);
    for (let number = 0; number < CHANGES; number += 1) {
      // Up and down, by one and by two.
      const level = (current + 1 + ((number >> 1) % (sizes.length - 1))) % sizes.length;
      current = level;
      // At once, with what is buffered thrown away, and with the next segment.
      const way = number % 2 ? "nextLevel" : "currentLevel";
      await page.evaluate(([way, level]) => (window.hls[way] = level), [way, level]);
      await until(`the picture is that of ${sizes[level]}`, async () => (await pictureSize(page)) === sizes[level]);
      const before = await decoded(page);
      await playbackAdvances(page, 1.5);
      const pictures = async () => (await decoded(page)) - before;
      await until(`there are 15 pictures of ${sizes[level]}`, async () => (await pictures()) >= 15);
      const complaints = await page.evaluate(() => window.complaints.splice(0));
      const grave = complaints.filter((complaint) => /^buffer(Stalled|Append)|, fatal$/.test(complaint));
      assert.deepEqual(grave, [], `change ${number}, by ${way} to ${sizes[level]}`);
      // What it loads while it throws away may get lost on the way; it sees to that itself.
      if (complaints.length) t.diagnostic(`change ${number}, by ${way} to ${sizes[level]}: ${complaints}`);
    }
    await page.evaluate(() => window.hls.destroy());

    const names = sizes.map((size) => index.match(new RegExp(`RESOLUTION=${size},.*\\n(\\S+)`))[1]);
    const variants = await lastSegments(t, names.map((name) => `${hls}/${name}`));
    const times = variants.map((file) => packetTimes(file));
    assert.ok(times[0].length > 10, `${times[0]}`);
    for (const [place, size] of sizes.entries()) {
      assert.deepEqual(times[place], times[0], `a picture has the same time in ${size}`);
      assert.deepEqual(decodedSizes(variants[place]), times[0].map(() => size));
    }
  });
}

for (const [codec, mode] of [["VP9", "L1T3"], ["VP9", "L3T3_KEY"], ["VP9", "L2T1"], ["AV1", "L1T3"]]) {
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

/** How many pictures the video element of the page has decoded. */
function decoded(page) {
  return page.evaluate(() => document.querySelector("video").getVideoPlaybackQuality().totalVideoFrames);
}

/** The newest whole segments that all of these playlists have, as a file for each that is kept for the time of the test. */
async function lastSegments(t, playlists) {
  const directory = mkdtempSync(join(tmpdir(), "tidegate-"));
  t.after(() => rmSync(directory, { recursive: true }));
  const texts = await Promise.all(playlists.map(async (url) => (await fetch(url)).text()));
  const numbersOf = (text) => [...text.matchAll(/^video\d?-(\d+)\.m4s$/gm)].map(([, number]) => number);
  const numbers = texts.map(numbersOf).reduce((all, own) => all.filter((number) => own.includes(number))).slice(-3);
  const bytesOf = async (url, name) => Buffer.from(await (await fetch(new URL(name, url))).arrayBuffer());
  const files = playlists.map(async (url, place) => {
    const [, map] = [...texts[place].matchAll(/^#EXT-X-MAP:URI="(.*)"/gm)].at(-1);
    const [, rendition] = texts[place].match(/^(video\d?)-\d+\.m4s$/m);
    const names = [map, ...numbers.map((number) => `${rendition}-${number}.m4s`)];
    const file = join(directory, `${rendition}.mp4`);
    writeFileSync(file, Buffer.concat(await Promise.all(names.map((name) => bytesOf(url, name)))));
    return file;
  });
  return Promise.all(files);
}

/** When the pictures of a file are shown, in ticks. */
function packetTimes(file) {
  const args = ["-v", "error", "-show_entries", "packet=pts", "-of", "json", file];
  return JSON.parse(execFileSync("ffprobe", args)).packets.map(({ pts }) => pts);
}

/** The sizes of all pictures that FFmpeg decodes of a file, which it must do without a word of complaint. */
function decodedSizes(file) {
  // With the times of the file: by the rate that it guesses, two pictures of a camera may be at the same time.
  const times = ["-fps_mode", "passthrough", "-enc_time_base", "-1"];
  const output = ["-vf", "showinfo", ...times, "-f", "null", "-"];
  const args = ["-hide_banner", "-nostats", "-v", "level+info", "-i", file, ...output];
  const { stderr } = spawnSync("ffmpeg", args, { encoding: "utf8" });
  assert.doesNotMatch(stderr, /\[(error|fatal|panic)\]/);
  return [...stderr.matchAll(/ n: *\d+ .* s:(\d+x\d+)/g)].map(([, size]) => size);
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
