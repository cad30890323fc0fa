// Debian's Chromium, headless, with a camera and a microphone that are not there.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { chromium } from "playwright-core";

import { PATIENCE } from "./wait.js";

/** The flags of every browser. */
export const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--allow-loopback-in-peer-connection",
];

/** One browser for the tests of a file, started with `more` flags. */
export function browserOfFile(more = []) {
  let browser;
  before(async () => {
    const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
    browser = await chromium.launch({ executablePath, args: [...ARGS, ...more] });
  });
  after(() => browser?.close());

  return { open: (t, url, options) => openIn(browser, t, url, options) };
}

/** A browser on a machine of a network, for the time of the test `t`. */
export async function browserOn(t, network, machine) {
  const executablePath = network.stand(machine, process.env.CHROMIUM ?? "/usr/bin/chromium");
  const browser = await chromium.launch({ executablePath, args: ARGS });
  t.after(() => browser.close());
  return { open: (t, url, options) => openIn(browser, t, url, options) };
}

/** A fresh profile with one page, for the time of the test `t`. */
export async function openIn(browser, t, url, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(error.stack || String(error)));
  page.on("console", (message) => {
    // Statuses that are no success are the server's business, not a fault of the page.
    const fetched = message.text().startsWith("Failed to load resource");
    if (message.type() === "error" && !fetched) page.complaints.push(message.text());
  });
  t.after(async () => {
    await context.close();
    assert.deepEqual(page.complaints, [], "the page must run without errors");
  });
  if (url) await page.goto(url);
  return page;
}
