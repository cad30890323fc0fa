// How old the picture is that a player of HLS shows, from glass to glass: the publisher films a clock, and the
// player's page reads it off its picture.
//
//     MINUTES=10 node --test latency.test.js
//
// plays for so long, and then fails too where the latency, the stalls or the time to start are more than we
// promise; without it, it plays for some seconds and only tells what they are, as a test machine may be busy.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { filmClock, readClock } from "./support/clock.js";
import { textBecomes, textOf } from "./support/pages.js";
import { startGateway } from "./support/process.js";
import { playerOf, startSite } from "./support/site.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

const MINUTES = Number(process.env.MINUTES ?? 0);
const SECONDS = MINUTES > 0 ? MINUTES * 60 : 8;

/** How often each page is opened, to see how long it takes to show something. */
const OPENINGS = MINUTES > 0 ? 10 : 1;

/** What the gateway is told, and the promised latency in milliseconds. */
const CASES = [
  ["the default settings", {}, 2000],
  ["parts of 200 ms", { "hls.part_duration": "200ms" }, 1200],
];

/** How long the first picture may take, in milliseconds. */
const START = 1000;

/** The players, and whether they are to keep the promise: hls.js as it is stays as late as it is at first. */
const PLAYERS = [
  ["hls.js", (site, gateway) => playerOf(site, playlistOf(gateway)), false],
  ["hls.js as advised", (site, gateway) => playerOf(site, playlistOf(gateway), CATCHING_UP, { beginsLive: true }), true],
  ["the watch page", (_, gateway) => `${gateway.url}/watch/demo#way=hls`, true],
];

/** As docs/hls.md advises. */
const CATCHING_UP = { maxLiveSyncPlaybackRate: 1.2 };

const playlistOf = (gateway) => `${gateway.url}/hls/demo/index.m3u8`;

for (const [name, settings, promised] of CASES) {
  test(`${name}: how old the picture is`, { timeout: (SECONDS + 240) * 1000 }, async (t) => {
    const gateway = await startGateway(t, settings);
    await publishClock(t, gateway);
    const site = await startSite(t);
    const players = [];
    for (const [player, address, promises] of PLAYERS) {
      const url = address(site, gateway);
      const starts = [];
      let page;
      for (let opened = 0; opened < OPENINGS; opened += 1) {
        await page?.close();
        page = await open(t, url);
        starts.push(await page.evaluate(() => window.clock.start));
      }
      players.push({ player, page, starts, promises });
    }
    const seen = await Promise.all(players.map((each) => watch(t, each)));
    for (const { player, latencies, illegible, stalls, starts, promises } of seen) {
      assert.equal(illegible, 0, `${player}: each picture can be read`);
      const [least, middle, most] = [0, 0.5, 0.95].map((share) => quantile(latencies, share));
      // Players without parts stay at least three target durations behind: 6 s.
      assert.ok(least > 0 && middle < 6000, `${player}: ${least} to ${middle} ms`);
      if (MINUTES === 0 || !promises) continue;
      assert.ok(most <= promised, `${player}: ${most} ms, promised are ${promised}`);
      assert.equal(stalls, 0, player);
      assert.ok(quantile(starts, 0.5) <= START, `${player}: the first picture took ${starts.map(Math.round)} ms`);
    }
  });
}

test("a picture has the same date by WHEP and by HLS, and the watch page says how old it is", async (t) => {
  const gateway = await startGateway(t);
  await publishClock(t, gateway);
  const errors = {};
  for (const way of ["whep", "hls"]) {
    const page = await open(t, `${gateway.url}/watch/demo#way=${way}`);
    // By the publisher's clock, as its sender reports tell it to us. Those of WHEP come to the browser, which tells by
    // them when the picture was made that it shows; those of HLS are in EXT-X-PROGRAM-DATE-TIME, by which the player
    // says how old what it plays is.
    await page.evaluate((way) => {
      const NTP_EPOCH = Date.UTC(1900, 0);
      const { client } = window.tidegate;
      let behind = NaN;
      const look = async () => {
        const reports = [...((await client.stats()) ?? new Map()).values()];
        const video = reports.find(({ type, kind }) => type === "inbound-rtp" && kind === "video");
        behind = Date.now() - (video?.estimatedPlayoutTimestamp ?? NaN) - NTP_EPOCH;
      };
      if (way === "whep") setInterval(look, 100);
      window.dateOf = (video, { mediaTime }) => {
        if (way === "whep") return Date.now() - behind;
        return Date.now() - 1000 * (client.latency + video.currentTime - mediaTime);
      };
    }, way);
    await until(`100 pictures have a date by ${way}`, () => page.evaluate(() => window.clock.errors.length >= 100));
    const { shown, picture } = await until("the page says how old the picture is", async () => {
      const [, number, unit] = (await textOf(page, "numbers")).match(/Behind live\s*([\d.]+) (m?s)/) ?? [];
      const picture = await page.evaluate(() => window.clock.latencies.slice(-30).sort((a, b) => a - b)[15]);
      return number && { shown: Number(number) * (unit === "s" ? 1000 : 1), picture };
    });
    const dated = await page.evaluate(() => window.clock.errors);
    errors[way] = quantile(dated, 0.5);
    t.diagnostic(`${way}: dated ${errors[way].toFixed(0)} ms late; ${picture} ms old, the page says ${shown}`);
    // The page looks once a second, and players change their pace.
    assert.ok(Math.abs(shown - picture) < 500, `${way}: ${shown} ms, but it is ${picture} ms old`);
  }
  // What the browser itself is late by at drawing and encoding is the same for both.
  assert.ok(Math.abs(errors.whep - errors.hls) < 100, JSON.stringify(errors));
});

/** A page that shows a legible picture. */
async function open(t, url) {
  const page = await browser.open(t);
  await readClock(page);
  await page.goto(url);
  const begun = () => page.evaluate(() => window.clock?.start);
  await until(`${url} shows a picture`, begun, { every: 200 }).catch(async (error) => {
    throw new Error(`${error.message}; ${await page.evaluate(stateOfPage)}`);
  });
  return page;
}

/** What a player's page has shown when it has played for long enough. */
async function watch(t, { player, page, starts, promises }) {
  const done = async () => (await page.evaluate(() => window.clock.last - window.clock.start)) > SECONDS * 1000;
  await until(`${player} shows pictures for ${SECONDS} s`, done, {
    within: SECONDS * 1000 + 20000,
    every: 500,
  }).catch(async (error) => {
    throw new Error(`${error.message}; ${await page.evaluate(stateOfPage)}`);
  });
  const { latencies, illegible, stalls, longest } = await page.evaluate(() => window.clock);
  const [middle, high, most] = [0.5, 0.95, 1].map((share) => quantile(latencies, share));
  const [early, late] = [quantile(starts, 0.5), quantile(starts, 1)].map(Math.round);
  t.diagnostic(
    `${player}: ${middle} ms old in the middle, ${high} p95, ${most} at most, of ${latencies.length} pictures; ` +
      `${stalls} stalls, longest gap ${longest.toFixed(0)} ms; first picture after ${early} ms, ${late} at most of ${starts.length}`,
  );
  return { player, latencies, illegible, stalls, starts, promises };
}

/** What a page knows that does not play. */
function stateOfPage() {
  const { clock, hls, complaints } = window;
  const { currentTime, paused, readyState, buffered } = document.querySelector("video");
  const ranges = Array.from({ length: buffered.length }, (_, index) => [buffered.start(index), buffered.end(index)]);
  const { start, last, stalls, latencies } = clock;
  const shown = { start, last, stalls, pictures: latencies.length };
  return JSON.stringify({ ...shown, currentTime, paused, readyState, ranges, complaints, latency: hls?.latency });
}

function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))];
}

/** A browser that has published the clock for some segments. */
async function publishClock(t, gateway) {
  const page = await browser.open(t);
  await filmClock(page);
  await page.goto(`${gateway.url}/publish/demo#source=camera&size=640x360&autostart=1`);
  await textBecomes(page, "state", /^Live$/);
  await until("there are three segments", async () => {
    const response = await fetch(`${gateway.url}/hls/demo/video.m3u8`);
    return /#EXTINF(.|\n)*#EXTINF(.|\n)*#EXTINF/.test(await response.text());
  });
}
