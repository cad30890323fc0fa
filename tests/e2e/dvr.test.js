// Going back in a live stream, beyond what the gateway has in memory, as hls.js does it.

import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { playbackAdvances } from "./support/pages.js";
import { startGateway, startPublisher } from "./support/process.js";
import { startSite } from "./support/site.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

test("hls.js goes back half a minute and to the live edge again", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "tidegate-dvr-"));
  t.after(() => rm(directory, { recursive: true }));
  const gateway = await startGateway(t, {
    "hls.segment_duration": "1s",
    "hls.part_duration": "200ms",
    "hls.window": 4,
    "hls.spare_segments": 1,
    "hls.dvr_window": "2m",
    "hls.dvr_directory": directory,
  });
  startPublisher(t, gateway, "demo", ["--size", "640x360", "--keyframe-interval", "1s"]);
  const playlist = `${gateway.url}/hls/demo/index.m3u8`;
  await until("there is a playlist", async () => (await fetch(playlist)).ok);
  const page = await browser.open(t, await startSite(t));
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url())));
  await page.evaluate((playlist) => {
    const video = document.querySelector("video");
    window.errors = [];
    window.hls = new Hls({ maxLiveSyncPlaybackRate: 1.5, backBufferLength: 5 });
    window.hls.on(Hls.Events.ERROR, (_, { fatal, details }) => fatal && window.errors.push(details));
    window.hls.loadSource(playlist);
    window.hls.attachMedia(video);
    video.play();
  }, playlist);
  for (const seconds of [12, 12, 12]) await playbackAdvances(page, seconds);
  // By the publisher's clock in the playlist.
  const behind = () => page.evaluate(() => (Date.now() - window.hls.playingDate?.getTime()) / 1000);
  const live = await behind();
  asked.length = 0;
  await page.evaluate(() => (document.querySelector("video").currentTime -= 30));
  await playbackAdvances(page, 4);
  const past = await behind();
  const oldest = Math.min(...asked.map(({ pathname }) => Number(pathname.match(/video-(\d+)\.m4s$/)?.[1] ?? Infinity)));
  const list = await (await fetch(`${gateway.url}/hls/demo/video.m3u8`)).text();
  const newest = Number(list.match(/PRELOAD-HINT.*video-(\d+)\./)[1]);
  t.diagnostic(`${live.toFixed(1)} s behind, then ${past.toFixed(1)} s; asked for segment ${newest - oldest} before the newest`);
  assert.ok(past - live > 28, `${past} s behind after ${live} s`);
  assert.ok(newest - oldest > 20, "it asks for what is on disk");
  assert.ok(asked.some(({ search }) => search.includes("_HLS_skip=YES")), "playlists come without their past");

  await page.evaluate(() => (document.querySelector("video").currentTime = window.hls.liveSyncPosition));
  await playbackAdvances(page, 3);
  assert.ok((await behind()) < live + 3, `${await behind()} s behind at the live edge`);
  assert.deepEqual(await page.evaluate(() => window.errors), []);
  await page.evaluate(() => window.hls.destroy());
  await gateway.stop();
  assert.deepEqual(await readdir(join(directory, "tidegate-dvr")), ["lock"]);
});
