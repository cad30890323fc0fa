// The publisher's page.

import { WhipClient, sendableCodecs } from "./whip.js";
import { startTestPicture } from "./test-picture.js";
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
  tokenFragment,
} from "./page.js";

const stream = streamOfPage();
const options = optionsOfPage();
const form = byId("form");
let running = false;
let client = null;
let source = null;
let statsTimer = 0;

/** For tests: the client and what it publishes. */
window.tidegate = {
  get client() {
    return client;
  },
  get source() {
    return source?.stream ?? null;
  },
};

byId("stream").textContent = stream;
document.title = `Publish ${stream} – Tidegate`;
byId("token").value = options.get("token") ?? "";
for (const name of sendableCodecs()) byId("codec").append(new Option(name, name));
for (const id of ["codec", "bitrate", "size", "audio", "layers"]) {
  const wanted = options.get(id);
  if (wanted && [...byId(id).options].some(({ value }) => value === wanted)) byId(id).value = wanted;
}
const wantedSource = options.get("source");
if (["camera", "screen", "test"].includes(wantedSource)) form.elements.source.value = wantedSource;
linkPlayer();

byId("token").addEventListener("input", linkPlayer);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) stop();
  else start();
});
if (options.has("autostart")) start();

async function start() {
  showNotice(byId("notice"), "");
  showState(byId("state"), "Opening the source", "busy");
  setRunning(true);
  let opened = null;
  try {
    opened = await openSource(form.elements.source.value);
  } catch (error) {
    if (!running) return;
    setRunning(false);
    showState(byId("state"), "Not live");
    showNotice(byId("notice"), sourceProblem(error), "bad");
    return;
  }
  // The user may have thought better of it meanwhile.
  if (!running) {
    opened.stop();
    return;
  }
  source = opened;
  const preview = byId("preview");
  preview.srcObject = source.stream;
  preview.classList.toggle("mirrored", form.elements.source.value === "camera");
  byId("hint").hidden = true;
  // "Stop sharing" of the browser ends the broadcast too.
  const [video] = source.stream.getVideoTracks();
  video?.addEventListener("ended", () => stop());
  client = new WhipClient(`/whip/${stream}`, { token: byId("token").value });
  client.addEventListener("state", ({ detail }) => onState(detail));
  const hint = form.elements.source.value === "screen" ? "detail" : "";
  client.publish(source.stream, {
    codec: byId("codec").value,
    bitrate: Number(byId("bitrate").value),
    layers: byId("layers").value,
    hint,
  });
  statsTimer = setInterval(newStats(), 1000);
}

async function stop() {
  const ended = client?.stop();
  clearInterval(statsTimer);
  source?.stop();
  client = null;
  source = null;
  byId("preview").srcObject = null;
  byId("hint").hidden = false;
  setRunning(false);
  showState(byId("state"), "Not live");
  showNumbers(byId("numbers"), noNumbers());
  await ended;
}

function onState({ state, problem, retryIn }) {
  if (state === "connecting") {
    showState(byId("state"), "Connecting", "busy");
  } else if (state === "connected") {
    showState(byId("state"), "Live", "good");
    showNotice(byId("notice"), "");
  } else if (state === "waiting" || state === "offline") {
    showState(byId("state"), "Trying again", "busy");
    showNotice(byId("notice"), `${sentence(problem.text)} Next attempt in ${timeText(retryIn / 1000)}.`);
  } else if (problem) {
    stop();
    showState(byId("state"), "Refused", "bad");
    showNotice(byId("notice"), sentence(problem.text), "bad");
  }
}

async function openSource(kind) {
  const [width, height] = byId("size").value.split("x").map(Number);
  const audio = byId("audio").value === "on";
  if (kind === "test") {
    const picture = startTestPicture({ width, height });
    if (!audio) picture.stream.getAudioTracks().forEach((track) => picture.stream.removeTrack(track));
    return picture;
  }
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give camera and screen to pages over HTTPS or from localhost only.");
  }
  const size = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30 } };
  const opened =
    kind === "screen"
      ? await navigator.mediaDevices.getDisplayMedia({ video: size, audio })
      : await navigator.mediaDevices.getUserMedia({ video: size, audio });
  return { stream: opened, stop: () => opened.getTracks().forEach((track) => track.stop()) };
}

function sourceProblem(error) {
  if (error.name === "NotAllowedError") return "The browser was not allowed to use this source.";
  if (error.name === "NotFoundError") return "There is no camera or microphone. Try the test picture.";
  return error.message;
}

/** A function for a timer that shows what changed since its last call. */
function newStats() {
  const [bits, frames] = [new Rate(), new Rate()];
  return async () => {
    const report = await client?.peer?.getStats();
    if (!report) return;
    const all = [...report.values()];
    const sent = all.filter(({ type, kind }) => type === "outbound-rtp" && kind === "video");
    if (sent.length === 0) return;
    const video = sent.reduce((best, each) => ((each.frameWidth ?? 0) > (best.frameWidth ?? 0) ? each : best));
    const bytes = sent.reduce((sum, { bytesSent }) => sum + bytesSent, 0);
    const remote = report.get(video.remoteId);
    const pair = all.find(({ type, state, nominated }) => {
      return type === "candidate-pair" && state === "succeeded" && nominated;
    });
    const perSecond = frames.next(video.framesEncoded, video.timestamp);
    showNumbers(byId("numbers"), {
      bitrate: bitrateText(bits.next(bytes * 8, video.timestamp)),
      rate: Number.isFinite(perSecond) ? perSecond.toFixed(1) : "–",
      size: video.frameWidth ? `${video.frameWidth} × ${video.frameHeight}` : "–",
      frames: video.framesSent ?? "–",
      rtt: timeText(pair?.currentRoundTripTime ?? remote?.roundTripTime),
      codec: report.get(video.codecId)?.mimeType.split("/")[1] ?? "–",
      lost: remote?.packetsLost ?? "–",
      limit: limitText(video.qualityLimitationReason),
    });
  };
}

function limitText(reason) {
  const texts = { none: "nothing", cpu: "processor", bandwidth: "network", other: "other" };
  return texts[reason] ?? "–";
}

function noNumbers() {
  const names = ["bitrate", "rate", "size", "frames", "rtt", "codec", "lost", "limit"];
  return Object.fromEntries(names.map((name) => [name, "–"]));
}

function setRunning(now) {
  running = now;
  byId("settings").disabled = running;
  byId("go").textContent = running ? "Stop" : "Go live";
  byId("go").className = running ? "stop" : "main";
}

function linkPlayer() {
  // The publisher's token may differ from the viewers', so it isn't handed on.
  byId("watch").href = `/watch/${stream}${tokenFragment(options.get("play_token"))}`;
}
