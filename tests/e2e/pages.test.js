// The pages fit the screens that people have. With $SCREENSHOTS, pictures of them are written there.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { browserOfFile } from "./support/browser.js";
import { framesAreDecoded, textBecomes } from "./support/pages.js";
import { startGateway, startPublisher, streamIsListed } from "./support/process.js";

const browser = browserOfFile();
const SCREENS = {
  desktop: { viewport: { width: 1280, height: 800 } },
  phone: { viewport: { width: 375, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true },
};

for (const [screen, options] of Object.entries(SCREENS)) {
  for (const colorScheme of ["light", "dark"]) {
    test(`the pages fit a ${screen} in ${colorScheme} colours`, async (t) => {
      const gateway = await startGateway(t);
      startPublisher(t, gateway, "demo", ["--size", "640x360"]);
      await streamIsListed(gateway, "demo");
      const open = (path) => browser.open(t, gateway.url + path, { ...options, colorScheme });
      const fits = async (page, name) => {
        await shoot(page, `${name}-${screen}-${colorScheme}`);
        const { wide, cut } = await page.evaluate(measure);
        assert.ok(wide <= options.viewport.width, `${name} is ${wide} pixels wide`);
        assert.deepEqual(cut, [], `nothing of ${name} is cut off`);
      };

      const first = await open("/");
      await textBecomes(first, "count", /^1 stream$/);
      await fits(first, "first");

      const watch = await open("/watch/demo");
      await framesAreDecoded(watch, 30);
      await textBecomes(watch, "numbers", /Codec\s*H264/);
      await fits(watch, "watch");

      const waiting = await open(`/watch/${"as-long-as-names-may-be-".padEnd(64, "x")}`);
      await textBecomes(waiting, "state", /^Not live yet$/);
      await fits(waiting, "waiting");

      const idle = await open("/publish/camera");
      await fits(idle, "publish");

      const live = await open("/publish/camera#source=test&size=640x360&autostart=1");
      await textBecomes(live, "state", /^Live$/);
      await textBecomes(live, "numbers", /Frames sent\s*\d+/);
      await fits(live, "live");
    });
  }
}

/** In the page: how wide it is, and which texts don't fit their boxes. */
function measure() {
  const texts = [...document.querySelectorAll("h1, h2, p, dt, dd, label, legend, button, a, .state")];
  const cut = texts
    .filter((each) => each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).display !== "inline")
    .map((each) => each.textContent);
  return { wide: document.documentElement.scrollWidth, cut };
}

async function shoot(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
