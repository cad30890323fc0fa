// A browser that publishes its picture in layers, in streams of their own or in one, and viewers that choose.

import { received } from "./pages.js";
import { until } from "./wait.js";

/** The names of the layers, with the height of their picture. */
export const HEIGHTS = { l: 180, m: 360, h: 720 };

/**
 * Publishes the browser's camera as three layers, from a page of the gateway; `most` is what each may
 * take, in bit/s.
 */
export function publishLayers(page, endpoint, codec, most = { l: 100_000, m: 300_000, h: 900_000 }) {
  return publish(page, endpoint, codec, { width: 1280, height: 720 }, [
    { rid: "l", scaleResolutionDownBy: 4, maxBitrate: most.l },
    { rid: "m", scaleResolutionDownBy: 2, maxBitrate: most.m },
    { rid: "h", scaleResolutionDownBy: 1, maxBitrate: most.h },
  ]);
}

/** Publishes the browser's camera in one stream of packets that holds several layers (SVC). */
export function publishScalable(page, endpoint, codec, scalabilityMode) {
  return publish(page, endpoint, codec, { width: 1024, height: 576 }, [{ scalabilityMode, maxBitrate: 1_500_000 }]);
}

/** Publishes the camera in pictures of this size with these encodings; the page has it as `layered` then. */
async function publish(page, endpoint, codec, size, sendEncodings) {
  const sum = sendEncodings.reduce((sum, { maxBitrate }) => sum + maxBitrate, 0);
  // The estimate of the bandwidth would take its time to come up to the best layer.
  const start = `x-google-start-bitrate=${Math.ceil((sum * 1.5) / 1000)}`;
  await page.evaluate(
    async ({ endpoint, codec, size, sendEncodings, start }) => {
      const video = { ...size, frameRate: 15 };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: true });
      const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      const [picture] = stream.getVideoTracks();
      peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
      const transceiver = peer.addTransceiver(picture, { direction: "sendonly", streams: [stream], sendEncodings });
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
      const [, type] = answer.match(/^m=video \d+ \S+ (\d+)/m);
      const parameters = new RegExp(`^a=fmtp:${type} .*$`, "m");
      const map = new RegExp(`^a=rtpmap:${type} .*$`, "m");
      const sdp = parameters.test(answer)
        ? answer.replace(parameters, (line) => `${line};${start}`)
        : answer.replace(map, (line) => `${line}\r\na=fmtp:${type} ${start}`);
      await peer.setRemoteDescription({ type: "answer", sdp });
      window.layered = { peer, sender: transceiver.sender };
    },
    { endpoint, codec, size, sendEncodings, start },
  );
}

/** The scalability mode of what is sent, by the browser's statistics. */
export function modeSent(page) {
  return page.evaluate(async () => {
    const reports = await window.layered.peer.getStats();
    const sent = [...reports.values()].find(({ type, kind }) => type === "outbound-rtp" && kind === "video");
    return sent?.scalabilityMode;
  });
}

/** Chooses a layer over the link that the gateway gave the viewer. */
export function select(page, choice) {
  return page.evaluate(async (choice) => {
    const rel = "urn:ietf:params:whep:ext:core:layer";
    const { url } = window.tidegate.client.links.find((link) => link.rel === rel);
    const response = await fetch(url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(choice),
    });
    if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  }, choice);
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

/** Waits until so many pictures a second are decoded. */
export async function framesPerSecondBecome(page, least, most) {
  let now;
  await until(`there are ${least} to ${most} frames a second`, async () => {
    now = (await received(page)).video?.framesPerSecond;
    return now >= least && now <= most;
  }).catch((error) => {
    throw new Error(`${error.message}; there are ${now}`);
  });
}
