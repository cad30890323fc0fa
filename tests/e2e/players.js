// Which player plays what: opens each with each kind of broadcast, and prints the table of docs/players.md.
//
//     node players.js                        # all of it, a quarter of an hour; `make players`
//     node players.js --players VLC,FFmpeg --cases reconnect
//
// A cell is "yes" when pictures and sound came for some seconds; "no", with the reason, otherwise; "–" where the
// browser was built without a decoder. It needs VLC (Debian: vlc-bin and vlc-plugin-base) besides what the tests need;
// a program that is not there is left out.

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";

import { chromium } from "playwright-core";

import { ARGS, openIn } from "./support/browser.js";
import { ffmpeg, gstreamer, hlsJs, native, shaka, vlc } from "./support/players.js";
import { startGateway, startPublisher } from "./support/process.js";
import { outsideOfTests } from "./support/outside.js";
import { until } from "./support/wait.js";

const PLAYERS = [hlsJs, shaka, native, ffmpeg, gstreamer, vlc];

const SMALL = ["--size", "640x360"];

const BOTH = { picture: true, sound: true };

const codec = (name, more = {}) => ({ name, args: ["--codec", name.toLowerCase().replace(/[^a-z0-9]/g, "")], ...more });

/** The columns of the table. */
const CASES = [
  { name: "H264 + Opus", index: "index-audio.m3u8" },
  { name: "H264 + AAC", index: "index-aac.m3u8" },
  codec("H265", { type: 'video/mp4; codecs="hvc1.1.6.L93.B0"' }),
  codec("VP9"),
  codec("AV1"),
  codec("B-frames", { args: ["--codec", "h264-b-frames"] }),
  { name: "video only", args: ["--audio", "none"], wants: { picture: true, sound: false } },
  { name: "audio only", publish: publishSound, wants: { picture: false, sound: true } },
  { name: "reconnect", then: reconnect },
  { name: "resolution", then: resize },
];

/** For how many seconds something must be new. */
const SECONDS = 4;

const { values } = parseArgs({ options: { players: { type: "string" }, cases: { type: "string" } } });
const isThere = ({ program }) => !program || spawnSync(program, ["--help"], { stdio: "ignore" }).error === undefined;
const chosen = (all, names) => (names ? all.filter(({ name }) => names.split(",").includes(name)) : all);

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ARGS });
try {
  await table(chosen(PLAYERS, values.players).filter(isThere), chosen(CASES, values.cases));
} finally {
  await browser.close();
}

async function table(players, cases) {
  const line = (cells) => console.log(`| ${cells.join(" | ")} |`);
  line(["player", ...cases.map(({ name }) => name)]);
  line(["---", ...cases.map(() => "---")]);
  const reasons = [];
  for (const player of players) {
    const cells = [];
    let version;
    for (const each of cases) {
      const { verdict, reason, version: found } = await outsideOfTests((t) => attempt(t, player, each));
      version ??= found;
      if (reason) reasons.push(`${player.name}, ${each.name}: ${reason}`);
      cells.push(reason ? `${verdict} (${reasons.length})` : verdict);
    }
    line([`${player.name} ${version ?? ""}`.trim(), ...cells]);
  }
  reasons.forEach((reason, index) => console.log(`\n(${index + 1}) ${reason}`));
}

/** One cell. */
async function attempt(t, player, { name, args = [], type, index, wants = BOTH, publish, then }) {
  if (player.browser && type && !(await browserKnows(type))) return { verdict: "–" };
  const gateway = await startGateway(t, { "log.filter": "error" });
  const publisher = publish ? await publish(t, gateway) : startPublisher(t, gateway, "demo", [...SMALL, ...args]);
  // Chromium's own player takes codings of the sound for qualities, and fails when it goes to another.
  const playlist = `${gateway.url}/hls/demo/${index ?? (player === native ? "index-audio.m3u8" : "index.m3u8")}`;
  let look;
  try {
    await listed(gateway);
    look = await player.open(t, playlist, (t, url) => openIn(browser, t, url));
    await plays(look, wants);
    await then?.({ t, gateway, publisher, look });
    return { verdict: "yes", version: await player.version(look.page) };
  } catch (error) {
    const version = look && (await player.version(look.page));
    return { verdict: "no", reason: error.message, version };
  } finally {
    // What a player says on the way is not ours to judge, if it plays.
    for (const complaint of look?.page?.complaints.splice(0) ?? []) console.error(`${player.name}, ${name}: ${complaint}`);
  }
}

/** Whether the browser was built with a decoder for it. */
function browserKnows(type) {
  return outsideOfTests(async (t) => {
    const page = await openIn(browser, t);
    return page.evaluate((type) => MediaSource.isTypeSupported(type), type);
  });
}

/** Until there are segments enough for players without parts. */
function listed(gateway) {
  const enough = async () => {
    for (const rendition of ["video", "audio"]) {
      const response = await fetch(`${gateway.url}/hls/demo/${rendition}.m3u8`);
      if ((await response.text()).split("#EXTINF").length > 5) return true;
    }
    return false;
  };
  return until("there are five segments", enough, { within: 40000 });
}

/** Waits until in each of some seconds something new was seen and heard, counted from now. */
async function plays(look, { picture, sound }, { size, seconds = SECONDS } = {}) {
  let last = await look();
  let good = 0;
  let now = last;
  const enough = async () => {
    now = await look();
    if (now.trouble) return true;
    const fits = !size || now.size === size;
    if (fits && (!picture || now.frames > last.frames) && (!sound || now.sound > last.sound)) good += 1;
    last = now;
    return good >= seconds;
  };
  const state = () => {
    const shown = `${now.frames} pictures of ${now.size ?? "no size"}, sound ${Math.round(now.sound)}`;
    return now.complaint ? `${shown}, ${now.complaint}` : shown;
  };
  await until(`it plays${size ? ` ${size}` : ""}`, enough, { within: 30000 + seconds * 2000, every: 1000 }).catch((error) => {
    throw new Error(`${error.message}; ${state()}`);
  });
  if (now.trouble) throw new Error(`${now.trouble}; ${state()}`);
}

/** The publisher is lost, and comes back three seconds later. */
async function reconnect({ t, gateway, publisher, look }) {
  await publisher.stop("SIGKILL");
  await new Promise((resolve) => setTimeout(resolve, 3000));
  startPublisher(t, gateway, "demo", SMALL);
  // More than any player keeps in advance.
  await plays(look, BOTH, { seconds: 20 });
}

/** Another publisher takes the stream over, with a picture of another size. */
async function resize({ t, gateway, look }) {
  startPublisher(t, gateway, "demo", ["--size", "426x240"]);
  await plays(look, BOTH, { size: "426x240" });
}

/** A browser publishes a tone. */
async function publishSound(t, gateway) {
  const page = await openIn(browser, t, `${gateway.url}/`);
  await page.evaluate(async (endpoint) => {
    const context = new AudioContext();
    const tone = new OscillatorNode(context);
    const { stream } = tone.connect(context.createMediaStreamDestination());
    tone.start();
    const peer = new RTCPeerConnection();
    peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
    await peer.setLocalDescription();
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch(endpoint, { method: "POST", headers, body: peer.localDescription.sdp });
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    window.peer = peer;
  }, `${gateway.url}/whip/demo`);
}
