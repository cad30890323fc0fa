// Players of HLS that are not ours, in the browser and as programs. Each is opened with a page maker and the
// address of a playlist, and then tells how much it has shown: `{ frames, sound, size, trouble, complaint }`, where frames
// and sound only grow, sound in a unit of the player's own; with a trouble it has stopped, with a complaint it may go on.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startSite } from "./site.js";

/** hls.js with its default settings. */
export const hlsJs = inBrowser("hls.js", async (playlist) => {
  const hls = new window.Hls();
  window.version = window.Hls.version;
  hls.on(window.Hls.Events.ERROR, (_, { fatal, details }) => fatal && (window.trouble ??= details));
  hls.loadSource(playlist);
  hls.attachMedia(document.querySelector("video"));
});

/** shaka-player with its default settings. */
export const shaka = inBrowser("shaka-player", async (playlist) => {
  const script = Object.assign(document.createElement("script"), { src: "/shaka.js" });
  document.head.append(script);
  await new Promise((resolve) => script.addEventListener("load", resolve));
  const { shaka } = window;
  window.version = shaka.Player.version;
  const player = new shaka.Player();
  // What it meets with live streams it tells, and tries again.
  const trouble = ({ code, data }) => {
    window.complaint = `error ${code} ${data.filter((each) => typeof each !== "object").join(" ")}`;
  };
  player.addEventListener("error", ({ detail }) => trouble(detail));
  await player.attach(document.querySelector("video"));
  player.load(playlist).catch(trouble);
});

/** The browser's own player. */
export const native = inBrowser("Chromium's own", async (playlist) => {
  const video = document.querySelector("video");
  window.version = navigator.userAgent.match(/Chrome\/(\d+)/)[1];
  video.addEventListener("error", () => (window.trouble ??= video.error.message));
  video.src = playlist;
});

/** FFmpeg, as it would be told to read a stream for something else. */
export const ffmpeg = {
  name: "FFmpeg",
  program: "ffmpeg",
  version: () => execFileSync("ffmpeg", ["-version"]).toString().match(/version (\S+)/)[1],
  open(t, playlist) {
    const shown = { frames: 0, sound: 0 };
    const args = ["-hide_banner", "-nostats", "-i", playlist, "-vf", "showinfo", "-af", "ashowinfo", "-f", "null", "-"];
    start(t, shown, "ffmpeg", args, (line) => {
      const [, size] = line.match(/^\[Parsed_showinfo.* n: *\d+ .* s:(\d+x\d+)/) ?? [];
      if (size) Object.assign(shown, { size, frames: shown.frames + 1 });
      if (/^\[Parsed_ashowinfo.* n:/.test(line)) shown.sound += 1;
    });
    return async () => ({ ...shown });
  },
};

/** GStreamer's `playbin3`, which takes `hlsdemux2` for HLS. */
export const gstreamer = {
  name: "GStreamer (hlsdemux2)",
  program: "gst-launch-1.0",
  version: () => execFileSync("gst-launch-1.0", ["--version"]).toString().match(/GStreamer (\S+)/)[1],
  open(t, playlist) {
    const shown = { frames: 0, sound: 0 };
    const sink = "fakesink silent=false sync=true";
    const args = ["-v", "playbin3", `uri=${playlist}`, `video-sink=${sink}`, `audio-sink=${sink}`];
    start(t, shown, "gst-launch-1.0", args, (line) => {
      if (!line.includes("GstPlaySink")) {
        if (line.startsWith("ERROR")) shown.trouble ??= line;
        return;
      }
      const frame = line.includes("last-message = chain");
      if (frame && line.includes("/GstBin:vbin/")) shown.frames += 1;
      if (frame && line.includes("/GstBin:abin/")) shown.sound += 1;
      const [, width, height] = line.match(/vbin.*caps = video.*width=\(int\)(\d+), height=\(int\)(\d+)/) ?? [];
      if (width) shown.size = `${width}x${height}`;
    });
    return async () => ({ ...shown });
  },
};

/** VLC, asked by its remote control what it has shown. */
export const vlc = {
  name: "VLC",
  program: "vlc",
  version: () => execFileSync("dpkg-query", ["-W", "-f", "${Version}", "vlc-bin"]).toString().replace(/-.*/, ""),
  open(t, playlist) {
    const shown = { frames: 0, sound: 0 };
    // It does not run as root.
    const nobody = process.getuid() === 0 ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] : [];
    const words = ["vlc", "-I", "oldrc", "--rc-fake-tty", "--vout=dummy", "--aout=dummy", playlist];
    const [program, ...args] = [...nobody, ...words];
    const HOME = mkdtempSync(join(tmpdir(), "vlc-"));
    const child = start(t, shown, program, args, (line) => {
      const [, what, value] = line.match(/^\| *(frames displayed|buffers played|Video resolution) *: *(\S+)/) ?? [];
      if (what === "frames displayed") shown.frames = Number(value);
      if (what === "buffers played") shown.sound = Number(value);
      if (what === "Video resolution") shown.size = value;
    }, { HOME });
    child.stdin.on("error", () => {});
    const timer = setInterval(() => child.stdin.write("stats\ninfo\n"), 500);
    t.after(() => clearInterval(timer));
    return async () => ({ ...shown });
  },
};

function inBrowser(name, play) {
  return {
    name,
    browser: true,
    version: (page) => page.evaluate(() => window.version),
    async open(t, playlist, openPage) {
      const page = await openPage(t, await startSite(t));
      await page.evaluate(play, playlist);
      await page.evaluate(() => {
        document.querySelector("video").play().catch(() => {});
      });
      const look = () => {
        return page.evaluate(() => {
          const video = document.querySelector("video");
          const moving = !video.paused && video.currentTime > (window.last ?? 0);
          window.last = video.currentTime;
          return {
            frames: video.getVideoPlaybackQuality().totalVideoFrames,
            // Bytes are decoded ahead; what is heard moves on with the time.
            sound: video.webkitAudioDecodedByteCount > 0 && moving ? video.currentTime : 0,
            size: `${video.videoWidth}x${video.videoHeight}`,
            trouble: window.trouble,
            complaint: window.complaint,
          };
        });
      };
      return Object.assign(look, { page });
    },
  };
}

/** A program that tells, line by line, what it does. */
function start(t, shown, program, args, read, env = {}) {
  const child = spawn(program, args, { env: { ...process.env, LC_ALL: "C", ...env } });
  for (const stream of [child.stdout, child.stderr]) {
    let rest = "";
    stream.setEncoding("utf8").on("data", (text) => {
      const lines = (rest + text).split(/[\r\n]/);
      rest = lines.pop();
      lines.forEach(read);
    });
  }
  const ended = new Promise((resolve) => child.once("close", resolve));
  child.on("error", (error) => (shown.trouble ??= error.message));
  ended.then((status) => (shown.trouble ??= `it ended, with ${status}`));
  t.after(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  return child;
}
