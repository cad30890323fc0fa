// Another web site, on another origin than the gateway: whoever embeds a player.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";

const { resolve } = createRequire(import.meta.url);

const SCRIPTS = {
  "hls.js": resolve("hls.js/dist/hls.min.js"),
  "dash.js": new URL("../node_modules/dashjs/dist/modern/umd/dash.all.min.js", import.meta.url),
};

const page = (script) => `<!doctype html><meta charset="utf-8" /><title>Another site</title>
<link rel="icon" href="data:," /><video muted playsinline></video><script src="/${script}"></script>`;

/** Starts the site for the time of the test `t`, with a player's script; gives its URL. */
export async function startSite(t, script = "hls.js") {
  const source = await readFile(SCRIPTS[script]);
  const server = createServer((request, response) => {
    const isScript = request.url === `/${script}`;
    const [type, body] = isScript ? ["text/javascript", source] : ["text/html", page(script)];
    response.writeHead(200, { "Content-Type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${server.address().port}/`;
}
