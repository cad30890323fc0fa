// The camera of a page that did not come from localhost: browsers give it over HTTPS only.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, textBecomes } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";

// A name that leads here and that browsers don't know as this machine.
const NAME = "gate.example";
const browser = browserOfFile([`--host-resolver-rules=MAP ${NAME} 127.0.0.1`]);

test("the camera is published and watched over HTTPS with a self-signed certificate", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "tidegate-https-"));
  t.after(() => rm(directory, { recursive: true }));
  const gateway = await startGateway(
    t,
    { "tls.directory": directory, "tls.names": NAME, "auth.publish_token": "secret" },
    { on: "0.0.0.0", args: ["--tls", "self-signed"] },
  );
  const port = new URL(gateway.url).port;

  // Over HTTP the same page would get no camera.
  const plain = await browser.open(t, `http://${NAME}:${port}/publish/demo`);
  assert.equal(await plain.evaluate(() => window.isSecureContext), false);

  const base = `https://${NAME}:${port}`;
  const trusting = { ignoreHTTPSErrors: true };
  const publisher = await browser.open(t, `${base}/publish/demo#token=secret`, trusting);
  assert.equal(await publisher.evaluate(() => window.isSecureContext), true);
  await publisher.check("input[value=camera]");
  await publisher.selectOption("#size", "640x360");
  await publisher.click("#go");
  await textBecomes(publisher, "state", /^Live$/);
  await streamIsListed(gateway, "demo");

  const viewer = await browser.open(t, `${base}/watch/demo#way=whep`, trusting);
  await framesAreDecoded(viewer, 30);
});
