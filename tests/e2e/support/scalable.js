// A browser that publishes a picture in several layers within one stream of packets (SVC).

/**
 * Publishes the camera of the browser with this codec and scalability mode, as a stream without simulcast.
 */
export async function publishScalable(page, endpoint, codec, scalabilityMode, { width = 1024, height = 576 } = {}) {
  await page.evaluate(
    async ({ endpoint, codec, scalabilityMode, width, height }) => {
      const video = { width, height, frameRate: 15 };
      const stream = await navigator.mediaDevices.getUserMedia({ video, audio: true });
      const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
      peer.addTransceiver(stream.getAudioTracks()[0], { direction: "sendonly", streams: [stream] });
      const { codecs } = RTCRtpSender.getCapabilities("video");
      const wanted = codecs.filter(({ mimeType }) => [`video/${codec}`, "video/rtx"].includes(mimeType));
      const transceiver = peer.addTransceiver(stream.getVideoTracks()[0], {
        direction: "sendonly",
        streams: [stream],
        sendEncodings: [{ scalabilityMode, maxBitrate: 1_500_000 }],
      });
      transceiver.setCodecPreferences(wanted);
      await peer.setLocalDescription();
      const response = await fetch(endpoint, {
        method: "POST",
        headers: { "Content-Type": "application/sdp" },
        body: peer.localDescription.sdp,
      });
      const answer = await response.text();
      if (response.status !== 201) throw new Error(answer);
      // The estimate of the bandwidth would take its time to come up to the highest layer.
      const [, type] = answer.match(/^m=video \d+ \S+ (\d+)/m);
      const start = "x-google-start-bitrate=2000";
      const parameters = new RegExp(`^a=fmtp:${type} .*$`, "m");
      const map = new RegExp(`^a=rtpmap:${type} .*$`, "m");
      const sdp = parameters.test(answer)
        ? answer.replace(parameters, (line) => `${line};${start}`)
        : answer.replace(map, (line) => `${line}\r\na=fmtp:${type} ${start}`);
      await peer.setRemoteDescription({ type: "answer", sdp });
      window.scalable = { peer, sender: transceiver.sender };
    },
    { endpoint, codec, scalabilityMode, width, height },
  );
}

/** The scalability mode of what is sent, by the browser's statistics. */
export function modeSent(page) {
  return page.evaluate(async () => {
    const reports = await window.scalable.peer.getStats();
    const sent = [...reports.values()].find(({ type, kind }) => type === "outbound-rtp" && kind === "video");
    return sent?.scalabilityMode;
  });
}
