// A picture that says when it was made, and a reader that compares that with when it is seen.
//
// The clock is a row of black and white fields along the upper edge of the picture: 24 bits of the time in
// milliseconds, then 8 bits to check them by. All pages of a machine have the same clock, so the difference is
// from glass to glass: drawing, encoding, the way through the server, decoding and showing.

/** Lets the next page that opens in `page` have a camera that films such a clock, with a tone. */
export function filmClock(page) {
  return page.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = async ({ video }) => {
      const [width, height] = [video.width.ideal, video.height.ideal];
      const canvas = Object.assign(document.createElement("canvas"), { width, height });
      const context = canvas.getContext("2d", { alpha: false });
      const field = { width: width / 32, height: height / 9 };
      const draw = () => {
        const time = Date.now() & 0xffffff;
        const check = ((time >> 16) ^ (time >> 8) ^ time ^ 0x5a) & 0xff;
        // What moves below it keeps the encoder busy.
        context.fillStyle = `hsl(${(time / 50) % 360} 60% 50%)`;
        context.fillRect(0, 0, width, height);
        context.fillStyle = "#444";
        for (let x = (time / 8) % 40; x < width; x += 40) context.fillRect(x, 2 * field.height, 20, height);
        for (let bit = 0; bit < 32; bit += 1) {
          const one = bit < 24 ? (time >> (23 - bit)) & 1 : (check >> (31 - bit)) & 1;
          context.fillStyle = one ? "#fff" : "#000";
          context.fillRect(bit * field.width, 0, field.width, field.height);
        }
      };
      draw();
      setInterval(draw, 1000 / 30);
      const stream = canvas.captureStream(30);
      const sound = new AudioContext();
      const tone = new OscillatorNode(sound, { frequency: 220 });
      const out = sound.createMediaStreamDestination();
      tone.connect(out);
      tone.start();
      stream.addTrack(out.stream.getAudioTracks()[0]);
      return stream;
    };
  });
}

/**
 * Lets the next page that opens in `page` read the clock off each picture of its video that comes to the
 * screen, into `window.clock`: when the first and the last one were shown, in milliseconds from
 * opening the page; the latency of each in milliseconds; pictures that could not be read; stalls since the first; and
 * the longest time without a new picture. Where the page has a `dateOf(video, metadata)`, which tells when a picture
 * was made in milliseconds since 1970, `errors` are the differences from the clock.
 */
export function readClock(page) {
  return page.addInitScript(() => {
    const clock = { start: null, last: null, latencies: [], errors: [], illegible: 0, stalls: 0, longest: 0 };
    window.clock = clock;
    const canvas = Object.assign(document.createElement("canvas"), { width: 128, height: 8 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const timeOf = (video) => {
      context.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 9, 0, 0, 128, 8);
      const { data } = context.getImageData(0, 4, 128, 1);
      let [time, check] = [0, 0];
      for (let bit = 0; bit < 32; bit += 1) {
        const one = data[(bit * 4 + 2) * 4 + 1] > 127 ? 1 : 0;
        if (bit < 24) time = time * 2 + one;
        else check = check * 2 + one;
      }
      return check === (((time >> 16) ^ (time >> 8) ^ time ^ 0x5a) & 0xff) ? time : null;
    };
    const watch = (video) => {
      video.addEventListener("waiting", () => {
        if (clock.start !== null && !video.seeking) clock.stalls += 1;
      });
      // The clock has 24 bits, and may be a little ahead of a time that was rounded.
      const since = (time, date) => ((Math.round(date) - time) & 0xffffff) << 8 >> 8;
      const seen = (now, metadata) => {
        video.requestVideoFrameCallback(seen);
        const time = timeOf(video);
        const shown = Math.max(metadata.expectedDisplayTime, now);
        if (time === null) {
          clock.illegible += 1;
          return;
        }
        clock.start ??= shown;
        clock.longest = Math.max(clock.longest, shown - (clock.last ?? shown));
        clock.last = shown;
        clock.latencies.push(since(time, Date.now() + (shown - performance.now())));
        const date = window.dateOf?.(video, metadata);
        if (Number.isFinite(date)) clock.errors.push(since(time, date));
      };
      video.requestVideoFrameCallback(seen);
    };
    document.addEventListener("DOMContentLoaded", () => watch(document.querySelector("video")));
  });
}
