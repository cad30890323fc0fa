// Another web site, on another origin than the gateway: whoever embeds a player.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const HLS_JS = createRequire(import.meta.url).resolve("hls.js/dist/hls.min.js");

const PAGE = `<!doctype html><meta charset="utf-8" /><title>Another site</title>
<link rel="icon" href="data:," /><video muted playsinline></video><script src="/hls.js"></script>`;

/** Starts the site for the time of the test `t`; gives its URL. */
export async function startSite(t) {
  const script = await readFile(HLS_JS);
  const server = createServer((request, response) => {
    const [type, body] = request.url === "/hls.js" ? ["text/javascript", script] : ["text/html", PAGE];
    response.writeHead(200, { "Content-Type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}
