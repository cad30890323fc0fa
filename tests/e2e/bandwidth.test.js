// A browser behind a link that gets slow, and fast again, while it watches a stream with layers.

import assert from "node:assert/strict";
import { test } from "node:test";

import { browserOn } from "./support/browser.js";
import { HEIGHTS, heightBecomes, publishLayers } from "./support/layers.js";
import { network, slowReason as reason } from "./support/namespaces.js";
import { framesAreDecoded, longestGap, received, watchGaps } from "./support/pages.js";
import { startGateway, streamIsListed } from "./support/process.js";
import { until } from "./support/wait.js";

/** What each layer may take, in bit/s. */
const MOST = { l: 150_000, m: 450_000, h: 1_500_000 };
/** The link when it is fast, and when it is slow, in kbit/s: the picture of the camera that is not there needs 550, 260 and 120. */
const [FAST, SLOW] = [2000, 400];

test("a viewer whose link gets slow falls to the next layer, and comes back", { skip: reason }, async (t) => {
  const net = network(t);
  const [server, viewer] = ["server", "viewer"].map((name) => net.machine(name));
  const link = net.cable([server, "10.77.1.1/24"], [viewer, "10.77.1.2/24"]);
  link.narrow(FAST);
  const gateway = await startGateway(t, {}, { on: "0.0.0.0", at: "10.77.1.1", machine: server });
  // On the same machine, so that nothing but the viewer is behind the link.
  const studio = await browserOn(t, net, server);
  const publisher = await studio.open(t, gateway.url.replace("10.77.1.1", "127.0.0.1"));
  await publishLayers(publisher, "/whip/demo", "VP8", MOST);
  await streamIsListed(gateway, "demo");

  const audience = await browserOn(t, net, viewer);
  const page = await audience.open(t, `${gateway.url}/watch/demo#way=whep`);
  await heightBecomes(page, HEIGHTS.h);
  await framesAreDecoded(page, 60);
  await watchGaps(page);

  // What the viewer sees of a change: when the other layer came, and how long the picture stood.
  const change = async (kilobits, height, patience) => {
    const before = (await received(page)).video;
    const changed = performance.now();
    link.narrow(kilobits);
    await heightBecomes(page, height);
    const seconds = (performance.now() - changed) / 1000;
    await framesAreDecoded(page, 60);
    const [gap, after] = [await longestGap(page), (await received(page)).video];
    t.diagnostic(
      `${kilobits} kbit/s: ${height} lines after ${seconds.toFixed(2)} s, ${Math.round(gap * 1000)} ms ` +
        `between two pictures, ${after.framesDecoded - before.framesDecoded} frames decoded, ` +
        `${after.freezeCount - before.freezeCount} freezes, ${after.packetsLost - before.packetsLost} packets lost`,
    );
    assert.ok(seconds < patience, `it took ${seconds} s`);
    return gap;
  };
  // What operators are told; by the address that the publisher has.
  const told = () => {
    return publisher.evaluate(async () => {
      const { delivery, publishers } = await (await fetch("/streams/demo")).json();
      const layers = publishers[0].layers.filter(({ rid }) => rid);
      return { ...delivery.links, on: layers.map(({ rid, subscribers }) => rid.repeat(subscribers)).join("") };
    });
  };
  const becomes = (measured, limited, on) => {
    const wanted = [measured, limited, on].join();
    return until(`measured, limited, on: ${wanted}`, async () => {
      const links = await told();
      return [links.measured, links.limited, links.on].join() === wanted && links;
    });
  };
  const down = await change(SLOW, HEIGHTS.m, 3);
  assert.ok(down < 1, `${down} s between two pictures`);
  const { bitrate_p50: carried } = await becomes(1, 1, "m");
  assert.ok(carried >= 200_000 && carried <= 500_000, `${carried} bit/s by a link of ${SLOW} kbit/s`);
  const up = await change(FAST, HEIGHTS.h, 10);
  assert.ok(up < 1, `${up} s between two pictures`);
  await becomes(1, 0, "h");
  await page.close();
  await becomes(0, 0, "");
});
