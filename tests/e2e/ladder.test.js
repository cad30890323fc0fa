// The transcoding ladder: a player goes from rung to rung of a broadcast that was sent once.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { pictureSize, playbackAdvances } from "./support/pages.js";
import { startGateway, startPublisher } from "./support/process.js";
import { startSite } from "./support/site.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

test("hls.js goes from rung to rung without a hole", async (t) => {
  const gateway = await startGateway(t, {
    "hls.ladder": "180:300k,120:150k",
    "hls.segment_duration": "1s",
    "streams.reconnect_grace": "0s",
  });
  startPublisher(t, gateway, "demo", ["--size", "640x360", "--keyframe-interval", "1s"]);
  const playlist = `${gateway.url}/hls/demo/index.m3u8`;
  await until("all rungs are listed", async () => {
    const response = await fetch(playlist);
    return response.ok && /RESOLUTION=214x120/.test(await response.text());
  });
  const page = await browser.open(t, await startSite(t));
  await page.evaluate((playlist) => {
    const video = document.querySelector("video");
    Object.assign(window, { errors: [], holes: 0, stalls: 0 });
    window.hls = new Hls({ startLevel: 0 });
    window.hls.on(Hls.Events.ERROR, (_, { fatal, details }) => {
      if (fatal) window.errors.push(details);
      if (details === Hls.ErrorDetails.BUFFER_SEEK_OVER_HOLE) window.holes += 1;
    });
    window.hls.loadSource(playlist);
    window.hls.attachMedia(video);
    video.play();
  }, playlist);
  await playbackAdvances(page, 3);
  const heights = await page.evaluate(() => window.hls.levels.map(({ height }) => height));
  assert.deepEqual(new Set(heights), new Set([120, 180, 360]));
  await page.evaluate(() => {
    document.querySelector("video").addEventListener("waiting", () => (window.stalls += 1));
  });
  for (const size of ["640x360", "214x120", "320x180", "640x360"]) {
    await page.evaluate((height) => {
      window.hls.nextLevel = window.hls.levels.findIndex((level) => level.height === height);
    }, Number(size.split("x")[1]));
    await until(`the picture is ${size}`, async () => (await pictureSize(page)) === size);
    await playbackAdvances(page, 1);
  }
  const { errors, holes, stalls, ranges } = await page.evaluate(() => {
    const { buffered } = document.querySelector("video");
    return { errors: window.errors, holes: window.holes, stalls: window.stalls, ranges: buffered.length };
  });
  t.diagnostic(`${stalls} stalls in four changes`);
  assert.deepEqual({ errors, holes, ranges }, { errors: [], holes: 0, ranges: 1 });
  await page.evaluate(() => window.hls.destroy());

  const { hls } = await (await fetch(`${gateway.url}/streams/demo`)).json();
  assert.equal(hls.ladder.rungs, 2);
  assert.equal(hls.ladder.failures, 0);
});
