// The viewer's page: WHEP first, HLS when media can't be had by WHEP.

import { WhepClient } from "./whep.js";
import { HlsPlayer } from "./hls-player.js";
import {
  Rate,
  bitrateText,
  byId,
  optionsOfPage,
  sentence,
  showNotice,
  showNumbers,
  showState,
  streamOfPage,
  timeText,
} from "./page.js";

/** A picture that doesn't change for so long is said to be missing, in milliseconds. */
const FROZEN = 3000;

/** From 1900, where NTP begins, to 1970, in milliseconds. */
const NTP_EPOCH = 2_208_988_800_000;

const stream = streamOfPage();
const options = optionsOfPage();
const video = byId("video");
let client = null;
/** Why HLS plays although WHEP was tried, or nothing. */
let fallback = "";
/** The publisher is away, and the session waits for it. */
let paused = false;

/** For tests: the client of now, and which of the two it is. */
window.tidegate = {
  get client() {
    return client;
  },
  get way() {
    return client instanceof HlsPlayer ? "hls" : "whep";
  },
  get stats() {
    return client?.stats?.() ?? Promise.resolve(null);
  },
};

byId("stream").textContent = stream;
document.title = `${stream} – Tidegate`;
byId("token").value = options.get("token") ?? "";
if (["whep", "hls"].includes(options.get("way"))) byId("way").value = options.get("way");

byId("form").addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
byId("way").addEventListener("change", start);
byId("layer").addEventListener("change", selectLayer);
byId("play").addEventListener("click", play);
byId("unmute").addEventListener("click", () => {
  video.muted = false;
  showSound();
  play();
});
byId("fullscreen").addEventListener("click", toggleFullscreen);
video.addEventListener("volumechange", showSound);
video.addEventListener("playing", () => (byId("over").hidden = true));
video.addEventListener("loadedmetadata", showSound);
setInterval(newStats(), 1000);
start();

function start() {
  client?.stop();
  fallback = "";
  forgetEvents();
  showNotice(byId("notice"), "");
  showMessage("Connecting…");
  if (byId("way").value === "hls" || !("RTCPeerConnection" in window)) startHls();
  else startWhep();
}

function startWhep() {
  const whep = new WhepClient(`/whep/${stream}`, { token: byId("token").value });
  client = whep;
  whep.addEventListener("state", ({ detail }) => whep === client && onWhepState(detail));
  whep.addEventListener("media", ({ detail }) => {
    video.removeAttribute("src");
    video.srcObject = detail.stream;
    play();
  });
  const on = (name, take) => {
    whep.addEventListener(name, ({ detail }) => whep === client && take(detail));
  };
  on("presence", onPresence);
  on("viewers", ({ count }) => showNumbers(byId("numbers"), { viewers: count }));
  on("layers", ({ layers }) => showLayers(layers));
  whep.addEventListener("unreachable", ({ detail }) => {
    if (byId("way").value === "") fallBack(detail.problem.text);
  });
  whep.start();
}

function startHls() {
  video.srcObject = null;
  const player = new HlsPlayer(video, `/hls/${stream}/index.m3u8`, { token: byId("token").value });
  client = player;
  player.addEventListener("state", ({ detail }) => player === client && onHlsState(detail));
  player.start();
}

function fallBack(reason) {
  client?.stop();
  fallback = `${sentence(reason)} Playing by HLS instead, a second or two behind.`;
  showNotice(byId("notice"), fallback);
  startHls();
}

function onWhepState({ state, problem, retryIn }) {
  if (state !== "connected") forgetEvents();
  if (state === "connecting") {
    showState(byId("state"), "Connecting", "busy");
  } else if (state === "connected") {
    showState(byId("state"), "Live", "good");
    showNotice(byId("notice"), "");
  } else if (state === "offline") {
    showState(byId("state"), "Not live yet", "busy");
    showMessage("The broadcast has not begun. It will start here by itself.");
  } else if (state === "waiting") {
    showState(byId("state"), "Trying again", "busy");
    showMessage(`${sentence(problem.text)} Next attempt in ${timeText(retryIn / 1000)}.`);
  } else if (problem?.status === 422 && byId("way").value === "") {
    // No codec in common over WebRTC may still be one over HLS.
    fallBack(problem.text);
  } else if (problem) {
    showRefusal(problem);
  }
}

function onPresence({ active }) {
  const ended = !active && !paused;
  paused = !active;
  if (ended) {
    showState(byId("state"), "Paused", "busy");
    showMessage("The broadcast paused. It will go on here by itself.");
  } else if (active) {
    byId("over").hidden = video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
  }
}

/** What an event told is true of its session only. */
function forgetEvents() {
  paused = false;
  showNumbers(byId("numbers"), { viewers: "–" });
  showLayers([]);
}

/** Shows the choice of layers where there is one. */
function showLayers(layers) {
  const active = layers.filter(({ bitrate }) => bitrate > 0);
  const select = byId("layer");
  const known = [...select.options].slice(1).map(({ value }) => value);
  const values = active.map(({ mediaId, rid, spatialLayerId, temporalLayerId }) => {
    return JSON.stringify({ mediaId, rid, spatialLayerId, temporalLayerId });
  });
  byId("layers").hidden = active.length < 2;
  const frames = Math.max(...active.map(({ temporalLayerId = 0 }) => temporalLayerId));
  active.forEach((layer, index) => {
    const option = known.includes(values[index])
      ? [...select.options].find(({ value }) => value === values[index])
      : select.appendChild(new Option("", values[index]));
    option.textContent = layerText(layer, (layer.temporalLayerId ?? frames) < frames);
  });
  for (const option of [...select.options].slice(1)) {
    if (!values.includes(option.value) && option.value !== select.value) option.remove();
  }
  if (active.length === 0) select.value = "";
}

function layerText({ rid, spatialLayerId, temporalLayerId, width, height, bitrate }, hasFewerFrames) {
  const name = [rid, spatialLayerId, temporalLayerId].filter((part) => part !== undefined).join("/");
  const size = width && height ? `${width} × ${height}` : name;
  return `${size}${hasFewerFrames ? ", fewer frames" : ""}, ${bitrateText(bitrate)}`;
}

async function selectLayer() {
  const wanted = byId("layer").value;
  const select = client?.selectLayer?.(wanted ? JSON.parse(wanted) : {});
  await select?.catch(({ message }) => showNotice(byId("notice"), sentence(message), "bad"));
}

function onHlsState({ state, problem }) {
  if (state === "connecting") {
    showState(byId("state"), "Connecting", "busy");
  } else if (state === "playing") {
    showState(byId("state"), "Live by HLS", "good");
    showNotice(byId("notice"), fallback);
    play();
  } else if (state === "waiting") {
    showState(byId("state"), problem.status === 404 ? "Not live yet" : "Trying again", "busy");
    showMessage(sentence(problem.text));
  } else if (state === "ended") {
    showState(byId("state"), "Ended");
    showMessage("The broadcast has ended.");
  } else if (problem) {
    showRefusal(problem);
  }
}

function showRefusal(problem) {
  showState(byId("state"), "Refused", "bad");
  showMessage(problem.status === 401 ? "This stream needs a token." : "This stream can't be played.");
  showNotice(byId("notice"), sentence(problem.text), "bad");
}

async function play() {
  byId("play").hidden = true;
  try {
    await video.play();
  } catch (error) {
    // Loading something else ends a play() too, and needs no button.
    if (error.name === "NotAllowedError") showPlayButton();
  }
}

function showPlayButton() {
  showMessage("Your browser waits for a tap before it plays.");
  byId("play").hidden = false;
}

function showMessage(text) {
  byId("over").hidden = false;
  byId("play").hidden = true;
  if (byId("message").textContent !== text) byId("message").textContent = text;
}

function showSound() {
  byId("unmute").hidden = !video.muted;
}

async function toggleFullscreen() {
  const screen = byId("screen");
  if (document.fullscreenElement) await document.exitFullscreen();
  else if (screen.requestFullscreen) await screen.requestFullscreen().catch(() => {});
  // On an iPhone only the video itself can fill the screen.
  else video.webkitEnterFullscreen?.();
}

/** A function for a timer that shows what changed since its last call. */
function newStats() {
  const [bits, frames] = [new Rate(), new Rate()];
  // Segments come seconds apart.
  const segmentBits = new Rate(8);
  let lastPicture = { count: -1, time: 0 };
  const delays = { delay: new Rate(), count: new Rate() };
  return async () => {
    const now = performance.now();
    const picture = video.getVideoPlaybackQuality?.();
    const size = video.videoWidth ? `${video.videoWidth} × ${video.videoHeight}` : "–";
    if (client instanceof HlsPlayer) {
      byId("latency-title").textContent = "Behind live";
      showNumbers(byId("numbers"), {
        way: "HLS",
        latency: timeText(client.latency),
        bitrate: bitrateText(segmentBits.next(client.bytesLoaded * 8, now)),
        rate: fixed(frames.next(picture?.totalVideoFrames ?? 0, now)),
        size,
        rtt: "–",
        codec: client.codecs || "–",
        lost: "–",
      });
      return;
    }
    const report = await client?.stats();
    const all = report ? [...report.values()] : [];
    const inbound = all.find(({ type, kind }) => type === "inbound-rtp" && kind === "video");
    const pair = all.find(({ type, state, nominated }) => {
      return type === "candidate-pair" && state === "succeeded" && nominated;
    });
    const bytes = all.filter(({ type }) => type === "inbound-rtp");
    const total = bytes.reduce((sum, { bytesReceived = 0 }) => sum + bytesReceived, 0);
    if (client?.state === "connected" && !paused) {
      if (inbound?.framesDecoded !== lastPicture.count) {
        lastPicture = { count: inbound?.framesDecoded, time: now };
      }
      const frozen = inbound && now - lastPicture.time > FROZEN;
      showState(byId("state"), frozen ? "No picture arrives" : "Live", frozen ? "busy" : "good");
    }
    const delay = delays.delay.next(inbound?.jitterBufferDelay ?? 0, now);
    const count = delays.count.next(inbound?.jitterBufferEmittedCount ?? 0, now);
    const behind = behindLive(inbound);
    byId("latency-title").textContent = Number.isFinite(behind) ? "Behind live" : "Buffer";
    showNumbers(byId("numbers"), {
      way: "WebRTC",
      latency: timeText(Number.isFinite(behind) ? behind : count > 0 ? delay / count : NaN),
      bitrate: bitrateText(report ? bits.next(total * 8, now) : NaN),
      rate: fixed(inbound ? frames.next(inbound.framesDecoded ?? 0, now) : NaN),
      size,
      rtt: timeText(pair?.currentRoundTripTime),
      codec: report?.get(inbound?.codecId)?.mimeType.split("/")[1] ?? "–",
      lost: inbound?.packetsLost ?? "–",
    });
  };
}

/**
 * How old the picture is by the clock of the sender reports, in seconds. NaN before the first report, and when
 * that clock and ours can't be compared.
 */
function behindLive(inbound) {
  const shown = (inbound?.estimatedPlayoutTimestamp ?? NaN) - NTP_EPOCH;
  const behind = (Date.now() - shown) / 1000;
  return behind > 0 && behind < 10 ? behind : NaN;
}

function fixed(number) {
  return Number.isFinite(number) ? number.toFixed(1) : "–";
}
