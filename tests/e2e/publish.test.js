// A browser publishes by WHIP, another page of it watches.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, pictureSize, sent, textBecomes } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

const browser = browserOfFile();

for (const [codec, source] of [["H264", "camera"], ["VP8", "test"], ["VP9", "test"], ["AV1", "test"]]) {
  test(`${codec} of the ${source} picture reaches a viewer`, async (t) => {
    const gateway = await startGateway(t);
    const publisher = await browser.open(t, `${gateway.url}/publish/demo`);
    await publisher.check(`input[value=${source}]`);
    await publisher.selectOption("#codec", codec);
    await publisher.selectOption("#size", "640x360");
    await publisher.click("#go");
    await textBecomes(publisher, "state", /^Live$/);
    const { tracks } = await streamIsListed(gateway, "demo");
    assert.deepEqual(tracks.map((track) => track.codec).sort(), [codec, "opus"]);

    const viewer = await browser.open(t, `${gateway.url}/watch/demo#way=whep`);
    const { video } = await framesAreDecoded(viewer, 60);
    assert.equal(video.packetsLost, 0);
    assert.equal(await pictureSize(viewer), "640x360");

    assert.ok((await sent(publisher)).framesSent > 60);
    await textBecomes(publisher, "numbers", /Video\s*\d+(\.\d+)? [kM]bit\/s/);
    await textBecomes(publisher, "numbers", new RegExp(`Codec\\s*${codec}`));
  });
}

test("a stop ends the stream, and viewers come back with it", async (t) => {
  const gateway = await startGateway(t, { "streams.reconnect_grace": "0s" });
  const options = "source=test&size=640x360&autostart=1";
  const publisher = await browser.open(t, `${gateway.url}/publish/demo#${options}`);
  await streamIsListed(gateway, "demo");
  const viewer = await browser.open(t, `${gateway.url}/watch/demo`);
  await framesAreDecoded(viewer, 10);

  await publisher.click("#go");
  await until("the stream has left the list", async () => (await gateway.streams()).length === 0);
  await textBecomes(publisher, "state", /^Not live$/);
  await textBecomes(viewer, "state", /^Not live yet$/);
  await textBecomes(viewer, "message", /It will start here by itself/);

  await publisher.click("#go");
  await framesAreDecoded(viewer, 10);
  await textBecomes(viewer, "state", /^Live$/);
});

test("the first page lists the stream while it is live", async (t) => {
  const gateway = await startGateway(t);
  const first = await browser.open(t, `${gateway.url}/`);
  await textBecomes(first, "count", /^0 streams$/);
  await first.fill("#name", "my.stream");
  await textBecomes(first, "addresses", /\/whip\/my\.stream/);

  const options = "source=test&size=640x360&audio=off&autostart=1";
  const publisher = await browser.open(t, `${gateway.url}/publish/my.stream#${options}`);
  await textBecomes(publisher, "state", /^Live$/);
  await textBecomes(first, "count", /^1 stream$/);
  await textBecomes(first, "streams", /my\.stream.*video H264/);

  await first.getByRole("link", { name: "Watch my.stream" }).click();
  await first.waitForURL("**/watch/my.stream");
  await framesAreDecoded(first, 10, { sound: false });
});

test("leaving the publish page ends the stream", async (t) => {
  const gateway = await startGateway(t);
  const options = "source=test&size=640x360&autostart=1";
  const publisher = await browser.open(t, `${gateway.url}/publish/demo#${options}`);
  await streamIsListed(gateway, "demo");
  await publisher.goto("about:blank");
  await until("the stream has left the list", async () => (await gateway.streams()).length === 0);
});
