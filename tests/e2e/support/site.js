// Another web site, on another origin than the gateway: whoever embeds a player.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { resolve } = createRequire(import.meta.url);
const SCRIPTS = {
  "hls.js": resolve("hls.js/dist/hls.min.js"),
  "dash.js": new URL("../node_modules/dashjs/dist/modern/umd/dash.all.min.js", import.meta.url),
  "shaka.js": resolve("shaka-player/dist/shaka-player.compiled.js"),
};

const page = (script) => `<!doctype html><meta charset="utf-8" /><title>Another site</title>
<link rel="icon" href="data:," /><video muted playsinline></video><script src="/${script}"></script>`;

/**
 * A page whose player plays at once; behind the `#` of its URL stand the playlist, the settings of hls.js, and whether it
 * goes to the live edge when it begins or is late, as docs/hls.md advises.
 */
const PLAYING = `${page("hls.js")}<script>
  const [playlist, settings, beginsLive] = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  Object.assign(window, { hls: new Hls(settings), complaints: [] });
  hls.on(Hls.Events.ERROR, (_, { details, fatal }) => complaints.push(fatal ? details + ", fatal" : details));
  hls.loadSource(playlist);
  hls.attachMedia(document.querySelector("video"));
  const video = document.querySelector("video");
  if (beginsLive) {
    let next = 0;
    const goLive = (tolerated) => {
      const now = performance.now();
      if (now < next || hls.latency <= hls.targetLatency + tolerated) return;
      next = now + 5000;
      video.currentTime = hls.liveSyncPosition;
    };
    video.addEventListener("playing", () => {
      goLive(0.1);
      hls.on(Hls.Events.LEVEL_UPDATED, () => goLive(2));
    }, { once: true });
  }
  video.play();
</script>`;

/** The address of a page of the site that plays this playlist with hls.js, with other settings than its own where given. */
export function playerOf(site, playlist, settings = {}, { beginsLive = false } = {}) {
  return `${site}player#${encodeURIComponent(JSON.stringify([playlist, settings, beginsLive]))}`;
}

/** Starts the site for the time of the test `t`, whose first page has a player's script; gives its URL. */
export async function startSite(t, script = "hls.js") {
  const server = createServer(async (request, response) => {
    const name = request.url.slice(1);
    const [type, body] = Object.hasOwn(SCRIPTS, name)
      ? ["text/javascript", await readFile(SCRIPTS[name])]
      : ["text/html", name === "player" ? PLAYING : page(script)];
    response.writeHead(200, { "Content-Type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}
