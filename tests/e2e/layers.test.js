// A browser publishes three sizes of its picture at once; viewers get the best one, or choose.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { HEIGHTS, heightBecomes, publishLayers, select } from "./support/layers.js";
import { framesAreDecoded, pictureSize, playbackAdvances, textBecomes } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";
import { startSite } from "./support/site.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

for (const codec of ["VP8", "H264"]) {
  test(`a viewer chooses between the layers of ${codec}`, async (t) => {
    const gateway = await startGateway(t);
    const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
    await publishLayers(publisher, "/whip/demo", codec);
    await streamIsListed(gateway, "demo");

    const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
    await heightBecomes(viewer, HEIGHTS.h);
    await until("the page lists the layers", async () => {
      const listed = await viewer.evaluate(() => document.getElementById("layer").textContent);
      return Object.values(HEIGHTS).every((height) => listed.includes(String(height)));
    });
    for (const rid of ["l", "m", "h", "l"]) {
      await select(viewer, { rid });
      await heightBecomes(viewer, HEIGHTS[rid]);
      await framesAreDecoded(viewer, 20);
    }
    await select(viewer, {});
    await heightBecomes(viewer, HEIGHTS.h);
    const { video } = await framesAreDecoded(viewer, 20);
    assert.equal(video.packetsLost, 0, "a switch leaves no gap");

    await assert.rejects(select(viewer, { rid: "x" }), /no encoding of this stream has that rid/);
    await assert.rejects(select(viewer, { temporalLayerId: 1 }), /no temporal layers/);
  });
}

test("the publish page sends smaller pictures for viewers with slow links", async (t) => {
  const gateway = await startGateway(t);
  const options = "source=camera&size=1280x720&layers=sizes&autostart=1";
  const publisher = await browser.open(t, `${gateway.url}/publish/demo#${options}`);
  await streamIsListed(gateway, "demo");
  const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await heightBecomes(viewer, HEIGHTS.h);
  for (const maxHeight of [HEIGHTS.l, HEIGHTS.m, HEIGHTS.h]) {
    await select(viewer, { maxHeight });
    await heightBecomes(viewer, maxHeight);
  }
  await textBecomes(publisher, "numbers", /Resolution\s*1280 × 720/);
});

test("a viewer falls to the next layer while the best one pauses", async (t) => {
  const gateway = await startGateway(t);
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  await publishLayers(publisher, "/whip/demo", "VP8");
  await streamIsListed(gateway, "demo");
  const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
  await heightBecomes(viewer, HEIGHTS.h);

  await activate(publisher, "h", false);
  await heightBecomes(viewer, HEIGHTS.m);
  await framesAreDecoded(viewer, 20);
  await activate(publisher, "h", true);
  await heightBecomes(viewer, HEIGHTS.h);
  const { video } = await framesAreDecoded(viewer, 20);
  assert.equal(video.packetsLost, 0);
});

test("HLS goes on with the next layer while the best one pauses", async (t) => {
  const gateway = await startGateway(t);
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  await publishLayers(publisher, "/whip/demo", "H264");
  await streamIsListed(gateway, "demo");
  const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=hls`);
  const sizeBecomes = (size) => until(`the picture is ${size}`, async () => (await pictureSize(viewer)) === size);
  await playbackAdvances(viewer, 2);
  await sizeBecomes("1280x720");
  await activate(publisher, "h", false);
  await sizeBecomes("640x360");
  await playbackAdvances(viewer, 2);
  await activate(publisher, "h", true);
  await sizeBecomes("1280x720");
  await playbackAdvances(viewer, 2);
});

test("the layers are variants of HLS, between which a player changes without a gap", async (t) => {
  const gateway = await startGateway(t, { "hls.segment_duration": "1s" });
  const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
  await publishLayers(publisher, "/whip/demo", "H264");
  await streamIsListed(gateway, "demo");
  const playlist = `${gateway.url}/hls/demo/index.m3u8`;
  await until("all layers are listed", async () => {
    const index = await (await fetch(playlist)).text();
    return Object.values(HEIGHTS).every((height) => new RegExp(`RESOLUTION=\\d+x${height}\\b`).test(index));
  });
  const page = await browser.open(t, await startSite(t));
  await page.evaluate((playlist) => {
    const video = document.querySelector("video");
    window.trouble = [];
    window.hls = new Hls({ autoStartLoad: false });
    // A change of layers may end a request that the player has no more use for.
    const { INTERNAL_ABORTED } = Hls.ErrorDetails;
    window.hls.on(Hls.Events.ERROR, (_, { details }) => details !== INTERNAL_ABORTED && window.trouble.push(details));
    window.hls.loadSource(playlist);
    window.hls.attachMedia(video);
    window.levelOf = (wanted) => window.hls.levels.findIndex(({ height }) => height === wanted);
    return new Promise((resolve) => {
      window.hls.once(Hls.Events.MANIFEST_PARSED, () => {
        // Its own choice would come in the way of ours.
        window.hls.loadLevel = window.levelOf(180);
        window.hls.startLoad();
        resolve(video.play());
      });
    });
  }, playlist);
  const plays = async (height) => {
    await until(`the picture is ${height} high`, async () => (await pictureSize(page)).endsWith(`x${height}`));
    await playbackAdvances(page, 2);
  };
  await plays(180);
  for (const height of [720, 360, 180]) {
    await page.evaluate((height) => (window.hls.nextLevel = window.levelOf(height)), height);
    await plays(height);
  }
  assert.deepEqual(await page.evaluate(() => window.trouble), []);
  await page.evaluate(() => window.hls.destroy());
});

/** Lets the publisher send a layer or not. */
function activate(page, rid, active) {
  return page.evaluate(
    async ({ rid, active }) => {
      const { sender } = window.layered;
      const parameters = sender.getParameters();
      parameters.encodings.find((encoding) => encoding.rid === rid).active = active;
      await sender.setParameters(parameters);
    },
    { rid, active },
  );
}
