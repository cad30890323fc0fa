// Tokens: what the pages say when one is missing or wrong, and that the right one opens the way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, playbackAdvances, textBecomes, textOf } from "./support/pages.js";
import { startGateway } from "./support/process.js";

const browser = browserOfFile();
const TOKENS = { "auth.publish_token": "let-me-publish", "auth.play_token": "let-me+watch=" };

test("the pages ask for the tokens and work with the right ones", async (t) => {
  const gateway = await startGateway(t, { ...TOKENS, "hls.segment_duration": "1s" });

  const options = "source=test&size=640x360&token=wrong&autostart=1";
  const publisher = await browser.open(t, `${gateway.url}/publish/demo#${options}`);
  await textBecomes(publisher, "state", /^Refused$/);
  assert.match(await textOf(publisher, "notice"), /token/);
  await publisher.fill("#token", "let-me-publish");
  await publisher.click("#go");
  await textBecomes(publisher, "state", /^Live$/);
  assert.equal(await textOf(publisher, "notice"), "");

  const viewer = await browser.open(t, `${gateway.url}/watch/demo`);
  await textBecomes(viewer, "state", /^Refused$/);
  assert.match(await textOf(viewer, "message"), /needs a token/);
  await viewer.fill("#token", "let-me-publish");
  await viewer.getByRole("button", { name: "Use", exact: true }).click();
  await textBecomes(viewer, "notice", /token/);
  await viewer.fill("#token", "let-me+watch=");
  await viewer.getByRole("button", { name: "Use", exact: true }).click();
  await framesAreDecoded(viewer, 10);

  await viewer.selectOption("#way", "hls");
  await textBecomes(viewer, "state", /^Live by HLS$/);
  await playbackAdvances(viewer, 1);
});

test("the links that are printed hold the tokens", async (t) => {
  const gateway = await startGateway(t, TOKENS);
  const [publish] = gateway.output.match(/http:\S+\/publish\/demo\S*/);
  const [watch] = gateway.output.match(/http:\S+\/watch\/demo\S*/);
  const publisher = await browser.open(t, publish);
  await publisher.check("input[value=test]");
  await publisher.click("#go");
  await textBecomes(publisher, "state", /^Live$/);
  const viewer = await browser.open(t, watch);
  await framesAreDecoded(viewer, 10);
});

test("the list of streams asks for a token", async (t) => {
  const gateway = await startGateway(t, TOKENS);
  const page = await browser.open(t, `${gateway.url}/`);
  await textBecomes(page, "notice", /needs a token/);
  await page.fill("#token", "let-me+watch=");
  await textBecomes(page, "count", /^0 streams$/);
  await textBecomes(page, "notice", /^$/);
});
