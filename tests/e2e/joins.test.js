// A viewer has a picture at once, however rarely the publisher makes a keyframe.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, received } from "./support/pages.js";
import { startGateway, startPublisher, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

/** Seconds from one keyframe to the next. */
const INTERVAL = 30;

/** Milliseconds from the connection to the first frame on the page, told by the page itself. */
async function watch(t, url) {
  const page = await browser.open(t);
  await page.addInitScript(() => {
    const times = { connected: null, first: null };
    window.times = times;
    const Original = RTCPeerConnection;
    window.RTCPeerConnection = class extends Original {
      constructor(...all) {
        super(...all);
        this.addEventListener("connectionstatechange", () => {
          if (this.connectionState === "connected") times.connected ??= performance.now();
        });
      }
    };
    document.addEventListener("DOMContentLoaded", () => {
      document.querySelector("video").requestVideoFrameCallback(() => (times.first = performance.now()));
    });
  });
  await page.goto(url);
  const times = await until("the first frame is shown", async () => {
    const times = await page.evaluate(() => window.times);
    return times.first !== null && times;
  });
  return { page, wait: times.first - times.connected };
}

// This encoder makes no keyframe when asked for one.
test("a viewer does not wait for the next keyframe", async (t) => {
  const gateway = await startGateway(t, { "media.keyframe_cache_age": "60s" });
  const options = ["--codec", "av1", "--size", "640x360", "--keyframe-interval", `${INTERVAL}s`];
  startPublisher(t, gateway, "demo", options);
  await streamIsListed(gateway, "demo");
  const first = await watch(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(first.page, 90);

  for (const viewer of ["second", "third"]) {
    const { page, wait } = await watch(t, `${gateway.url}/watch/demo#way=whep`);
    const { video } = await framesAreDecoded(page, 60);
    t.diagnostic(`${viewer} viewer: ${Math.round(wait)} ms to the first frame; ` + JSON.stringify({
      decoded: video.framesDecoded, dropped: video.framesDropped, keys: video.keyFramesDecoded,
      freezes: video.freezeCount, frozen: video.totalFreezesDuration, plis: video.pliCount,
      nacks: video.nackCount, lost: video.packetsLost,
      delay: video.jitterBufferDelay / video.jitterBufferEmittedCount,
    }));
    assert.ok(wait < 2_000, `the first frame came after ${wait} ms`);
    assert.equal(video.keyFramesDecoded, 1, "of the cache");
    assert.equal(video.freezeCount, 0);
    assert.equal(video.pliCount, 0);
  }
});
