// A browser that publishes three sizes of its picture at once.

import { received } from "./pages.js";
import { until } from "./wait.js";

/** The names of the layers, with the height of their picture. */
export const HEIGHTS = { l: 180, m: 360, h: 720 };

/**
 * Publishes the browser's camera as three layers, from a page of the gateway; `most` is what each may
 * take, in bit/s.
 */
export async function publishLayers(page, endpoint, codec, most = { l: 100_000, m: 300_000, h: 900_000 }) {
  await page.evaluate(
    async ({ endpoint, codec, most }) => {
      const video = { width: 1280, height: 720, frameRate: 15 };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: true });
      const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      const [picture] = stream.getVideoTracks();
      peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
      const transceiver = peer.addTransceiver(picture, {
        direction: "sendonly",
        streams: [stream],
        sendEncodings: [
          { rid: "l", scaleResolutionDownBy: 4, maxBitrate: most.l },
          { rid: "m", scaleResolutionDownBy: 2, maxBitrate: most.m },
          { rid: "h", scaleResolutionDownBy: 1, maxBitrate: most.h },
        ],
      });
      const { codecs } = RTCRtpSender.getCapabilities("video");
      const wanted = codecs.filter(({ mimeType }) => [`video/${codec}`, "video/rtx"].includes(mimeType));
      transceiver.setCodecPreferences(wanted);
      await peer.setLocalDescription();
      const response = await fetch(endpoint, {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body: peer.localDescription.sdp,
      });
      const answer = await response.text();
      if (response.status !== 201) throw new Error(answer);
      // The estimate of the bandwidth would take its time to come up to the third layer.
      const [, type] = answer.match(/^m=video \d+ \S+ (\d+)/m);
      const sum = most.l + most.m + most.h;
      const start = `x-google-start-bitrate=${Math.ceil((sum * 1.5) / 1000)}`;
      const parameters = new RegExp(`^a=fmtp:${type} .*$`, "m");
      const map = new RegExp(`^a=rtpmap:${type} .*$`, "m");
      const sdp = parameters.test(answer)
        ? answer.replace(parameters, (line) => `${line};${start}`)
        : answer.replace(map, (line) => `${line}\r\na=fmtp:${type} ${start}`);
      await peer.setRemoteDescription({ type: "answer", sdp });
      window.layered = { peer, sender: transceiver.sender };
    },
    { endpoint, codec, most },
  );
}

/** Waits until the decoded picture has this height. */
export async function heightBecomes(page, height) {
  let now;
  await until(`the picture is ${height} lines high`, async () => {
    now = (await received(page)).video;
    return now?.frameHeight === height;
  }, { within: 40000 }).catch((error) => {
    throw new Error(`${error.message}; it is ${now?.frameHeight}, received ${JSON.stringify(now)}`);
  });
}
