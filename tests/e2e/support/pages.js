// What the tests read off Tidegate's pages.

import { until } from "./wait.js";

/** The text of the element with this id. */
export function textOf(page, id) {
  return page.evaluate((id) => document.getElementById(id).textContent, id);
}

/** Waits until the element's text matches; gives the text. */
export async function textBecomes(page, id, pattern, options) {
  let text;
  const matches = async () => {
    text = await textOf(page, id);
    return pattern.test(text);
  };
  await until(`#${id} matches ${pattern}`, matches, options).catch((error) => {
    throw new Error(`${error.message}; it is "${text}"`);
  });
  return text;
}

/** What the watch page received: `{ video, audio }`, each the browser's inbound-rtp statistics. */
export async function received(page) {
  const reports = await page.evaluate(async () => {
    const reports = (await window.tidegate?.stats) ?? new Map();
    return [...reports.values()].filter(({ type }) => type === "inbound-rtp");
  });
  const [video, audio] = ["video", "audio"].map((kind) => reports.find((each) => each.kind === kind));
  return { video, audio };
}

/** What the publish page sends, as the browser's outbound-rtp statistics of its video. */
export function sent(page) {
  return page.evaluate(async () => {
    const reports = (await window.tidegate?.client?.peer?.getStats()) ?? new Map();
    return [...reports.values()].find(({ type, kind }) => type === "outbound-rtp" && kind === "video");
  });
}

/** Waits until the page decoded `count` more frames, and more sound came too; gives the statistics. */
export async function framesAreDecoded(page, count, { sound = true } = {}) {
  let first = null;
  let latest = {};
  return until(`${count} frames are decoded`, async () => {
    const now = await received(page);
    latest = now;
    if (!now.video?.framesDecoded) return false;
    first ??= now;
    const frames = now.video.framesDecoded - first.video.framesDecoded;
    const packets = (now.audio?.packetsReceived ?? 0) - (first.audio?.packetsReceived ?? 0);
    return frames >= count && (!sound || packets > 0) && now;
  }).catch(async (error) => {
    const state = await textOf(page, "state");
    throw new Error(`${error.message}; the page says "${state}", received ${JSON.stringify(latest)}`);
  });
}

/** Milliseconds from the page's navigation to its first decoded frame. */
export async function firstFrameTime(page) {
  const time = await page.waitForFunction(() => {
    const { totalVideoFrames } = document.querySelector("video").getVideoPlaybackQuality();
    return totalVideoFrames > 0 && Math.round(performance.now());
  });
  return time.jsonValue();
}

/** The size of the picture that a page shows. */
export function pictureSize(page) {
  return page.evaluate(() => {
    const video = document.querySelector("video");
    return `${video.videoWidth}x${video.videoHeight}`;
  });
}

/** Waits until playback of the page's video element moved on by `seconds`. */
export async function playbackAdvances(page, seconds) {
  const time = () => page.evaluate(() => document.querySelector("video").currentTime);
  // The start of playback may jump, to the live edge.
  const start = await until("playback begins", time);
  await until(`playback moves on by ${seconds} s from ${start} s`, async () => {
    return (await time()) > start + seconds;
  });
}

/** From now on, `longestGap` of the page knows the longest time between two pictures on the screen. */
export function watchGaps(page) {
  return page.evaluate(() => {
    const video = document.querySelector("video");
    let last;
    window.longest = 0;
    const seen = (now) => {
      if (last !== undefined) window.longest = Math.max(window.longest, (now - last) / 1000);
      last = now;
      video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
  });
}

/** The longest time between two pictures since the last call, in seconds. */
export function longestGap(page) {
  return page.evaluate(() => {
    const longest = window.longest;
    window.longest = 0;
    return longest;
  });
}
