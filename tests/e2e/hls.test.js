// HLS, as players that are not ours see it, and as the watch page falls back to it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { pictureSize, playbackAdvances, textBecomes, textOf } from "./support/pages.js";
import { startGateway, startPublisher } from "./support/process.js";
import { startSite } from "./support/site.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

const PUBLISHER = ["--size", "640x360", "--keyframe-interval", "1s"];

/** Short segments, and playlists that end with the broadcast. */
const SHORT = { "hls.segment_duration": "1s", "streams.reconnect_grace": "0s" };

/** As it is by default, but with parts that are short. */
const LOW_LATENCY = { "hls.part_duration": "200ms" };

test("hls.js plays on another site", async (t) => {
  const { playlist } = await startBroadcast(t);
  const page = await browser.open(t, await startSite(t));
  await page.evaluate((playlist) => {
    const video = document.querySelector("video");
    window.errors = [];
    window.hls = new Hls();
    window.hls.on(Hls.Events.ERROR, (_, { fatal, details }) => fatal && window.errors.push(details));
    window.hls.loadSource(playlist);
    window.hls.attachMedia(video);
    video.play();
  }, playlist);
  await playbackAdvances(page, 4);
  assert.equal(await pictureSize(page), "640x360");
  const tracks = await page.evaluate(() => window.hls.audioTracks.length);
  const heard = () => page.evaluate(() => document.querySelector("video").webkitAudioDecodedByteCount);
  assert.ok(tracks > 0 && (await heard()) > 0, "there is sound");
  assert.ok(await page.evaluate(() => window.hls.levels[0].details?.live), "it is live");
  assert.deepEqual(await page.evaluate(() => window.errors), []);
  await page.evaluate(() => window.hls.destroy());
});

test("hls.js plays with low latency, and goes on with the next publisher", async (t) => {
  const { gateway, publisher, playlist } = await startBroadcast(t, [], LOW_LATENCY);
  const page = await browser.open(t, await startSite(t));
  const asked = requestsOf(page);
  await page.evaluate((playlist) => {
    const video = document.querySelector("video");
    Object.assign(window, { errors: [], stalls: 0 });
    window.hls = new Hls({ maxLiveSyncPlaybackRate: 1.5 });
    window.hls.on(Hls.Events.ERROR, (_, { fatal, details }) => fatal && window.errors.push(details));
    video.addEventListener("waiting", () => (window.stalls += 1));
    window.hls.loadSource(playlist);
    window.hls.attachMedia(video);
    video.play();
  }, playlist);
  await playbackAdvances(page, 4);
  const latencies = () =>
    page.evaluate(() => [window.hls.latency, (Date.now() - window.hls.playingDate?.getTime()) / 1000]);
  // Players without parts stay at least three target durations behind: 6 s.
  await until("the picture is near the newest part", async () => {
    const [player, clock] = await latencies();
    return player > 0 && player < 5 && clock > 0 && clock < 5;
  });
  const before = await page.evaluate(() => window.stalls);
  await playbackAdvances(page, 6);
  const [player, clock] = await latencies();
  const stalls = (await page.evaluate(() => window.stalls)) - before;
  t.diagnostic(`latency ${player.toFixed(2)} s, by the clock ${clock.toFixed(2)} s, ${stalls} stalls in 6 s`);
  assert.ok(asked.some((path) => /video-\d+\.\d+\.m4s$/.test(path)), "it asks for parts");
  assert.ok(asked.some((path) => /_HLS_msn=\d+&_HLS_part=\d+/.test(path)), "it waits for parts");
  assert.ok(asked.some((path) => path.includes("_HLS_skip=YES")), "it asks for delta updates");

  await publisher.stop("SIGKILL");
  startPublisher(t, gateway, "demo", ["--size", "320x240", "--keyframe-interval", "1s"]);
  await until("the next picture is there", async () => (await pictureSize(page)) === "320x240");
  await playbackAdvances(page, 3);
  assert.deepEqual(await page.evaluate(() => window.errors), []);
  await page.evaluate(() => window.hls.destroy());
});

test("the watch page plays by HLS with low latency, and goes on with the next publisher", async (t) => {
  const { gateway, publisher } = await startBroadcast(t, [], LOW_LATENCY);
  const page = await browser.open(t);
  const asked = requestsOf(page);
  await page.goto(`${gateway.url}/watch/demo#way=hls`);
  await playbackAdvances(page, 4);
  const latency = () => page.evaluate(() => window.tidegate.client.latency);
  await until("the picture is near the newest part", async () => (await latency()) < 5);
  t.diagnostic(`latency ${(await latency()).toFixed(2)} s`);
  assert.ok(asked.some((path) => /video-\d+\.\d+\.m4s$/.test(path)), "it asks for parts");
  assert.ok(asked.some((path) => /_HLS_msn=\d+&_HLS_part=\d+/.test(path)), "it waits for parts");

  await publisher.stop("SIGKILL");
  startPublisher(t, gateway, "demo", ["--size", "320x240", "--keyframe-interval", "1s"]);
  await until("the next picture is there", async () => (await pictureSize(page)) === "320x240");
  await playbackAdvances(page, 3);
  // Both ways say how old the picture is.
  await page.selectOption("#way", "whep");
  await textBecomes(page, "state", /^Live$/);
  await playbackAdvances(page, 2);
});

// It goes from one variant to another by bandwidth, and fails where that is another coding of the sound.
for (const index of ["index-audio.m3u8", "index-aac.m3u8"]) {
  test(`the browser's own player plays ${index} from the first playlist on`, async (t) => {
    const page = await browser.open(t, await startSite(t));
    const can = await page.evaluate(() => {
      return document.querySelector("video").canPlayType("application/vnd.apple.mpegurl");
    });
    if (!can) return t.skip("this browser has no HLS player of its own");
    const { playlist } = await startBroadcast(t);
    await page.evaluate((playlist) => {
      const video = document.querySelector("video");
      video.src = playlist;
      video.play();
    }, playlist.replace("index.m3u8", index));
    await playbackAdvances(page, 4);
    assert.equal(await pictureSize(page), "640x360");
  });
}

for (const codec of ["h264", "vp9", "av1"]) {
  test(`ffprobe reads a live ${codec} playlist`, async (t) => {
    const { playlist } = await startBroadcast(t, ["--codec", codec]);
    const entries = "stream=codec_name,codec_type,width,height,nb_read_frames";
    const probe = ["-v", "error", "-count_frames", "-read_intervals", "%+3", "-show_entries", entries];
    const { streams } = JSON.parse(await output("ffprobe", [...probe, "-of", "json", playlist]));
    const video = streams.find((stream) => stream.codec_type === "video");
    const audio = streams.find((stream) => stream.codec_type === "audio");
    assert.deepEqual([video.codec_name, video.width, video.height], [codec, 640, 360]);
    assert.equal(audio.codec_name, "opus");
    assert.ok(Number(video.nb_read_frames) > 30, `${video.nb_read_frames} frames`);
  });
}

test("a browser that sends only VP8 is not in HLS, unless it may be encoded anew", async (t) => {
  for (const transcodes of [0, 1]) {
    const gateway = await startGateway(t, { "hls.vp8_transcodes": transcodes, "hls.segment_duration": "1s" });
    const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
    await publisher.check("input[value=test]");
    await publisher.selectOption("#codec", "VP8");
    await publisher.selectOption("#size", "640x360");
    await publisher.click("#go");
    await textBecomes(publisher, "state", /^Live$/);
    const playlist = `${gateway.url}/hls/demo/index.m3u8`;
    const thumbnail = await until("there is a still picture", async () => {
      const response = await fetch(`${gateway.url}/streams/demo/thumbnail.jpg`);
      return response.ok && response;
    });
    assert.equal(thumbnail.headers.get("content-type"), "image/jpeg");
    const page = await browser.open(t, `${gateway.url}/`);
    const size = await page.evaluate(async () => {
      const picture = new Image();
      picture.src = "/streams/demo/thumbnail.jpg";
      await picture.decode();
      return `${picture.naturalWidth}x${picture.naturalHeight}`;
    });
    assert.equal(size, "640x360");
    if (transcodes === 0) {
      const refused = await until("HLS is refused", async () => {
        const response = await fetch(playlist);
        return response.status === 404 && (await response.json()).detail;
      });
      assert.match(refused, /VP8.*hls\.vp8_transcodes/);
      continue;
    }
    const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=hls`);
    await playbackAdvances(viewer, 3);
    assert.equal(await pictureSize(viewer), "640x360");
    assert.match(await (await fetch(playlist)).text(), /avc1\./);
  }
});

test("the watch page falls back to HLS where UDP does not get through", async (t) => {
  const { gateway } = await startBroadcast(t);
  const page = await browser.open(t);
  // Nobody listens on the discard port.
  await page.route("**/whep/demo", async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replace(/^(a=candidate:.* )\d+( typ )/gm, "$19$2");
    await route.fulfill({ response, body });
  });
  await page.goto(`${gateway.url}/watch/demo`);
  await textBecomes(page, "state", /^Live by HLS$/);
  assert.match(await textOf(page, "notice"), /UDP.*Playing by HLS instead/);
  await playbackAdvances(page, 4);
  assert.equal(await pictureSize(page), "640x360");
  await until("the page shows how far it is behind", async () => {
    return /Behind live\s*\d+(\.\d+)? m?s/.test(await textOf(page, "numbers"));
  });
});

test("the watch page plays a broadcast to its end once, and the next one", async (t) => {
  const { gateway, publisher } = await startBroadcast(t);
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=hls`);
  await playbackAdvances(page, 2);
  await page.evaluate(() => {
    window.states = [];
    window.tidegate.client.addEventListener("state", ({ detail }) => window.states.push(detail.state));
  });
  const states = () => page.evaluate(() => window.states.join());
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname.split("/").pop()));
  await publisher.stop("SIGTERM");
  await until("the player sees the end", async () => (await states()) === "ended");
  asked.length = 0;
  // Its playlist is still there.
  await until("the player looks twice for a next one", () => asked.length >= 2);
  assert.deepEqual([...new Set(asked)], ["video.m3u8"]);
  assert.equal(await states(), "ended");

  startPublisher(t, gateway, "demo", PUBLISHER);
  await until("the next broadcast plays", async () => /^ended,connecting.*,playing$/.test(await states()));
  await playbackAdvances(page, 2);
});

test("the watch page falls back to HLS where codecs don't meet, and says so when that fails too", async (t) => {
  const { gateway } = await startBroadcast(t, ["--codec", "h265"]);
  const page = await browser.open(t, `${gateway.url}/watch/demo`);
  await textBecomes(page, "notice", /H265/);
  await textBecomes(page, "message", /can't play|not in HLS/);
});

/** A gateway with short segments and a broadcast whose playlist can be played. */
async function startBroadcast(t, args = [], settings = SHORT) {
  const gateway = await startGateway(t, settings);
  const publisher = startPublisher(t, gateway, "demo", [...PUBLISHER, ...args]);
  const playlist = `${gateway.url}/hls/demo/index.m3u8`;
  await until("there is a playlist", async () => {
    const response = await fetch(playlist);
    await response.arrayBuffer();
    return response.ok;
  });
  return { gateway, publisher, playlist };
}

/** The paths that a page asks for, with their queries, as it asks. */
function requestsOf(page) {
  const asked = [];
  page.on("request", (request) => {
    const { pathname, search } = new URL(request.url());
    asked.push(pathname + search);
  });
  return asked;
}

/** What a program prints. */
async function output(program, args) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], timeout: 30000 });
  let [out, complaints] = ["", ""];
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (complaints += data));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  assert.equal(code, 0, `${program} ${args.join(" ")}:\n${complaints}`);
  return out;
}
