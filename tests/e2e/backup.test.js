// A browser that watches while publishers come and go notices nothing but the picture.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, longestGap, pictureSize, received, textOf, watchGaps } from "./support/pages.js";
import { startGateway, startPublisher, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();
/** What a viewer may miss because of a switch, in seconds. */
const GAP = 1;

/** Opens the watch page of `demo`; what it saw since can be asked for. */
async function watch(t, gateway) {
  const page = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await framesAreDecoded(page, 10);
  const session = await page.evaluate(() => window.tidegate.client.sessionUrl);
  await watchGaps(page);
  return {
    page,
    async becomes(size) {
      await until(`the picture is ${size}`, async () => (await pictureSize(page)) === size);
      await framesAreDecoded(page, 10);
    },
    /** Says what the switch cost, and that it is the same session. */
    async wentOn(what, longest = GAP) {
      const gap = await longestGap(page);
      const { video } = await received(page);
      t.diagnostic(
        `${what}: ${Math.round(gap * 1000)} ms between two pictures; ` +
          `${video.framesDecoded} frames decoded, ${video.freezeCount} freezes of ` +
          `${video.totalFreezesDuration} s, ${video.framesDropped} dropped`,
      );
      assert.ok(gap < longest, `${what}: ${gap} s between two pictures`);
      assert.equal(await page.evaluate(() => window.tidegate.client.sessionUrl), session);
      assert.equal(await textOf(page, "state"), "Live");
    },
  };
}

async function publisher(gateway, priority) {
  const { publishers } = await streamIsListed(gateway, "demo");
  return publishers.find((publisher) => publisher.priority === priority);
}

test("a publisher with another picture size takes the viewers over", async (t) => {
  const gateway = await startGateway(t);
  startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await streamIsListed(gateway, "demo");
  const viewer = await watch(t, gateway);
  startPublisher(t, gateway, "demo", ["--size", "320x180"]);
  await viewer.becomes("320x180");
  await viewer.wentOn("takeover");
});

test("the backup steps in for a publisher that was killed, until it is back", async (t) => {
  const gateway = await startGateway(t, {
    "streams.second_publisher": "backup",
    "streams.stall_after": "300ms",
    "streams.return_after": "1s",
  });
  const primary = startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await streamIsListed(gateway, "demo");
  startPublisher(t, gateway, "demo?backup", ["--size", "320x180"]);
  await until("the backup stands by", async () => {
    return (await publisher(gateway, 50))?.state === "flowing";
  });
  const viewer = await watch(t, gateway);
  await viewer.becomes("640x360");
  await viewer.wentOn("before");

  await primary.stop("SIGKILL");
  await viewer.becomes("320x180");
  await viewer.wentOn("to the backup");
  assert.equal((await publisher(gateway, 100)).state, "stalled");

  startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await viewer.becomes("640x360");
  await viewer.wentOn("back to the primary");
});

test("the slate fills the time until the publisher is back", async (t) => {
  const gateway = await startGateway(t, {
    "streams.slate": "true",
    "streams.reconnect_grace": "1m",
  });
  const first = startPublisher(t, gateway, "demo", ["--size", "640x360"]);
  await streamIsListed(gateway, "demo");
  const viewer = await watch(t, gateway);
  await first.stop("SIGTERM");
  await viewer.becomes("1280x720");
  startPublisher(t, gateway, "demo", ["--size", "320x180"]);
  await viewer.becomes("320x180");
  await until("the page says so", async () => (await textOf(viewer.page, "state")) === "Live");
  // An encoder has to start for it, on a machine that may be busy.
  await viewer.wentOn("through the slate", 10);
});
