// A picture to try a broadcast with: colours, a clock with milliseconds and a frame counter, so that
// delay and lost frames can be read off two screens; and a quiet tone once a second.

const COLOURS = ["#c0c0c0", "#c0c000", "#00c0c0", "#00c000", "#c000c0", "#c00000", "#0000c0"];

/** Starts the picture; gives { stream, stop }. */
export function startTestPicture({ width = 1280, height = 720, rate = 30 } = {}) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { alpha: false });
  let count = 0;
  const timer = setInterval(() => draw(context, count++), 1000 / rate);
  draw(context, count++);
  const stream = canvas.captureStream(rate);
  const tone = startTone();
  for (const track of tone.stream.getAudioTracks()) stream.addTrack(track);
  const stop = () => {
    clearInterval(timer);
    tone.stop();
    stream.getTracks().forEach((track) => track.stop());
  };
  return { stream, stop };
}

function draw(context, count) {
  const { width, height } = context.canvas;
  const bar = width / COLOURS.length;
  COLOURS.forEach((colour, index) => {
    context.fillStyle = colour;
    context.fillRect(index * bar, 0, bar + 1, height * 0.62);
  });
  context.fillStyle = "#101517";
  context.fillRect(0, height * 0.62, width, height * 0.38);
  // A dot that goes round once in two seconds shows stutter at a glance.
  const angle = (performance.now() / 1000) * Math.PI;
  context.fillStyle = "#ffffff";
  context.beginPath();
  const [x, y, r] = [width / 2, height * 0.31, height * 0.2];
  context.arc(x + Math.cos(angle) * r, y + Math.sin(angle) * r, height * 0.035, 0, 7);
  context.fill();
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = `600 ${Math.round(height * 0.14)}px ui-monospace, Menlo, Consolas, monospace`;
  context.fillText(clock(new Date()), width / 2, height * 0.755);
  context.font = `${Math.round(height * 0.06)}px ui-monospace, Menlo, Consolas, monospace`;
  context.fillStyle = "#9fb1b8";
  context.fillText(`frame ${count}`, width / 2, height * 0.9);
}

function clock(now) {
  const two = (number) => String(number).padStart(2, "0");
  const millis = String(now.getMilliseconds()).padStart(3, "0");
  return `${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}.${millis}`;
}

function startTone() {
  const audio = new AudioContext();
  const output = audio.createMediaStreamDestination();
  const gain = audio.createGain();
  const oscillator = audio.createOscillator();
  gain.gain.value = 0;
  oscillator.frequency.value = 880;
  oscillator.connect(gain).connect(output);
  oscillator.start();
  audio.resume().catch(() => {});
  const beep = () => {
    gain.gain.setTargetAtTime(0.08, audio.currentTime, 0.005);
    gain.gain.setTargetAtTime(0, audio.currentTime + 0.08, 0.02);
  };
  const timer = setInterval(beep, 1000);
  const stop = () => {
    clearInterval(timer);
    quietClose(audio);
  };
  return { stream: output.stream, stop };
}

function quietClose(audio) {
  audio.close().catch(() => {});
}
