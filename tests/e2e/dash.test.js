// MPEG-DASH, as dash.js sees it.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { pictureSize, playbackAdvances } from "./support/pages.js";
import { startGateway, startPublisher } from "./support/process.js";
import { startSite } from "./support/site.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

const LOW_LATENCY = { "hls.part_duration": "200ms" };

test("dash.js plays with low latency, and goes on with the next publisher", async (t) => {
  const gateway = await startGateway(t, LOW_LATENCY);
  const publisher = startPublisher(t, gateway, "demo", ["--size", "640x360", "--keyframe-interval", "2s"]);
  const manifest = `${gateway.url}/dash/demo/manifest.mpd`;
  await until("there is a manifest whose segments are as long as each other", async () => {
    const response = await fetch(manifest);
    const text = await response.text();
    return response.ok && / duration="\d+"/.test(text);
  });
  const page = await browser.open(t, await startSite(t, "dash.js"));
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname.split("/").pop()));
  await page.evaluate((manifest) => {
    const video = document.querySelector("video");
    Object.assign(window, { errors: [], stalls: 0 });
    video.addEventListener("waiting", () => (window.stalls += 1));
    window.player = dashjs.MediaPlayer().create();
    window.player.on("error", ({ error }) => window.errors.push(error.message));
    window.player.initialize(video, manifest, true);
  }, manifest);
  await playbackAdvances(page, 4);
  assert.equal(await pictureSize(page), "640x360");
  // Players that take whole segments only are at least two of them behind: 4 s.
  const latency = () => page.evaluate(() => window.player.getCurrentLiveLatency());
  await until("the picture is near the newest part", async () => (await latency()) < 3);

  const seen = () =>
    page.evaluate(() => {
      const video = document.querySelector("video");
      const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
      return {
        frames: totalVideoFrames - droppedVideoFrames,
        bytes: video.webkitAudioDecodedByteCount,
        stalls: window.stalls,
      };
    });
  const before = await seen();
  await playbackAdvances(page, 10);
  const after = await seen();
  const frames = after.frames - before.frames;
  const stalls = after.stalls - before.stalls;
  t.diagnostic(`latency ${(await latency()).toFixed(2)} s, ${frames} frames and ${stalls} stalls in 10 s`);
  assert.ok(frames > 250, `${frames} frames of 30 a second`);
  assert.ok(after.bytes > before.bytes, "there is sound");
  assert.equal(stalls, 0);
  assert.ok(asked.includes("time"), "it asks for the time");

  await publisher.stop("SIGKILL");
  startPublisher(t, gateway, "demo", ["--size", "320x240", "--keyframe-interval", "2s"]);
  await until("the next picture is there", async () => (await pictureSize(page)) === "320x240");
  await playbackAdvances(page, 5);
  t.diagnostic(`latency ${(await latency()).toFixed(2)} s after the next publisher`);
  assert.deepEqual(await page.evaluate(() => window.errors), []);
  await page.evaluate(() => window.player.destroy());
});

test("a segment is sent while it grows", async (t) => {
  const gateway = await startGateway(t, LOW_LATENCY);
  startPublisher(t, gateway, "demo", ["--size", "640x360", "--keyframe-interval", "2s"]);
  const base = `${gateway.url}/dash/demo`;
  const newest = await until("there is a playlist", async () => {
    const response = await fetch(`${gateway.url}/hls/demo/video.m3u8`);
    const text = await response.text();
    return response.ok && Number(text.match(/PRELOAD-HINT.*video-(\d+)\./)?.[1]);
  });
  await (await fetch(`${base}/video-${newest}.m4s`)).arrayBuffer();
  // The one after it: it is waited for.
  const response = await fetch(`${base}/video-${newest + 1}.m4s`);
  assert.deepEqual([response.status, response.headers.get("content-length")], [200, null]);
  const arrivals = [];
  let size = 0;
  for await (const piece of response.body) {
    arrivals.push(performance.now());
    size += piece.length;
  }
  const took = arrivals.at(-1) - arrivals[0];
  t.diagnostic(`${size} bytes in ${arrivals.length} pieces and ${Math.round(took)} ms`);
  assert.ok(arrivals.length >= 5, `${arrivals.length} pieces of a segment of ten parts`);
  const whole = await fetch(`${base}/video-${newest + 1}.m4s`);
  assert.equal((await whole.arrayBuffer()).byteLength, size);
  assert.equal(whole.headers.get("content-length"), String(size));
  assert.equal((await fetch(`${base}/video-${newest + 90}.m4s`)).status, 404);
});
